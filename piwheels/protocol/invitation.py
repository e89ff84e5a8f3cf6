"""The token by which a builder joins a farm: one word that an operator hands over. Pure.

    piw1_ base64url( master's public key, 32 bytes | one-time secret, 32 bytes
                     | builder port, 2 bytes | upload port, 2 bytes | host in UTF-8
                     | first 4 bytes of the SHA-256 of all before )

The one-time secret is a CURVE secret key: whoever has it may connect once to register a key of
their own. The master keeps only its public half, so nothing that is stored there lets anybody join.
"""

import base64
import binascii
import hashlib
import ipaddress
import re
from typing import Self

import msgspec

from piwheels.errors import UsageError

PREFIX = "piw1_"
#: With so many digits of its key, or more, the name of a builder ends whose name was taken.
LABEL_KEY_DIGITS = 6
_KEY_BYTES = 32
_PORT_BYTES = 2
_CHECKSUM_BYTES = 4
_FIXED_BYTES = 2 * _KEY_BYTES + 2 * _PORT_BYTES + _CHECKSUM_BYTES
_MAX_HOST = 253  # of a name in the DNS
_MAX_TOKEN = 600
_MAX_PORT = 65_535
_HOST_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_HOST_NAME = re.compile(rf"{_HOST_LABEL}(?:\.{_HOST_LABEL})*")
_DIGITS = re.compile(rf"[0-9a-f]{{{2 * _KEY_BYTES}}}")


class InvalidTokenError(UsageError):
    """A text is not a token, or not all of it."""


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """What a token carries: where the master is, how to know it, and the right to join once.

    `str()` is the token. Keys are 64 hexadecimal digits; `secret` is a CURVE secret key.

    Raises:
        UsageError: when it is made: a field is not valid.
    """

    host: str
    builder_port: int
    upload_port: int
    master_key: str
    secret: str

    def __post_init__(self) -> None:
        if not is_host(self.host):
            raise UsageError(not_a_host(self.host))
        if not all(0 < port <= _MAX_PORT for port in (self.builder_port, self.upload_port)):
            raise UsageError(f"ports are numbers from 1 to {_MAX_PORT}")
        if not all(_DIGITS.fullmatch(key) for key in (self.master_key, self.secret)):
            raise UsageError("a key of an invitation is not 64 hexadecimal digits")

    def __str__(self) -> str:
        content = b"".join(
            (
                bytes.fromhex(self.master_key),
                bytes.fromhex(self.secret),
                self.builder_port.to_bytes(_PORT_BYTES),
                self.upload_port.to_bytes(_PORT_BYTES),
                self.host.encode(),
            )
        )
        data = content + _checksum(content)
        return PREFIX + base64.urlsafe_b64encode(data).decode().rstrip("=")

    def __repr__(self) -> str:
        """Without the secret, which must not get into a log."""
        return f"Invitation({self.host}:{self.builder_port})"

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """The invitation in a token's bytes, without their checksum."""
        master_key, rest = content[:_KEY_BYTES], content[_KEY_BYTES:]
        secret, rest = rest[:_KEY_BYTES], rest[_KEY_BYTES:]
        ports, host = rest[: 2 * _PORT_BYTES], rest[2 * _PORT_BYTES :]
        return cls(
            host=host.decode(),
            builder_port=int.from_bytes(ports[:_PORT_BYTES]),
            upload_port=int.from_bytes(ports[_PORT_BYTES:]),
            master_key=master_key.hex(),
            secret=secret.hex(),
        )


def parse_token(text: str) -> Invitation:
    """The invitation that a token carries; spaces and line breaks around and in it are ignored.

    Raises:
        InvalidTokenError: it is not one, or a part of it is missing or was changed.
    """
    if len(text) > _MAX_TOKEN:
        raise InvalidTokenError(f"this is no token: it has {len(text):,} characters")
    word = "".join(text.split())
    if not word.startswith(PREFIX):
        raise InvalidTokenError(
            f"this is no token: one begins with {PREFIX}, as `piw builder invite` prints it on the "
            "master"
        )
    data = _decode(word.removeprefix(PREFIX))
    content, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if len(data) <= _FIXED_BYTES or _checksum(content) != checksum:
        raise _INCOMPLETE
    try:
        return Invitation.from_bytes(content)
    except (UsageError, UnicodeDecodeError):
        raise _INCOMPLETE from None


def is_host(text: str) -> bool:
    """Whether a text is a host name or an IP address, without a port."""
    if len(text) > _MAX_HOST or "%" in text:  # an interface's name means nothing elsewhere
        return False
    if _HOST_NAME.fullmatch(text):
        return True
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def not_a_host(text: str) -> str:
    """The error for a text that is no host."""
    return f"{text!r} is neither a host name nor an IP address"


_INCOMPLETE = InvalidTokenError(
    "a part of the token is missing or was changed: copy all of it, as `piw builder invite` "
    "printed it"
)


def _decode(text: str) -> bytes:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _INCOMPLETE from None
    # Bits that base64 does not use would let one invitation have several tokens.
    if base64.urlsafe_b64encode(data).decode().rstrip("=") != text:
        raise _INCOMPLETE
    return data


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()[:_CHECKSUM_BYTES]
