"""What happened to a builder's connection and build: the events of its state machine."""

from piwheels.model import Job, Struct
from piwheels.protocol.messages import BuildFinished, ToBuilder


class FinishedBuildRestored(Struct, frozen=True):
    """A build that an earlier process finished was found in the job directory."""

    job: Job
    result: BuildFinished


class MessageReceived(Struct, frozen=True):
    """The master sent a message on this connection."""

    connection: int
    message: ToBuilder


class ConnectionLost(Struct, frozen=True):
    """A message could not be sent or received on this connection."""

    connection: int
    reason: str


class HelloSent(Struct, frozen=True):
    """The connection is established, and Hello was sent."""

    connection: int


class TimerExpired(Struct, frozen=True):
    """The time that `next_timer` gave has come."""


class PhaseEntered(Struct, frozen=True):
    """The running build entered a phase."""

    build_id: int
    phase: str


class BuildEnded(Struct, frozen=True):
    """The running build ended, and its result is stored in the job directory."""

    result: BuildFinished


class LogSent(Struct, frozen=True):
    """The log of a build was sent up to this offset, in bytes; `complete` if there is no more."""

    build_id: int
    offset: int
    complete: bool


class UploadEnded(Struct, frozen=True):
    """An upload of a build's files ended; only the master knows whether it has all of them."""

    build_id: int


class BuildFilesLost(Struct, frozen=True):
    """The files of a finished build can no longer be read."""

    build_id: int


class BuildRemoved(Struct, frozen=True):
    """Nothing of a build runs any more, and its job directory is empty."""

    build_id: int


class DescriptionChanged(Struct, frozen=True):
    """The last `Hello` is out of date."""


class DrainRequested(Struct, frozen=True):
    """This process has to end after its running build."""

    reason: str


class TerminationRequested(Struct, frozen=True):
    """This process has to end, for example because of SIGTERM."""

    reason: str


Event = (
    FinishedBuildRestored
    | MessageReceived
    | ConnectionLost
    | HelloSent
    | TimerExpired
    | PhaseEntered
    | BuildEnded
    | LogSent
    | UploadEnded
    | BuildFilesLost
    | BuildRemoved
    | DescriptionChanged
    | DrainRequested
    | TerminationRequested
)
