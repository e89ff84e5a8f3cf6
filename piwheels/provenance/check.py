"""Finds the statement and the keys of a wheel, which is a file or a URL, and verifies it."""

import hashlib
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from piwheels.errors import UsageError
from piwheels.provenance.dsse import MAX_ENVELOPE_BYTES
from piwheels.provenance.errors import NotVerifiedError, Problem
from piwheels.provenance.fetch import WebReader
from piwheels.provenance.public_keys import MAX_KEYS_BYTES, PublicKey, parse_public_keys
from piwheels.provenance.statement import Subject, public_url
from piwheels.provenance.verification import Verified, verify
from piwheels.webroot import PROVENANCE_KEYS, PROVENANCE_SUFFIX

_PACKAGES = "/packages/"
_CHUNK_BYTES = 1024 * 1024


def is_url(text: str) -> bool:
    """Whether an argument is a URL, not a path."""
    return text.startswith(("http://", "https://"))


def check_wheel(wheel: str, index: str, key_file: Path | None) -> Verified:
    """Verify a wheel.

    Args:
        wheel: a path, or a URL.
        index: the URL of the farm; "" if the URL of the wheel tells, or nothing is fetched.
        key_file: the trusted keys; None for those that the farm publishes.

    Raises:
        NotVerifiedError: it is not verified.
        UsageError: it cannot be told where statement or keys are.
    """
    if index and not is_url(index):
        raise UsageError(f"--index {index} is no URL: it starts with http:// or https://")
    _split(index)
    with WebReader() as reader:
        return (
            _check_url(reader, wheel, index, key_file)
            if is_url(wheel)
            else (_check_file(reader, Path(wheel), index, key_file))
        )


def _check_url(reader: WebReader, url: str, index: str, key_file: Path | None) -> Verified:
    parts = _split(url)
    bare = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    name = unquote(parts.path.rpartition("/")[2])
    root = _root_of(index) if index else _root_in(bare)
    if not root and key_file is None:
        raise UsageError(
            f"{public_url(bare)} has no {_PACKAGES} in its path: give the farm with --index, or "
            "keys with --key"
        )
    keys = _trusted_keys(reader, root, key_file)
    address = f"{bare}{PROVENANCE_SUFFIX}"
    data = reader.read(address, MAX_ENVELOPE_BYTES)
    if data is None:
        raise _no_statement(address)
    return verify(data, keys, Subject(name=name, sha256=reader.sha256(bare)))


def _check_file(reader: WebReader, path: Path, index: str, key_file: Path | None) -> Verified:
    subject = Subject(name=path.name, sha256=_file_sha256(path))
    beside = path.with_name(f"{path.name}{PROVENANCE_SUFFIX}")
    root = _root_of(index) if index else ""
    has_statement = beside.is_file()
    if not root and not has_statement:
        raise UsageError(
            f"{beside} does not exist: give the farm with --index, which is asked for the statement"
        )
    if not root and key_file is None:
        raise UsageError("give trusted keys with --key, or the farm that has them with --index")
    keys = _trusted_keys(reader, root, key_file)
    if has_statement:
        return verify(_read_file(beside, MAX_ENVELOPE_BYTES), keys, subject)
    folder = f"{subject.sha256[:2]}/{subject.sha256}"
    address = f"{root}packages/{folder}/{quote(path.name)}{PROVENANCE_SUFFIX}"
    data = reader.read(address, MAX_ENVELOPE_BYTES)
    if data is None:
        raise _no_statement(address)
    return verify(data, keys, subject)


def _trusted_keys(reader: WebReader, root: str, key_file: Path | None) -> dict[str, PublicKey]:
    if key_file is not None:
        return parse_public_keys(_read_file(key_file, MAX_KEYS_BYTES), str(key_file))
    address = f"{root}{PROVENANCE_KEYS}"
    data = reader.read(address, MAX_KEYS_BYTES)
    if data is None:
        raise NotVerifiedError(
            Problem.NO_KEYS, f"{public_url(address)}: the farm publishes no keys"
        )
    return parse_public_keys(data, public_url(address))


def _split(url: str) -> SplitResult:
    """The parts of a URL.

    Raises:
        UsageError: it is none.
    """
    try:
        return urlsplit(url)
    except ValueError as error:
        raise UsageError(f"{url} is no URL: {error}") from None


def _root_of(index: str) -> str:
    """The web root of a farm, from its address or that of its index (`.../simple/`)."""
    return f"{index.rstrip('/').removesuffix('/simple')}/"


def _root_in(url: str) -> str:
    """The web root that the URL of a wheel is in; "" if that cannot be told."""
    root, found, _ = url.rpartition(_PACKAGES)
    return f"{root}/" if found else ""


def _no_statement(address: str) -> NotVerifiedError:
    return NotVerifiedError(
        Problem.NO_STATEMENT,
        f"{public_url(address)}: there is no statement about a file with this name and these bytes",
    )


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise NotVerifiedError(Problem.UNREADABLE, f"{path}: {error.strerror}") from None
    return digest.hexdigest()


def _read_file(path: Path, limit_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit_bytes + 1)
    except OSError as error:
        raise NotVerifiedError(Problem.UNREADABLE, f"{path}: {error.strerror}") from None
    if len(data) > limit_bytes:
        raise NotVerifiedError(Problem.MALFORMED, f"{path} has more than {limit_bytes} bytes")
    return data
