"""What messages are made of, and the limits that both sides of a socket apply."""

from typing import Annotated

import msgspec
from msgspec import Meta

from piwheels.errors import MALFORMED

#: Increased with every change that a peer of the previous version would not understand.
PROTOCOL = 4
#: The oldest version of builders that this master still understands. Master and builders are
#: upgraded one after the other: it is the previous released version, if there was one.
OLDEST_BUILDER_PROTOCOL = 4

#: The largest chunk of a file in one message, in bytes.
CHUNK_BYTES = 256 * 1024

#: Builders truncate a log at this length, and so does the master.
MAX_LOG_BYTES = 32 * 1024 * 1024


# Limits on numbers and texts of untrusted peers (builders, and recordings from elsewhere). Other
# values, and NaN, make a message malformed, so that no calculation has to handle them.
BoundedFloat = Annotated[float, Meta(ge=-1e12, le=1e12)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
SizeBytes = Annotated[int, Meta(ge=0, le=2**62)]
#: A number of a peer; the database can store it (PostgreSQL's bigint).
BigInt = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
MAX_INPUT_CHARS = 1000
MAX_SHORT_CHARS = 200
#: The most builders, projects or releases that one command names.
MAX_NAMES = 100_000
#: The most time series that one query names.
MAX_SERIES = 200
#: A builder serves at most this many targets; each is a row of every operator's table.
MAX_TARGETS = 64
NulFreeText = Annotated[str, Meta(max_length=MAX_INPUT_CHARS, pattern=r"\A[^\0]*\Z")]
#: A word or two that every console shows.
ShortText = Annotated[str, Meta(max_length=MAX_SHORT_CHARS)]
#: A sentence: why something happened, or a specifier.
LongText = Annotated[str, Meta(max_length=10_000)]
#: The name of a file. `untrusted_names` limits its length further, and gives a reason.
FileName = Annotated[str, Meta(max_length=10_000)]
#: A SHA-256 in hexadecimal; its form is checked where it is compared.
Sha256Hex = Annotated[str, Meta(max_length=64)]


class Header(msgspec.Struct, frozen=True):
    """The part of a request that every version of the protocol can read."""

    #: 0 where there is none: no client reads replies to it.
    request_id: BigInt = msgspec.field(default=0, name="number")
    protocol: BigInt = PROTOCOL


def parse_header(data: bytes) -> Header:
    """The header of a request, as far as it can be read."""
    try:
        return msgspec.msgpack.decode(data, type=Header)
    except MALFORMED:
        return Header()


def speaks_with_builder(protocol: int) -> bool:
    """Whether a master understands a builder of this version of the protocol."""
    return OLDEST_BUILDER_PROTOCOL <= protocol <= PROTOCOL


def protocol_mismatch_message(protocol: int, oldest: int | None = None) -> str:
    """Why the master rejects a peer with another protocol, and what to do.

    Args:
        protocol: the peer's.
        oldest: the oldest one that the master would accept there; None: only its own.
    """
    spoken = f"{oldest} to {PROTOCOL}" if oldest and oldest < PROTOCOL else f"{PROTOCOL}"
    return (
        f"this master speaks protocol {spoken}, not {protocol}; install the same piwheels on both"
    )


def builder_mismatch_message(protocol: int) -> str:
    """Why the master rejects a builder with another protocol."""
    return protocol_mismatch_message(protocol, OLDEST_BUILDER_PROTOCOL)


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of every message."""


class CommandMessage(Message, frozen=True, kw_only=True):
    """Base of the messages that change something: each is defined in `protocol.commands`."""
