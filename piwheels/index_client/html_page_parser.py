"""HTML project pages (PEP 503, 592, 629, 658, 714, 792), read as pip reads them."""

import codecs
from collections.abc import Iterator
from email.message import Message
from html.parser import HTMLParser
from urllib.parse import urljoin

from piwheels.errors import RejectedError
from piwheels.index_client.filenames import may_be_file
from piwheels.index_client.raw_page import RawEntry, RawPage, first_present
from piwheels.media_types import SIMPLE_HTML
from piwheels.sanitize import truncate_line

HTML_TYPES = (
    "text/html",
    SIMPLE_HTML,
    "application/vnd.pypi.simple.latest+html",
    "application/xhtml+xml",
)


#: Encodings of domain names; decoding takes time with the square of the length.
_SLOW_CHARSETS = frozenset({"punycode", "idna"})


def read_html_page(content: bytes, content_type: str, url: str) -> RawPage:
    """Parse a page; `content_type` may name its character set.

    Raises:
        RejectedError: the parser cannot read it.
    """
    parser = _LinkParser()
    try:
        parser.feed(_decode(content, content_type))
    except AssertionError as error:  # the standard library's parser raises it at some declarations
        raise RejectedError(truncate_line(f"not HTML: {error}")) from None
    meta = parser.meta
    return RawPage(
        entries=_entries(parser, url),
        is_index_page=any(name.startswith("pypi:") for name in meta),
        api_version=meta.get("pypi:repository-version"),
        status=meta.get("pypi:project-status"),
        status_reason=meta.get("pypi:project-status-reason"),
    )


def _decode(content: bytes, content_type: str) -> str:
    """The text, by the declared character set if Python knows it, otherwise UTF-8."""
    message = Message()
    message["Content-Type"] = content_type or "text/html"
    charset = str(message.get_param("charset") or "utf-8")
    try:
        if codecs.lookup(charset).name in _SLOW_CHARSETS:
            raise LookupError(charset)
        return content.decode(charset, errors="replace")
    except (LookupError, ValueError):  # an unknown character set, or not a text encoding
        return content.decode(errors="replace")


class _LinkParser(HTMLParser):
    """Collects links, the first base address and pypi's meta elements, as pip's parser does."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.base: str | None = None
        self.meta: dict[str, str] = {}
        self.links: list[tuple[dict[str, str | None], list[str]]] = []
        self._in_link = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "a":
            self.links.append((attributes, []))
            self._in_link = True
        elif tag == "base" and self.base is None:
            self.base = attributes.get("href")
        elif tag == "meta" and (name := attributes.get("name")):
            self.meta.setdefault(name, attributes.get("content") or "")

    def handle_endtag(self, tag: str) -> None:
        self._in_link = self._in_link and tag != "a"

    def handle_data(self, data: str) -> None:
        if self._in_link:
            self.links[-1][1].append(data)


def _entries(parser: _LinkParser, url: str) -> Iterator[RawEntry]:
    """The links that may be files; pages have links for people, too."""
    base_url = _base_url(url, parser.base)
    for number, (attributes, words) in enumerate(parser.links, start=1):
        href, text = attributes.get("href"), "".join(words).strip()
        if not href or not may_be_file(href, text):
            continue
        algorithm, _, digest = str(
            first_present(
                attributes.get("data-core-metadata"), attributes.get("data-dist-info-metadata"), ""
            )
        ).partition("=")
        yield RawEntry(
            label=f"link {number} ({truncate_line(text or href, 80)})",
            filename=text,
            url=href,
            base_url=base_url,
            keep_unknown=False,
            requires_python=attributes.get("data-requires-python"),
            yanked=attributes["data-yanked"] or "" if "data-yanked" in attributes else None,
            core_metadata={algorithm: digest},
            attestations_url=attributes.get("data-provenance"),
        )


def _base_url(url: str, base: str | None) -> str:
    try:
        return urljoin(url, base or "") or url
    except ValueError:
        return url
