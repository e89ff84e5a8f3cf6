"""The public keys of a farm, as it publishes them in `provenance-keys.json`."""

import base64
import binascii
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from piwheels.provenance import ed25519
from piwheels.provenance.errors import NotVerifiedError, Problem

#: More than this is no file of keys.
MAX_KEYS_BYTES = 1024 * 1024
#: The longest reason of a revocation.
MAX_REASON_CHARS = 200
_FORMAT = 1
_ALGORITHM = "ed25519"
_HEX_DIGITS = 2 * ed25519.KEY_BYTES
_Time = Annotated[datetime, Meta(tz=True)]


class PublicKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that statements are, or were, signed with."""

    keyid: str  # the SHA-256 of the key's 32 bytes, in hex
    algorithm: str = _ALGORITHM
    public_key: str  # base64 of its 32 bytes
    valid_from: _Time
    valid_until: _Time | None = None  # when another key replaced it; null: it is in use
    revoked_at: _Time | None = None  # nothing that it signed is trusted; null: it is not revoked
    revoked_reason: Annotated[str, Meta(max_length=MAX_REASON_CHARS)] = ""

    @property
    def raw(self) -> bytes:
        """Its 32 bytes."""
        return base64.b64decode(self.public_key)


class PublicKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The document: every key, the newest first."""

    format: int = _FORMAT
    keys: Annotated[tuple[PublicKey, ...], Meta(max_length=10_000)]

    def encode(self) -> bytes:
        """The document in JSON."""
        return msgspec.json.format(msgspec.json.encode(self)) + b"\n"


def parse_public_keys(data: bytes, source: str) -> dict[str, PublicKey]:
    """The keys of a document by id; or the one key of a text of 64 hexadecimal digits.

    Raises:
        NotVerifiedError: there are none; the message names the source.
    """
    if (single := _single_key(data)) is not None:
        return {single.keyid: single}
    try:
        document = msgspec.json.decode(data, type=PublicKeys)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotVerifiedError(
            Problem.NO_KEYS,
            f"{source} has no keys: neither a provenance-keys.json nor {_HEX_DIGITS} "
            "hexadecimal digits",
        ) from None
    keys = {key.keyid: key for key in document.keys if _is_valid(key)}
    if not keys:
        raise NotVerifiedError(Problem.NO_KEYS, f"{source} has no Ed25519 key")
    return keys


def limit_key(key: PublicKey, other: PublicKey) -> PublicKey:
    """A key that ended when the first of two lists says so, and is revoked if one of them does."""
    ends = [it.valid_until for it in (key, other) if it.valid_until is not None]
    revoked = key if key.revoked_at else other
    return msgspec.structs.replace(
        key,
        valid_until=min(ends, default=None),
        revoked_at=revoked.revoked_at,
        revoked_reason=revoked.revoked_reason,
    )


def _single_key(data: bytes) -> PublicKey | None:
    try:
        raw = bytes.fromhex(data[: _HEX_DIGITS + 2].decode().strip())
    except ValueError:
        return None
    if len(raw) != ed25519.KEY_BYTES or data[_HEX_DIGITS:].strip():
        return None
    return PublicKey(
        keyid=ed25519.key_id(raw),
        public_key=base64.b64encode(raw).decode(),
        valid_from=datetime.fromisoformat("1970-01-01T00:00:00Z"),
    )


def _is_valid(key: PublicKey) -> bool:
    """Whether it is a key of this algorithm under its own id."""
    try:
        raw = base64.b64decode(key.public_key, validate=True)
    except (binascii.Error, ValueError):
        return False
    return key.algorithm == _ALGORITHM and key.keyid == ed25519.key_id(raw)
