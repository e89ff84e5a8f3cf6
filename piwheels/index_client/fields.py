"""Fields of a file's entry, validated: an invalid one is reported and left out."""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import IPv6Address
from urllib.parse import SplitResult, quote, urljoin, urlsplit, urlunsplit

from piwheels import untrusted_names
from piwheels.model import ProjectStatus
from piwheels.sanitize import truncate_line

#: Hash algorithms by preference. sha256 comes first: files are identified by it here, and PEP 503
#: recommends it; the others are those of pip, and those that `hashlib` guarantees besides.
HASH_ALGORITHMS = (
    "sha256", "sha512", "sha384", "sha3_512", "sha3_384", "sha3_256", "blake2b", "blake2s",
    "sha224", "sha3_224", "sha1", "md5",
)  # fmt: skip

_MAX_URL_LENGTH = 4000
_MAX_TEXT_LENGTH = 1000
_MAX_BIGINT = 2**63 - 1  # of PostgreSQL
_FRAGMENT_HASH = re.compile(rf"(?:^|&)({'|'.join(HASH_ALGORITHMS)})=([^&]*)")
#: Times outside these years are rejected, so that time zones and delays can be added to them.
_MIN_YEAR, _MAX_YEAR = 1970, 2200
_SAFE_IN_PATH = "/%:@!$&'()*+,;=~-._"
_HOST = re.compile(r"[^\s\x00-\x20\x7f<>\"`{}|\\^\ud800-\udfff]+")


class InvalidFieldError(ValueError):
    """A field that cannot be used; the message completes "entry 1 (demo-1.0.tar.gz) ..."."""


def parse_url(url: object, base_url: str) -> SplitResult:
    """The absolute http(s) URL of a file, without credentials.

    Raises:
        InvalidFieldError: there is none.
    """
    if not isinstance(url, str) or not url:
        raise InvalidFieldError("has no url")
    try:
        # The base is the page's, too: joined to each of its files, a long one would fill memory.
        if max(len(url), len(base_url)) > _MAX_URL_LENGTH:
            raise ValueError("too long")
        parts = urlsplit(urljoin(base_url, url.strip()))
        if parts.scheme not in {"http", "https"}:
            raise ValueError("another scheme")
        return parts._replace(netloc=_host_and_port(parts))
    except ValueError:
        raise InvalidFieldError("has an unusable url") from None


def _host_and_port(url: SplitResult) -> str:
    """What is validated, put together again: urlsplit ignores text around an address in brackets.

    Raises:
        ValueError: the host or the port is invalid.
    """
    host, port = url.hostname or "", url.port
    if "[" in url.netloc:
        host = f"[{IPv6Address(host)}]"
        given = url.netloc.rpartition("@")[2]
        if not given.startswith("[") or given.partition("]")[2].partition(":")[0]:
            raise ValueError("text around the address")
    if _HOST.fullmatch(host) is None or port == 0:
        raise ValueError("an invalid host or port")
    return host if port is None else f"{host}:{port}"


def clean_url(url: SplitResult) -> str:
    """A URL of `parse_url` without its fragment, quoted.

    Raises:
        InvalidFieldError: it is too long.
    """
    path = quote(url.path, safe=_SAFE_IN_PATH, errors="replace")
    query = quote(url.query, safe=f"{_SAFE_IN_PATH}?", errors="replace")
    quoted = urlunsplit((url.scheme, url.netloc, path, query, ""))
    if len(quoted) > _MAX_URL_LENGTH:
        raise InvalidFieldError(f"has a url of more than {_MAX_URL_LENGTH} characters")
    return quoted


def parse_size(size: object) -> int | None:
    """A number of bytes; 7.0 is one."""
    if size is None:
        return None
    number = size if isinstance(size, (int, float)) and not isinstance(size, bool) else -1
    if not 0 <= number <= _MAX_BIGINT or number != int(number):
        raise InvalidFieldError("its size is not a number of bytes")
    return int(number)


def parse_specifier(text: object) -> str:
    """A Requires-Python; whether it is valid (PEP 440) is decided where it is used."""
    if text is None or text == "":
        return ""
    if (
        isinstance(text, str)
        and text.isprintable()
        and len(text) <= untrusted_names.MAX_SPECIFIER_LENGTH
    ):
        return text.strip()
    raise InvalidFieldError("its requires-python is not a version specifier")


def parse_upload_time(text: object) -> datetime | None:
    """PEP 700 requires UTC; a time without a zone is read as UTC."""
    if text is None or text == "":
        return None
    try:
        return _bounded_time(datetime.fromisoformat(text.strip() if isinstance(text, str) else ""))
    except (ValueError, OverflowError):
        raise InvalidFieldError("its upload-time is not a time") from None


def parse_status(status: object) -> ProjectStatus:
    """A PEP 792 status."""
    if status is None:
        return ProjectStatus.ACTIVE
    try:
        return ProjectStatus(status.strip().lower() if isinstance(status, str) else "")
    except ValueError:
        raise InvalidFieldError(f"project-status {shown(status)} is unknown") from None


def parse_hashes(
    hashes: Mapping[object, object], fragment: str
) -> tuple[dict[str, str], list[str]]:
    """Hashes by algorithm in lower-case hex, those of a URL's fragment included, as in pip.

    Returns:
        Valid hashes, and the algorithms whose values are invalid.
    """
    found = {**hashes, **dict(_FRAGMENT_HASH.findall(fragment)[:1])}
    valid, invalid = {}, []
    for algorithm, value in found.items():
        name = str(algorithm).lower().replace("-", "_")
        if name not in HASH_ALGORITHMS:
            continue
        if is_digest(name, value):
            valid[name] = str(value).strip().lower()
        else:
            invalid.append(name)
    return valid, invalid


def is_digest(algorithm: str, value: object) -> bool:
    """Whether a value is a hash in hex, of one of HASH_ALGORITHMS."""
    if algorithm not in HASH_ALGORITHMS or not isinstance(value, str):
        return False
    length = 2 * hashlib.new(algorithm, usedforsecurity=False).digest_size
    return re.fullmatch(rf"\s*[0-9a-fA-F]{{{length}}}\s*", value) is not None


def strongest_digest(hashes: Mapping[str, str]) -> str:
    """The strongest hash as `algorithm=hex`; "" where there is a sha256, or nothing."""
    best = next((name for name in HASH_ALGORITHMS if name in hashes), "sha256")
    return "" if best == "sha256" else f"{best}={hashes[best]}"


def parse_metadata_sha256(offered: object) -> str:
    """The sha256 of core-metadata (PEP 714); "" if there is none."""
    value = offered.get("sha256") if isinstance(offered, dict) else None
    return str(value).strip().lower() if is_digest("sha256", value) else ""


def parse_attestations_url(url: object) -> str:
    """The absolute URL of a file's attestations (PEP 740); "" if there is none."""
    if url is None or url == "":
        return ""
    try:
        return clean_url(parse_url(url, ""))
    except InvalidFieldError:
        raise InvalidFieldError("its provenance is not an absolute url") from None


def parse_yanked(reason: object) -> str | None:
    """None is not yanked; what is not a text is a yank without a reason."""
    if reason is None:
        return None
    return parse_text(reason)


def parse_text(text: object) -> str:
    """One line of bounded length; "" for what is not a text."""
    return truncate_line(text, _MAX_TEXT_LENGTH) if isinstance(text, str) else ""


def shown(value: object) -> str:
    """A value of any type, for a problem: only texts and numbers are shown, and not whole."""
    if isinstance(value, (str, int, float)):
        return repr(truncate_line(value if isinstance(value, str) else str(value), 80))
    return f"of type {type(value).__name__}"


def parse_serial(serial: object) -> int | None:
    """A serial as a number or as text, as PyPI's mirrors write it; None for anything else."""
    if isinstance(serial, str) and serial.strip().isdecimal() and len(serial) < 20:
        serial = int(serial)
    if isinstance(serial, int) and not isinstance(serial, bool) and 0 < serial <= _MAX_BIGINT:
        return serial
    return None


def parse_http_date(text: str) -> datetime | None:
    """An HTTP date (RFC 9110, 5.6.7); None for anything else."""
    try:
        return _bounded_time(parsedate_to_datetime(text))
    except (ValueError, TypeError, OverflowError):
        return None


def _bounded_time(time: datetime) -> datetime:
    """A time in UTC, which is its zone if it has none.

    Raises:
        ValueError, OverflowError: its year is out of range.
    """
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    if not _MIN_YEAR <= time.year <= _MAX_YEAR:
        raise ValueError(f"year {time.year}")
    return time
