"""A part of a build's log, as builders send it and consoles get it."""

from typing import Annotated

from msgspec import Meta

from piwheels.protocol.message_base import CHUNK_BYTES, BigInt, Message, SizeBytes


class LogChunk(Message, frozen=True, kw_only=True):
    """A part of a build's log: FromBuilder, or the answer to FollowLog.

    `offset` is where in the log it begins, in bytes. To a console, `finished` says that no more
    will come.
    """

    build: BigInt
    offset: SizeBytes
    data: Annotated[bytes, Meta(max_length=CHUNK_BYTES)]
    finished: bool = False
