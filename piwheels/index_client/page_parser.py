"""Parsing of project pages of the Simple API (PEP 503, 691, 700, 714, 792).

The parser accepts what pip accepts. An invalid field is left out and an unusable entry is ignored;
both are listed in the page's `problems`. Only what is not a Simple API page is rejected. Text is
bounded and printable, and numbers fit a 64-bit integer, so that any page can be stored.
"""

import contextlib
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import SplitResult, unquote

from piwheels import untrusted_names
from piwheels.errors import RejectedError
from piwheels.index_client import fields
from piwheels.index_client.fields import InvalidFieldError
from piwheels.index_client.filenames import (
    EGG,
    FileIdentity,
    FileKind,
    file_extension,
    is_legacy,
    is_malformed,
    is_storable,
    parse_filename,
)
from piwheels.index_client.html_page_parser import HTML_TYPES, read_html_page
from piwheels.index_client.json_page_parser import JSON_TYPES, read_json_page
from piwheels.index_client.page import IndexFile, ProjectPage
from piwheels.index_client.raw_page import (
    SERIAL_HEADER,
    RawEntry,
    RawPage,
    first_present,
    unexpected_type,
)
from piwheels.media_types import SIMPLE_HTML, SIMPLE_JSON
from piwheels.sanitize import truncate_line

_V = TypeVar("_V")
_D = TypeVar("_D")

MAX_PROBLEMS = 10  # that a page keeps; problem_count counts all
ACCEPT = f"{SIMPLE_JSON}, {SIMPLE_HTML};q=0.5, text/html;q=0.1"
_MAX_AGE_S = 30 * 86400
_MAX_VALIDATOR_LENGTH = 1000


def parse_page(project: str, url: str, content: bytes, headers: Mapping[str, str]) -> ProjectPage:
    """Parse a page.

    Args:
        project: the normalized name that was requested.
        url: where the page came from, after redirects; relative URLs are relative to it.
        content: its bytes, without a content coding.
        headers: of the response; names in any case.

    Raises:
        RejectedError: this is not a project page: another media type, invalid JSON, or no list of
            files.
    """
    content_type = headers.get("Content-Type", "").strip()
    if not content_type or content_type.lower().startswith(HTML_TYPES):
        page = read_html_page(content, content_type, url)
    elif content_type.lower().startswith(JSON_TYPES):
        page = read_json_page(content, url)
    else:
        raise unexpected_type(content_type)
    return _PageValidator(project).validate(page, headers)


def _is_version_1(version: object) -> bool:
    """Whether an API version is 1.x; some pages have a number instead of a text."""
    return isinstance(version, (str, int, float)) and str(version).partition(".")[0] == "1"


def _age_s(headers: Mapping[str, str]) -> int:
    """Age (RFC 9111, 5.1), in seconds; some caches send it with a Date of their own."""
    age = headers.get("Age", "").strip()
    return min(int(age), _MAX_AGE_S) if age.isdecimal() and len(age) < 10 else 0


def validator_header(text: str) -> str:
    """An ETag or a Last-Modified that can be sent back; "" for one that cannot."""
    is_usable = len(text) <= _MAX_VALIDATOR_LENGTH and text.isascii() and text.isprintable()
    return text if is_usable else ""


@dataclass(slots=True)
class _PageValidator:
    """Validates one page; collects its files and problems."""

    project: str
    files: dict[str, IndexFile] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    problem_count: int = 0

    def validate(self, page: RawPage, headers: Mapping[str, str]) -> ProjectPage:
        version = page.api_version
        if version is not None and not _is_version_1(version):
            self._report(f"the page's API version is {fields.shown(version)}; read as 1.x")
        for entry in page.entries:
            if isinstance(entry, str):
                self._report(entry)
            else:
                self._add(entry)
        try:
            status = fields.parse_status(page.status)
        except InvalidFieldError as error:
            self._report(f"{error}; read as active")
            status = fields.parse_status(None)
        return ProjectPage(
            project=self.project,
            display_name=self._display_name(page.display_name),
            files=tuple(self.files.values()),
            status=status,
            status_reason=fields.parse_text(page.status_reason),
            serial=fields.parse_serial(first_present(page.serial, headers.get(SERIAL_HEADER))),
            etag=validator_header(headers.get("ETag", "")),
            modified=validator_header(headers.get("Last-Modified", "")),
            answered_at=fields.parse_http_date(headers.get("Date", "")),
            age_s=_age_s(headers),
            is_index_page=page.is_index_page,
            problems=tuple(self.problems),
            problem_count=self.problem_count,
        )

    def _report(self, problem: str) -> None:
        self.problem_count += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(truncate_line(problem, 200))

    def _display_name(self, name: object) -> str:
        with contextlib.suppress(RejectedError):
            if isinstance(name, str) and untrusted_names.normalize_project(name) == self.project:
                return name
        return self.project

    # --- entries ---

    def _add(self, entry: RawEntry) -> None:
        """Keep an entry's file; of two with one name the first, or the one that has a hash."""
        file = self._file(entry)
        if file is None:
            return
        existing = self.files.get(file.filename)
        if existing is not None and existing.sha256 != file.sha256:
            self._report(f"{file.filename} is listed more than once, with different hashes")
        if existing is None or not (existing.sha256 or existing.digest):
            self.files[file.filename] = file

    def _file(self, entry: RawEntry) -> IndexFile | None:
        try:
            url = fields.parse_url(entry.url, entry.base_url)
            address = fields.clean_url(url)
        except InvalidFieldError as error:
            self._report(f"{entry.label} {error}; ignored")
            return None
        identity = self._identify(entry, url)
        if identity is None:
            return None
        hashes = self._hashes(entry, url.fragment)
        return IndexFile(
            filename=identity.filename,
            url=address,
            kind=identity.kind,
            version=identity.version,
            sha256=hashes.get("sha256", ""),
            digest=fields.strongest_digest(hashes),
            size_bytes=self._valid(entry, fields.parse_size, entry.size, None),
            requires_python=self._valid(entry, fields.parse_specifier, entry.requires_python, ""),
            uploaded_at=self._valid(entry, fields.parse_upload_time, entry.upload_time, None),
            yanked=fields.parse_yanked(entry.yanked),
            metadata_sha256=fields.parse_metadata_sha256(entry.core_metadata),
            attestations_url=self._valid(
                entry, fields.parse_attestations_url, entry.attestations_url, ""
            ),
        )

    def _identify(self, entry: RawEntry, url: SplitResult) -> FileIdentity | None:
        """What a file is: by the name in its URL as pip reads it, or by the entry's own name."""
        url_name = posixpath.basename(unquote(url.path).rstrip("/"))
        candidates = [url_name, entry.filename]
        if (egg := EGG.search(url.fragment)) is not None:
            candidates.insert(0, unquote(egg[1]) + file_extension(url_name))
        for candidate in candidates:
            if (identity := parse_filename(candidate, self.project)) is not None:
                return identity
        filename = (entry.filename if entry.keep_unknown else "") or url_name
        if is_malformed(filename, self.project):
            self._report(f"{entry.label} is not the name of a release of {self.project}; ignored")
        if not is_storable(filename) or not (entry.keep_unknown or is_legacy(filename)):
            return None
        return FileIdentity(filename, FileKind.OTHER, "")

    def _hashes(self, entry: RawEntry, fragment: str) -> dict[str, str]:
        hashes = entry.hashes if isinstance(entry.hashes, dict) else {}
        if entry.hashes is not None and not isinstance(entry.hashes, dict):
            self._report(f"{entry.label}: hashes are not an object; ignored")
        valid, invalid = fields.parse_hashes(hashes, fragment)
        for algorithm in invalid:
            self._report(f"{entry.label}: its {algorithm} is not a hash; ignored")
        return valid

    def _valid(
        self, entry: RawEntry, parse: Callable[[object], _V], value: object, default: _D
    ) -> _V | _D:
        """A field's value, or the default for an invalid one, which is reported."""
        try:
            return parse(value)
        except InvalidFieldError as error:
            self._report(f"{entry.label}: {error}; ignored")
            return default
