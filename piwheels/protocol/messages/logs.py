"""A part of a build's log, as builders send it and consoles get it."""

from typing import Annotated

from msgspec import Meta

from piwheels.protocol.message_base import CHUNK_BYTES, BigInt, Message, Seconds, SizeBytes

#: The most times that one part has.
MAX_ARRIVALS = 5000

#: So much of the end of a log is sent at most.
MAX_TAIL_BYTES = 4096


class LogTail(Message, frozen=True, kw_only=True):
    """The end of a log, as the answer to TailLog."""

    offset: SizeBytes  # where in the log it begins, in bytes
    data: Annotated[bytes, Meta(max_length=MAX_TAIL_BYTES)] = b""
    running: bool = False  # its build runs, so that there may be more


class LogChunk(Message, frozen=True, kw_only=True):
    """A part of a build's log: FromBuilder, or the answer to FollowLog.

    `offset` is where in the log it begins, in bytes. To a console, `finished` says that no more
    will come.
    """

    build: BigInt
    offset: SizeBytes
    data: Annotated[bytes, Meta(max_length=CHUNK_BYTES)]
    finished: bool = False
    #: To a console: where in the log what arrived began, in bytes, and how many seconds after the
    #: build's start that was; for the parts of which it is known.
    arrivals: Annotated[tuple[tuple[SizeBytes, Seconds], ...], Meta(max_length=MAX_ARRIVALS)] = ()
    total_bytes: SizeBytes = 0  # to a console: the size of a log that has ended; 0: it grows
