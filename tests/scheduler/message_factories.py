"""Messages of builders, and answers of the state machine, in tests without a socket."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from piwheels.model import HostMetrics, Job, Outcome, Sdist, Target
from piwheels.protocol import messages as m
from piwheels.scheduler import state_machine_events as s
from piwheels.scheduler.builder_state_machine import BuilderStateMachine

TARGET = Target(
    name="cp311-bookworm-aarch64",
    python="3.11",
    python_full="3.11.2",
    abi="cp311",
    arch="aarch64",
    os="bookworm",
    glibc="2.36",
)


def hello(
    current_build: int | None = None,
    last_build: int = 0,
    *,
    target: Target = TARGET,
    instance: str = "",
    build_timeout_s: float = 0.0,
    load: float = 0.0,
) -> m.Hello:
    return m.Hello(
        protocol=m.PROTOCOL,
        version="1",
        targets=(target,),
        platform="linux aarch64",
        board="Pi",
        os="bookworm",
        host=HostMetrics(load=load),
        build_timeout_s=build_timeout_s,
        current_build=current_build,
        last_build=last_build,
        instance=instance,
    )


def offer(file: Path) -> m.ArtifactInfo:
    """What a builder says about a wheel that it has built."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return m.ArtifactInfo(filename=file.name, size_bytes=file.stat().st_size, sha256=digest)


def idle(last_build: int = 0) -> m.IdleHeartbeat:
    return m.IdleHeartbeat(last_build=last_build, host=HostMetrics())


def building(build: int, phase: str = "building") -> m.BuildHeartbeat:
    return m.BuildHeartbeat(build=build, phase=phase, phase_s=1.0, host=HostMetrics())


def build_finished(
    build: int, outcome: Outcome = Outcome.BUILT, reason: str = ""
) -> m.BuildFinished:
    files = (m.ArtifactInfo(filename="a-1-py3-none-any.whl", size_bytes=1, sha256="0"),)
    return m.BuildFinished(
        build=build,
        outcome=outcome,
        reason=reason,
        duration_s=1.0,
        files=files if outcome == "built" else (),
    )


def job(build: int) -> Job:
    return Job(
        build_id=build,
        project="a",
        version="1",
        target=TARGET.name,
        sdist=Sdist(filename="a-1.tar.gz", url="u", sha256="0"),
        released_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def replies(instructions: list[s.Instruction]) -> list[m.ToBuilder]:
    return [item.message for item in instructions if isinstance(item, s.SendMessage)]


def without_publishing(instructions: list[s.Instruction]) -> list[s.Instruction]:
    """The instructions other than publishing events and estimating durations."""
    return [
        item for item in instructions if not isinstance(item, s.PublishBuilder | s.EstimateDuration)
    ]


def types_of(instructions: list[s.Instruction]) -> list[type]:
    return [type(item) for item in instructions]


def start_build(
    machine: BuilderStateMachine,
    build: int = 7,
    label: str = "b",
    at: float = 0.0,
    build_timeout_s: float = 0.0,
) -> None:
    """A builder joins, and gets a job."""
    machine.handle(s.MessageReceived(label, hello(build_timeout_s=build_timeout_s)), at)
    machine.handle(s.MessageReceived(label, idle()), at)
    machine.handle(s.JobClaimed(label, job(build)), at)
