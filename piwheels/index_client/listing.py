"""The list of all projects of a Simple API index (PEP 503, 691).

It has tens of megabytes, so it is downloaded to a file and parsed in a child process, which writes
one line for each project: memory is bounded in the calling process.
"""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec

from piwheels import untrusted_names
from piwheels.errors import RejectedError
from piwheels.index_client import fields
from piwheels.index_client.html_page_parser import HTML_TYPES
from piwheels.index_client.json_page_parser import JSON_TYPES
from piwheels.index_client.raw_page import unexpected_type
from piwheels.model import Struct
from piwheels.sanitize import truncate_line

_HTML_CHUNK_CHARACTERS = 1 << 20


class ListedProject(Struct, frozen=True, kw_only=True):
    """A project of the list; `serial` is that of its newest change, where the list has it."""

    project: str  # normalized
    serial: int | None = None


class ProjectListing(Struct, frozen=True, kw_only=True):
    """What a list of projects says about itself."""

    projects: int  # valid entries
    ignored: int  # entries without a valid name
    serial: int | None = None  # the index's last serial when it was made
    etag: str = ""


class _JsonListing(msgspec.Struct):
    projects: list[msgspec.Raw]
    meta: dict[str, Any] = {}


class _JsonEntry(msgspec.Struct):
    name: str
    serial: Any = msgspec.field(name="_last-serial", default=None)


def convert_listing(source: Path, content_type: str, destination: Path) -> ProjectListing:
    """Write the projects of a list, one line each; run in a child process.

    Args:
        source: the content of the response.
        content_type: of the response.
        destination: where to write them, for `read_listing`.

    Raises:
        RejectedError: it is not a list of projects, or an empty one.
    """
    kind = content_type.strip().lower()
    if kind.startswith(JSON_TYPES):
        entries, serial = _json_entries(source.read_bytes())
    elif not kind or kind.startswith(HTML_TYPES):
        entries, serial = _html_entries(source), None
    else:
        raise unexpected_type(content_type)
    count = ignored = 0
    with destination.open("w", encoding="utf-8") as lines:
        for entry in entries:
            if entry is None:
                ignored += 1
                continue
            count += 1
            lines.write(f"{entry.project} {'' if entry.serial is None else entry.serial}\n")
    if not count:
        raise RejectedError("it lists no projects")
    return ProjectListing(projects=count, ignored=ignored, serial=serial)


def read_listing(path: Path) -> Iterator[ListedProject]:
    """The projects that `convert_listing` wrote."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            project, _, serial = line.rstrip("\n").partition(" ")
            yield ListedProject(project=project, serial=int(serial) if serial else None)


def _json_entries(content: bytes) -> tuple[Iterator[ListedProject | None], int | None]:
    try:
        listing = msgspec.json.decode(content, type=_JsonListing)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RejectedError(truncate_line(f"not a JSON list of projects: {error}")) from None
    serial = fields.parse_serial(listing.meta.get("_last-serial"))
    decoder = msgspec.json.Decoder(_JsonEntry)
    return (_json_entry(decoder, raw) for raw in listing.projects), serial


def _json_entry(
    decoder: msgspec.json.Decoder[_JsonEntry], raw: msgspec.Raw
) -> ListedProject | None:
    try:
        entry = decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return _listed(entry.name, fields.parse_serial(entry.serial))


def _listed(name: str, serial: int | None) -> ListedProject | None:
    try:
        return ListedProject(project=untrusted_names.normalize_project(name), serial=serial)
    except RejectedError:
        return None


def _html_entries(source: Path) -> Iterator[ListedProject | None]:
    parser = _NameParser()
    with source.open(encoding="utf-8", errors="replace") as text:
        while chunk := text.read(_HTML_CHUNK_CHARACTERS):
            parser.names.clear()
            try:
                parser.feed(chunk)
            except AssertionError as error:  # the standard library's, at some declarations
                raise RejectedError(truncate_line(f"not HTML: {error}")) from None
            for name in parser.names:
                yield _listed(name, None)


class _NameParser(HTMLParser):
    """Collects the texts of links: PEP 503 makes them the names of projects."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.names: list[str] = []
        self._text: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a" and any(name == "href" for name, _ in attrs):
            self._text = []

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._text is not None:
            self.names.append("".join(self._text).strip())
            self._text = None

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)
