"""sitemap.xml (sitemaps.org), the sitemaps it lists, and robots.txt."""

from collections.abc import Iterator, Sequence
from itertools import islice
from xml.sax.saxutils import escape

from piwheels.website import filters
from piwheels.website.page_data import Site
from piwheels.website.project_list import list_files

#: URLs per file; the protocol allows 50,000.
MAX_URLS = 20_000
_NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_STATIC_PATHS = ("", "packages.html", "stats.html", "faq.html", "json.html")


def sitemap_files(site: Site, projects: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """The sitemaps by file name; the last is sitemap.xml, which lists the others."""
    parts: list[str] = []
    for part in _chunks(_urls(site, projects)):
        parts.append(f"sitemap-{len(parts) + 1}.xml")
        yield parts[-1], _document("urlset", "url", part)
    listed = _document("sitemapindex", "sitemap", [f"{site.url}{name}" for name in parts])
    yield "sitemap.xml", listed


def _urls(site: Site, projects: Sequence[str]) -> Iterator[str]:
    """Every page, one after the other."""
    for page in _STATIC_PATHS:
        yield f"{site.url}{page}"
    for page in list_files(projects):
        yield f"{site.url}projects/{page}"
    for name in projects:
        yield f"{site.url}project/{filters.url_segment(name)}/"


def robots_txt(site: Site) -> bytes:
    """robots.txt: crawlers may read pages, but not wheels and the index."""
    return (
        "User-agent: *\nDisallow: /packages/\nDisallow: /simple/\nDisallow: /search/\n"
        "Disallow: /search-words/\n"
        f"\nSitemap: {site.url}sitemap.xml\n"
    ).encode()


def _chunks(urls: Iterator[str]) -> Iterator[Sequence[str]]:
    while chunk := list(islice(urls, MAX_URLS)):
        yield chunk


def _document(root: str, item: str, urls: Sequence[str]) -> bytes:
    items = "".join(f"<{item}><loc>{escape(at)}</loc></{item}>\n" for at in urls)
    return f'{_HEAD}<{root} xmlns="{_NAMESPACE}">\n{items}</{root}>\n'.encode()
