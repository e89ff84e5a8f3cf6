"""sitemap.xml (sitemaps.org), the sitemaps it lists, and robots.txt."""

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from piwheels.website import filters
from piwheels.website.page_data import Site
from piwheels.website.project_list import list_files

#: URLs per file; the protocol allows 50,000.
MAX_URLS = 20_000
_NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_STATIC_PATHS = ("", "packages.html", "stats.html", "faq.html", "json.html")


def sitemap_files(site: Site, projects: Sequence[str]) -> dict[str, bytes]:
    """The sitemaps by file name; the last is sitemap.xml, which lists the others."""
    pages = [f"{site.url}{page}" for page in _STATIC_PATHS]
    pages += [f"{site.url}projects/{page}" for page in list_files(projects)]
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
    """robots.txt: crawlers may read pages, but not wheels and the index."""
    return (
        "User-agent: *\nDisallow: /packages/\nDisallow: /simple/\nDisallow: /search/\n"
        "Disallow: /search-words/\n"
        f"\nSitemap: {site.url}sitemap.xml\n"
    ).encode()


def _chunks(pages: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(pages), MAX_URLS):
        yield pages[start : start + MAX_URLS]


def _document(root: str, item: str, urls: Sequence[str]) -> bytes:
    items = "".join(f"<{item}><loc>{escape(at)}</loc></{item}>\n" for at in urls)
    return f'{_HEAD}<{root} xmlns="{_NAMESPACE}">\n{items}</{root}>\n'.encode()
