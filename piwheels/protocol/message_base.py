"""What every message is made of, and the limits that both sides of a socket know."""

from typing import Annotated

import msgspec
from msgspec import Meta

#: Raised by one with every change that an older peer would not understand.
PROTOCOL = 3

#: The largest piece of a file that one message carries, in bytes.
CHUNK_BYTES = 256 * 1024

#: Builders cut a log at this length, and the master too.
MAX_LOG_BYTES = 32 * 1024 * 1024


# What strangers' figures and words may be (a builder's, or a recording's that somebody sent).
# Others, and NaN with them, make a message malformed: whoever reckons with them would end.
BoundedFloat = Annotated[float, Meta(ge=-1e12, le=1e12)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
SizeBytes = Annotated[int, Meta(ge=0, le=2**62)]
#: A number that a peer counts by: what the database can hold (PostgreSQL's bigint).
BigInt = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
MAX_INPUT_CHARS = 1000
#: So many builders, projects or releases one command names.
MAX_NAMES = 100_000
#: A builder serves at most so many targets; each is a row of every operator's table.
MAX_TARGETS = 64
NulFreeText = Annotated[str, Meta(max_length=MAX_INPUT_CHARS, pattern=r"\A[^\0]*\Z")]
#: A word or two that every console is shown, again and again.
ShortText = Annotated[str, Meta(max_length=200)]
#: A sentence: why something happened, or a specifier.
LongText = Annotated[str, Meta(max_length=10_000)]
#: The name of a file. `names` knows how long one may be; this much is read to say so.
FileName = Annotated[str, Meta(max_length=10_000)]
#: A SHA-256 in hexadecimal; that it is one is checked where it is compared.
Sha256Hex = Annotated[str, Meta(max_length=64)]


#: What bytes that are no message raise: msgspec's own errors, words that are no UTF-8, and
#: nesting without end.
MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Header(msgspec.Struct, frozen=True):
    """What a message says of itself, also to who does not understand the rest of it."""

    request_id: BigInt = 0  # of a Command; what is answered under 0 reaches nobody
    protocol: BigInt = PROTOCOL


def parse_header(data: bytes) -> Header:
    """The header of a message, as far as there is one."""
    try:
        return msgspec.msgpack.decode(data, type=Header)
    except MALFORMED:
        return Header()


def protocol_mismatch_message(protocol: int) -> str:
    """Why a master cannot speak with a peer of another protocol, and what to do."""
    return (
        f"this master speaks protocol {PROTOCOL}, not {protocol}; install the same piwheels on both"
    )


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of every message."""


class CommandMessage(Message, frozen=True, kw_only=True):
    """Base of the messages that change something: each is defined in `protocol.commands`."""
