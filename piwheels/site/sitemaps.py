"""sitemap.xml (sitemaps.org), its parts, and robots.txt."""

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from piwheels.site import text
from piwheels.site.content import Site

#: The protocol's own limit is 50,000 addresses a file.
LARGEST = 20_000
_NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_OWN_PAGES = ("", "packages.html", "stats.html", "faq.html", "json.html")


def sitemaps(site: Site, projects: Sequence[str]) -> dict[str, bytes]:
    """Every sitemap by file name; sitemap.xml, which names the others, is the last."""
    pages = [f"{site.url}{page}" for page in _OWN_PAGES]
    pages += [f"{site.url}project/{text.path(name)}/" for name in projects]
    parts = {
        f"sitemap-{number}.xml": _document("urlset", "url", part)
        for number, part in enumerate(_parts(pages), start=1)
    }
    return {
        **parts,
        "sitemap.xml": _document("sitemapindex", "sitemap", [f"{site.url}{n}" for n in parts]),
    }


def robots(site: Site) -> bytes:
    """robots.txt: pages are for everybody; wheels and the index are for installers."""
    return (
        "User-agent: *\nDisallow: /packages/\nDisallow: /simple/\nDisallow: /search/\n"
        f"\nSitemap: {site.url}sitemap.xml\n"
    ).encode()


def _parts(pages: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(pages), LARGEST):
        yield pages[start : start + LARGEST]


def _document(root: str, item: str, addresses: Sequence[str]) -> bytes:
    items = "".join(f"<{item}><loc>{escape(at)}</loc></{item}>\n" for at in addresses)
    return f'{_HEAD}<{root} xmlns="{_NAMESPACE}">\n{items}</{root}>\n'.encode()
