"""Parsing a project page of the Simple API (PEP 503, 691, 700, 714, 792).

The reader accepts what pip accepts. An odd field is ignored and an unusable entry is passed over;
both are listed in the page's `problems`. Only what is no Simple API page at all is rejected. Text
is bounded and printable, and numbers fit a 64-bit integer, so that any page can be stored.
"""

import contextlib
import hashlib
import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from enum import StrEnum
from html.parser import HTMLParser
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit, urlunsplit

from packaging.utils import canonicalize_name

from piwheels import names
from piwheels.errors import RejectedError
from piwheels.model import ProjectStatus, Struct
from piwheels.sanitize import truncate_line

MAX_PROBLEMS = 10  # that a page keeps; problem_count has them all
JSON_TYPES = (
    "application/vnd.pypi.simple.v1+json",
    "application/vnd.pypi.simple.latest+json",
    "application/json",
)
HTML_TYPES = (
    "text/html",
    "application/vnd.pypi.simple.v1+html",
    "application/vnd.pypi.simple.latest+html",
    "application/xhtml+xml",
)
ACCEPT = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.5, "
    "text/html;q=0.1"
)

#: Hash algorithms by preference. sha256 comes first: it is what files are known by here, and what
#: PEP 503 recommends; the others are those of pip, and what `hashlib` guarantees beside them.
HASH_ALGORITHMS = (
    "sha256", "sha512", "sha384", "sha3_512", "sha3_384", "sha3_256", "blake2b", "blake2s",
    "sha224", "sha3_224", "sha1", "md5",
)  # fmt: skip

_SDIST_EXTENSIONS = frozenset(
    {".zip", ".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tlz", ".tar.lz",
     ".tar.lzma"}
)  # fmt: skip
_OTHER_EXTENSIONS = frozenset({".egg", ".exe", ".msi", ".rpm", ".deb", ".dmg", ".whl"})
_MAX_URL_LENGTH = 4000
_MAX_TEXT_LENGTH = 1000
_MAX_BIGINT = 2**63 - 1  # of PostgreSQL's bigint
_EGG = re.compile(r"(?:^|&)egg=([^&]*)")
_FRAGMENT_HASH = re.compile(rf"(?:^|&)({'|'.join(HASH_ALGORITHMS)})=([^&]*)")
#: Of moments that an index may state: within any time zone, and with any delay added or
#: subtracted, those are moments that Python can hold.
_MIN_YEAR, _MAX_YEAR = 1970, 2200
_MAX_AGE_S = 30 * 86400
_SAFE_IN_PATH = "/%:@!$&'()*+,;=~-._"
_HOST = re.compile(r"[^\s\x00-\x20\x7f<>\"`{}|\\^\ud800-\udfff]+")
_BDIST_DUMB = re.compile(r"\.(linux|macosx|win|cygwin|freebsd|solaris|sunos|darwin|aix)[-._0-9]")


class FileKind(StrEnum):
    """What an index file is."""

    SDIST = "sdist"
    WHEEL = "wheel"
    OTHER = "other"


class IndexFile(Struct, frozen=True, kw_only=True):
    """A file as a project's page lists it."""

    filename: str
    url: str  # absolute, without credentials and fragment
    kind: FileKind
    version: str  # canonical (PEP 440); "" if the name does not tell a valid one
    sha256: str = ""  # lower-case hex; "" if the index gives none
    digest: str = ""  # "md5=<hex>": the strongest hash that the index gives, if that is no sha256
    size_bytes: int | None = None  # PEP 700
    requires_python: str = ""  # PEP 503's data-requires-python; "" allows every Python
    uploaded_at: datetime | None = None  # PEP 700 upload-time
    yanked: str | None = None  # PEP 592: None is not yanked, "" is yanked without a reason
    metadata_sha256: str = ""  # PEP 714 core-metadata; "" if none with a sha256 is offered


class ProjectPage(Struct, frozen=True, kw_only=True):
    """A project's page."""

    project: str  # normalised (PEP 503)
    display_name: str  # as the index spells it
    files: tuple[IndexFile, ...]
    status: ProjectStatus = ProjectStatus.ACTIVE  # PEP 792
    status_reason: str = ""
    serial: int | None = None  # the index's last serial for this project, where it has one
    etag: str = ""
    modified: str = ""  # Last-Modified, as the index spells it
    answered_at: datetime | None = None  # by the clock of the index (Date)
    age_s: int = 0  # how long a cache may have had it since
    #: JSON, or HTML that says what it is (PEP 629, 792): its lack of files is an answer then.
    is_index_page: bool = True
    problems: tuple[str, ...] = ()  # the first MOST_PROBLEMS oddities, one line each
    problem_count: int = 0


def parse_page(project: str, url: str, content: bytes, headers: Mapping[str, str]) -> ProjectPage:
    """Read a page.

    Args:
        project: the normalised name that was asked for.
        url: where the page came from, after redirects; relative addresses are relative to it.
        content: its bytes, without a content coding.
        headers: of the response, by any spelling.

    Raises:
        RefusedError: this is no project page: not its media type, not JSON, or no list of files.
    """
    declared = headers.get("Content-Type", "").strip()
    reader = _PageParser(project, url)
    if not declared or declared.lower().startswith(HTML_TYPES):
        return reader.html_page(_decode_html(content, declared), headers)
    if declared.lower().startswith(JSON_TYPES):
        return reader.json_page(_decode_json(content), headers)
    raise RejectedError(f"its content type is {truncate_line(declared, 100)!r}")


def _answered_at(headers: Mapping[str, str]) -> datetime | None:
    """The moment by the clock of the index, or of a cache before it (RFC 9110, 6.6.1)."""
    try:
        return _bounded_time(parsedate_to_datetime(headers.get("Date", "")))
    except (ValueError, TypeError, OverflowError):  # no date, or none that there can be
        return None


def _age_s(headers: Mapping[str, str]) -> int:
    """Age (RFC 9111, 5.1), in seconds; some caches send it with a Date that is their own."""
    age = headers.get("Age", "").strip()
    return min(int(age), _MAX_AGE_S) if age.isdecimal() and len(age) < 10 else 0


def _bounded_time(moment: datetime) -> datetime:
    """A moment in UTC, which is taken as its zone if it has none.

    Raises:
        ValueError, OverflowError: it is too early or too late to be meant.
    """
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if not _MIN_YEAR <= moment.year <= _MAX_YEAR:
        raise ValueError(f"year {moment.year}")
    return moment


def _safe_validator(text: str) -> str:
    """An ETag or a Last-Modified that can be sent back; "" for one that cannot."""
    return text if text.isascii() and text.isprintable() else ""


def _decode_json(content: bytes) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RejectedError(truncate_line(f"not JSON: {error or type(error).__name__}")) from None
    if not isinstance(data, dict):
        raise RejectedError("not a JSON object")
    if not isinstance(data.get("files"), list):
        raise RejectedError("no list of files")
    return data


def _decode_html(content: bytes, declared: str) -> str:
    """HTML as text: in the declared character set, if there is such a one, or UTF-8."""
    message = Message()
    message["Content-Type"] = declared or "text/html"
    charset = message.get_param("charset")
    try:
        return content.decode(str(charset or "utf-8"), errors="replace")
    except (LookupError, ValueError):  # no such character set, or one that is no text encoding
        return content.decode(errors="replace")


class _LinkParser(HTMLParser):
    """Collects links, the first base address and pypi's meta elements, as pip's parser does."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.base: str | None = None
        self.meta: dict[str, str] = {}
        self.links: list[tuple[dict[str, str | None], list[str]]] = []
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "a":
            self.links.append((attributes, []))
            self._open = True
        elif tag == "base" and self.base is None:
            self.base = attributes.get("href")
        elif tag == "meta" and (name := attributes.get("name")):
            self.meta.setdefault(name, attributes.get("content") or "")

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open and tag != "a"

    def handle_data(self, data: str) -> None:
        if self._open:
            self.links[-1][1].append(data)


@dataclass(slots=True)
class _FileIdentity:
    """What a file name tells."""

    filename: str
    kind: FileKind
    version: str


@dataclass(slots=True)
class _PageParser:
    """One page being read; collects its files and problems."""

    project: str
    url: str
    files: dict[str, IndexFile] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    problem_count: int = 0

    def report(self, text: str) -> None:
        """Note an oddity."""
        self.problem_count += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(truncate_line(text, 200))

    # --- whole pages ---

    def json_page(self, data: dict[str, Any], headers: Mapping[str, str]) -> ProjectPage:
        meta = data.get("meta")
        meta = meta if isinstance(meta, dict) else {}
        self._check_version(meta.get("api-version"))
        for number, entry in enumerate(data["files"], start=1):
            self._add_file(self._json_file(f"entry {number}", entry))
        status = data.get("project-status")
        pair = (
            (status.get("status"), status.get("reason"))
            if isinstance(status, dict)
            else (status, "")
        )
        display = data.get("name")
        serial = meta.get("_last-serial", headers.get("X-PyPI-Last-Serial"))
        return self._make_page(display, pair, serial, headers, is_index_page=True)

    def html_page(self, text: str, headers: Mapping[str, str]) -> ProjectPage:
        parser = _LinkParser()
        try:
            parser.feed(text)
        except AssertionError as error:  # of the standard library's parser, at some declarations
            raise RejectedError(truncate_line(f"not HTML: {error}")) from None
        self._check_version(parser.meta.get("pypi:repository-version"))
        base = self._join(self.url, parser.base or "") or self.url
        for number, (attributes, words) in enumerate(parser.links, start=1):
            self._add_file(
                self._html_file(f"link {number}", attributes, "".join(words).strip(), base)
            )
        pair = parser.meta.get("pypi:project-status"), parser.meta.get("pypi:project-status-reason")
        serial = headers.get("X-PyPI-Last-Serial")
        declared = any(name.startswith("pypi:") for name in parser.meta)
        return self._make_page(self.project, pair, serial, headers, is_index_page=declared)

    def _make_page(
        self, display_name: object, status: tuple[object, object], serial: object,
        headers: Mapping[str, str], *, is_index_page: bool,
    ) -> ProjectPage:  # fmt: skip
        return ProjectPage(
            project=self.project,
            display_name=self._display_name(display_name),
            files=tuple(self.files.values()),
            status=self._status(status[0]),
            status_reason=truncate_line(status[1], _MAX_TEXT_LENGTH)
            if isinstance(status[1], str)
            else "",
            serial=self._serial(serial),
            etag=_safe_validator(headers.get("ETag", "")),
            modified=_safe_validator(headers.get("Last-Modified", "")),
            answered_at=_answered_at(headers),
            age_s=_age_s(headers),
            is_index_page=is_index_page,
            problems=tuple(self.problems),
            problem_count=self.problem_count,
        )

    def _add_file(self, file: IndexFile | None) -> None:
        """Keep a file; of two with one name the first counts, or the one that has a hash."""
        if file is None:
            return
        known = self.files.get(file.filename)
        if known is not None and known.sha256 != file.sha256:
            self.report(f"{file.filename} is listed more than once, with different hashes")
        if known is None or not (known.sha256 or known.digest):
            self.files[file.filename] = file

    def _check_version(self, version: object) -> None:
        if version is not None and str(version).partition(".")[0] != "1":
            self.report(f"the page's API version is {version!r}; read as 1.x")

    def _display_name(self, name: object) -> str:
        if isinstance(name, str) and canonicalize_name(name) == self.project:
            return name
        return self.project

    def _status(self, status: object) -> ProjectStatus:
        if status is None:
            return ProjectStatus.ACTIVE
        try:
            return ProjectStatus(str(status).strip().lower())
        except ValueError:
            self.report(f"project-status {status!r} is not known; read as active")
            return ProjectStatus.ACTIVE

    def _serial(self, serial: object) -> int | None:
        """A serial as number or text; PyPI's mirrors write it as text."""
        if isinstance(serial, str) and serial.strip().isdecimal() and len(serial) < 20:
            serial = int(serial)
        if isinstance(serial, int) and not isinstance(serial, bool) and 0 < serial <= _MAX_BIGINT:
            return serial
        return None

    # --- entries ---

    def _json_file(self, where: str, entry: object) -> IndexFile | None:
        if not isinstance(entry, dict):
            self.report(f"{where} is not an object; passed over")
            return None
        stated = entry.get("filename")
        where = f"{where} ({truncate_line(stated, 80)})" if isinstance(stated, str) else where
        address = self._file_url(where, entry.get("url"), self.url)
        if address is None:
            return None
        name = self._identify(
            where, address, stated if isinstance(stated, str) else "", listed=True
        )
        if name is None:
            return None
        hashes = self._hashes(where, entry.get("hashes"), address.fragment)
        return IndexFile(
            filename=name.filename,
            url=_clean_url(address),
            kind=name.kind,
            version=name.version,
            sha256=hashes.get("sha256", ""),
            digest=_strongest(hashes),
            size_bytes=self._size(where, entry.get("size")),
            requires_python=self._specifier(where, entry.get("requires-python")),
            uploaded_at=self._time(where, entry.get("upload-time")),
            yanked=_yanked(entry.get("yanked") or None),
            metadata_sha256=_metadata_sha256(
                _first_present(entry, "core-metadata", "dist-info-metadata")
            ),
        )

    def _html_file(
        self, where: str, attributes: dict[str, str | None], text: str, base: str
    ) -> IndexFile | None:
        href = attributes.get("href")
        if not href or not _may_be_file(href, text):
            return None
        where = f"{where} ({truncate_line(text or href, 80)})"
        address = self._file_url(where, href, base)
        name = self._identify(where, address, text, listed=False) if address else None
        if address is None or name is None:
            return None
        hashes = self._hashes(where, None, address.fragment)
        offered = _first_present(attributes, "data-core-metadata", "data-dist-info-metadata")
        algorithm, _, value = (offered or "").partition("=")
        return IndexFile(
            filename=name.filename,
            url=_clean_url(address),
            kind=name.kind,
            version=name.version,
            sha256=hashes.get("sha256", ""),
            digest=_strongest(hashes),
            requires_python=self._specifier(where, attributes.get("data-requires-python")),
            yanked=_yanked(attributes["data-yanked"] or "")
            if "data-yanked" in attributes
            else None,
            metadata_sha256=_metadata_sha256({algorithm: value}),
        )

    def _join(self, base: str, address: str) -> str | None:
        try:
            return urljoin(base, address)
        except ValueError:
            return None

    def _file_url(self, where: str, address: object, base: str) -> SplitResult | None:
        """An absolute http(s) address; None, and reported, if it is none."""
        if not isinstance(address, str) or not address:
            self.report(f"{where} has no url; passed over")
            return None
        try:
            parts = urlsplit(urljoin(base, address.strip()))
            usable = parts.scheme in {"http", "https"} and parts.port != 0
            usable = usable and _HOST.fullmatch(parts.hostname or "") is not None
        except ValueError:  # a bad port, brackets that do not match
            usable = False
        if not usable or len(address) > _MAX_URL_LENGTH:
            self.report(f"{where} has an unusable url; passed over")
            return None
        return parts

    def _identify(
        self, where: str, address: SplitResult, stated: str, *, listed: bool
    ) -> _FileIdentity | None:
        """What a file is: by the name in its address as pip reads it, or by the name stated.

        Args:
            where: the entry, for reports.
            address: of the file.
            stated: the file name that the entry gives, or "".
            listed: whether an unknown name is kept as a file of an unknown kind.
        """
        of_address = posixpath.basename(unquote(address.path).rstrip("/"))
        candidates = [of_address, stated]
        if (egg := _EGG.search(address.fragment)) is not None:
            candidates.insert(0, unquote(egg[1]) + _extension(of_address))
        for candidate in candidates:
            if (name := parse_filename(candidate, self.project)) is not None:
                return name
        shown = (stated if listed else "") or of_address
        if _is_odd(shown, self.project):
            self.report(f"{where} is not the name of a release of {self.project}; passed over")
        if not _is_storable(shown) or not (listed or _extension(shown) in _OTHER_EXTENSIONS):
            return None
        return _FileIdentity(shown, FileKind.OTHER, "")

    # --- fields ---

    def _hashes(self, where: str, hashes: object, fragment: str) -> dict[str, str]:
        """Valid hashes in lower-case hex by algorithm; those of a fragment count as in pip."""
        found: dict[str, Any] = {}
        if isinstance(hashes, dict):
            found |= hashes
        elif hashes is not None:
            self.report(f"{where}: hashes are not an object; ignored")
        found |= dict(_FRAGMENT_HASH.findall(fragment)[:1])
        valid = {}
        for algorithm, value in found.items():
            if (name := algorithm.lower().replace("-", "_")) not in HASH_ALGORITHMS:
                continue
            if is_digest(name, value):
                valid[name] = value.strip().lower()
            else:
                self.report(f"{where}: its {name} is not a hash; ignored")
        return valid

    def _size(self, where: str, size: object) -> int | None:
        if size is None:
            return None
        number = size if isinstance(size, (int, float)) and size is not True else -1
        if 0 <= number <= _MAX_BIGINT:
            return int(number)
        self.report(f"{where}: its size is not a number of bytes; ignored")
        return None

    def _specifier(self, where: str, text: object) -> str:
        if text is None or text == "":
            return ""
        if isinstance(text, str) and text.isprintable() and len(text) <= names.MAX_SPECIFIER_LENGTH:
            return text.strip()
        self.report(f"{where}: its requires-python is not a version specifier; ignored")
        return ""

    def _time(self, where: str, text: object) -> datetime | None:
        """PEP 700 asks for UTC; a time without a zone is taken as that."""
        if text is None or text == "":
            return None
        try:
            return _bounded_time(
                datetime.fromisoformat(text.strip() if isinstance(text, str) else "")
            )
        except (ValueError, OverflowError):
            self.report(f"{where}: its upload-time is not a time; ignored")
            return None


# --- names ---


def parse_filename(filename: str, project: str) -> _FileIdentity | None:
    """What a file name tells of a project's release, read as pip reads it; None if it is none.

    Args:
        filename: without a path.
        project: normalised; a file of another project is no release of this one.
    """
    if not _is_storable(filename):
        return None
    extension = _extension(filename)
    if extension == ".whl":
        parts = filename.removesuffix(".whl").split("-")
        if len(parts) not in {5, 6} or canonicalize_name(parts[0]) != project:
            return None
        version = canonical_version(parts[1])
        return _FileIdentity(filename, FileKind.WHEEL, version) if version else None
    if extension not in _SDIST_EXTENSIONS or (extension == ".zip" and "macosx10" in filename):
        return None
    version = _version_after(project, filename.removesuffix(extension))
    return _FileIdentity(filename, FileKind.SDIST, version) if version else None


def _version_after(project: str, stem: str) -> str:
    """The version behind a project's name, in any spelling of that; "" if there is none."""
    for dash in _hyphens(stem):
        if canonicalize_name(stem[: dash.start()]) == project:
            return canonical_version(stem[dash.end() :])
    return ""


def _hyphens(stem: str) -> Iterator[re.Match[str]]:
    return re.finditer("-", stem[: names.MAX_FILENAME_BYTES])


def canonical_version(text: str) -> str:
    """The canonical spelling of a version (PEP 440), or "" if it is none.

    In a wheel's name a version's dash is spelled with an underscore (PEP 427).
    """
    for spelling in (text, text.replace("_", "-")):
        with contextlib.suppress(RejectedError):
            return str(names.parse_version(spelling))
    return ""


def _extension(filename: str) -> str:
    """The extension of a file name; `.tar.gz` and its like are one."""
    stem, extension = posixpath.splitext(filename)
    if stem.lower().endswith(".tar"):
        return stem[-4:] + extension
    return extension


def _is_odd(filename: str, project: str) -> bool:
    """Whether a file that names no release is odd.

    Old formats (bdist_dumb, eggs, installers) are not, and neither are archives whose versions are
    older than PEP 440: some projects have hundreds of them.
    """
    extension = _extension(filename)
    if extension == ".whl":
        return True
    is_archive = extension in _SDIST_EXTENSIONS and _BDIST_DUMB.search(filename) is None
    stem = filename.removesuffix(extension)
    named = any(canonicalize_name(stem[: dash.start()]) == project for dash in _hyphens(stem))
    return is_archive and not named


def _is_storable(filename: str) -> bool:
    """Whether a file name can be that of a file, and shown."""
    return (
        0 < len(filename.encode(errors="replace")) <= names.MAX_FILENAME_BYTES
        and filename.isprintable()
        and "/" not in filename
        and filename not in {".", ".."}
    )


def _may_be_file(href: str, text: str) -> bool:
    """Whether a link may lead to a file; pages have links for people, too."""
    address, _, fragment = href.partition("#")
    known = _SDIST_EXTENSIONS | _OTHER_EXTENSIONS
    names = (unquote(address.partition("?")[0]).rstrip("/"), text)
    return bool(_EGG.search(fragment)) or any(_extension(name) in known for name in names)


# --- values ---


def _clean_url(address: SplitResult) -> str:
    """An address without credentials and fragment, quoted."""
    host = address.netloc.rpartition("@")[2]
    path = quote(address.path, safe=_SAFE_IN_PATH, errors="replace")
    query = quote(address.query, safe=f"{_SAFE_IN_PATH}?", errors="replace")
    return urlunsplit((address.scheme, host, path, query, ""))


def is_digest(algorithm: str, value: object) -> bool:
    """Whether a value is a hash in hex of an algorithm that is known here."""
    if algorithm not in HASH_ALGORITHMS or not isinstance(value, str):
        return False
    length = 2 * hashlib.new(algorithm, usedforsecurity=False).digest_size
    return re.fullmatch(rf"\s*[0-9a-fA-F]{{{length}}}\s*", value) is not None


def _strongest(hashes: Mapping[str, str]) -> str:
    """The strongest hash as `algorithm=hex`; "" where there is a sha256, or nothing."""
    best = next((name for name in HASH_ALGORITHMS if name in hashes), "sha256")
    return "" if best == "sha256" else f"{best}={hashes[best]}"


def _metadata_sha256(offered: object) -> str:
    value = offered.get("sha256") if isinstance(offered, dict) else None
    return str(value).strip().lower() if is_digest("sha256", value) else ""


def _yanked(reason: object) -> str | None:
    if reason is None or isinstance(reason, str):
        return reason if reason is None else truncate_line(reason, _MAX_TEXT_LENGTH)
    return ""


def _first_present(values: Mapping[str, Any], *keys: str) -> Any:
    return next((values[key] for key in keys if values.get(key) is not None), None)
