"""What the builder's connection state machine wants done by the code that does the I/O."""

from piwheels.model import Job, Struct
from piwheels.protocol.messages import BuildFinished


class OpenConnection(Struct, frozen=True):
    """Connect to the master; events of this connection carry its number."""

    connection: int


class CloseConnection(Struct, frozen=True):
    """Close the connection, after what was sent has left; a reason is logged."""

    reason: str = ""


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
    """Send the log of a build from this offset on, up to another; answer with LogSent."""

    build_id: int
    offset: int
    end: int


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
    """End this process; one that stays up is started again only with `restart`."""

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
