"""What a source (the connection to a master, or a recording) reports.

Times are UNIX seconds: of this machine for a connection, of the recording for a replay.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from piwheels.protocol.messages import Event, EventBatch, Snapshot

#: The latest time that a clock can show. A recording may be anybody's.
MAX_UNIX_S = 1e11
UnixSeconds = Annotated[float, Meta(ge=0, le=MAX_UNIX_S)]

Update = Snapshot | EventBatch | Event


class Connected(msgspec.Struct, frozen=True, tag=True):
    """A master answers; a Snapshot follows."""

    instance: str
    same_master: bool | None  # as before; None for the first, or where it is not known


class Disconnected(msgspec.Struct, frozen=True, tag=True):
    """No master answers, for this reason (one line); the next attempt is at `retry_at`."""

    reason: str
    retry_at: UnixSeconds


class MessageReceived(msgspec.Struct, frozen=True, tag=True):
    """The master sent this."""

    body: Update
    received_at: UnixSeconds


class Heartbeat(msgspec.Struct, frozen=True, tag=True):
    """The master is there and has nothing to report."""

    received_at: UnixSeconds


SourceEvent = Connected | Disconnected | MessageReceived | Heartbeat
