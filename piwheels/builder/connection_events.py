"""What goes into the builder's connection state machine, and what comes out.

Events are facts of the past; instructions are imperatives for the code that does the I/O.
"""

from piwheels.model import Job, Struct
from piwheels.protocol.messages import BuildFinished, ToBuilder

# --- events ------------------------------------------------------------------------------


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
    """The log of a build was sent up to this offset, in bytes."""

    build_id: int
    offset: int


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
    | TerminationRequested
)

# --- instructions ------------------------------------------------------------------------


class OpenConnection(Struct, frozen=True):
    """Connect to the master; events of this connection carry its number."""

    connection: int


class CloseConnection(Struct, frozen=True):
    """Close the connection, after what was sent has left."""


class SendHello(Struct, frozen=True):
    """Describe this builder to the master; answer with HelloSent."""

    current_build: int | None
    last_build: int


class SendIdleHeartbeat(Struct, frozen=True):
    """Ask for a job, with the current host metrics."""

    last_build: int


class SendBuildHeartbeat(Struct, frozen=True):
    """Report the phase of the current build, with the current host metrics."""

    build_id: int
    phase: str
    phase_s: float


class SendLog(Struct, frozen=True):
    """Send the log of a build from this offset on; answer with LogSent."""

    build_id: int
    offset: int


class SendBuildResult(Struct, frozen=True):
    """Report how a build ended."""

    result: BuildFinished


class SendGoodbye(Struct, frozen=True):
    """Tell the master that this builder leaves."""

    reason: str


class RunBuild(Struct, frozen=True):
    """Build a job; answer with PhaseEntered and BuildEnded."""

    job: Job


class UploadArtifacts(Struct, frozen=True):
    """Offer the files of a finished build; answer with UploadEnded or BuildFilesLost."""

    result: BuildFinished


class RemoveBuild(Struct, frozen=True):
    """End the build and its upload, and empty the job directory; answer with BuildRemoved."""

    build_id: int


class Exit(Struct, frozen=True):
    """End this process as the master requested; it is started again only with `restart`."""

    reason: str
    restart: bool


class FailPermanently(Struct, frozen=True):
    """End this process: the master does not accept this builder."""

    reason: str


Instruction = (
    OpenConnection
    | CloseConnection
    | SendHello
    | SendIdleHeartbeat
    | SendBuildHeartbeat
    | SendLog
    | SendBuildResult
    | SendGoodbye
    | RunBuild
    | UploadArtifacts
    | RemoveBuild
    | Exit
    | FailPermanently
)
