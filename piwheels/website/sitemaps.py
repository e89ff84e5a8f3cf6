"""sitemap.xml (sitemaps.org), its parts, and robots.txt."""

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from piwheels.website import filters
from piwheels.website.page_data import Site

#: The protocol's own limit is 50,000 addresses a file.
MAX_URLS = 20_000
_NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_STATIC_PATHS = ("", "packages.html", "stats.html", "faq.html", "json.html")


def sitemap_files(site: Site, projects: Sequence[str]) -> dict[str, bytes]:
    """Every sitemap by file name; sitemap.xml, which names the others, is the last."""
    pages = [f"{site.url}{page}" for page in _STATIC_PATHS]
    pages += [f"{site.url}project/{filters.url_segment(name)}/" for name in projects]
    parts = {
        f"sitemap-{number}.xml": _document("urlset", "url", part)
        for number, part in enumerate(_chunks(pages), start=1)
    }
    return {
        **parts,
        "sitemap.xml": _document("sitemapindex", "sitemap", [f"{site.url}{n}" for n in parts]),
    }


def robots_txt(site: Site) -> bytes:
    """robots.txt: pages are for everybody; wheels and the index are for installers."""
    return (
        "User-agent: *\nDisallow: /packages/\nDisallow: /simple/\nDisallow: /search/\n"
        f"\nSitemap: {site.url}sitemap.xml\n"
    ).encode()


def _chunks(pages: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(pages), MAX_URLS):
        yield pages[start : start + MAX_URLS]


def _document(root: str, item: str, urls: Sequence[str]) -> bytes:
    items = "".join(f"<{item}><loc>{escape(at)}</loc></{item}>\n" for at in urls)
    return f'{_HEAD}<{root} xmlns="{_NAMESPACE}">\n{items}</{root}>\n'.encode()
