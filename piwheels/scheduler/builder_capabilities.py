"""What a builder can do, compared with the other builders. No I/O and no clock."""

from collections.abc import Iterable

from piwheels.model import BuilderCapability
from piwheels.scheduler.builder_record import Session


def capability(session: Session, sessions: Iterable[Session], max_memory: int) -> BuilderCapability:
    """A builder's limits and speed among the connected ones.

    `max_memory` is the largest memory limit, in bytes, of the builders that serve its targets.
    """
    connected = list(sessions)
    others = {name: other_builders(session.label, name, connected) for name in session.targets}
    speeds = (other.hello.speed for group in others.values() for other in group)
    return BuilderCapability(
        memory_bytes=session.hello.memory_limit_bytes,
        disk_bytes=session.free_disk_bytes,
        speed=session.hello.speed,
        exclusive_targets=tuple(name for name, group in others.items() if not group),
        layer_targets=session.hello.layer_targets,
        largest_memory_bytes=max_memory,
        largest_disk_bytes=max(
            session.free_disk_bytes,
            *(other.free_disk_bytes for group in others.values() for other in group),
            0,
        ),
        best_speed=max(session.hello.speed, *speeds, 0.0),
    )


def other_builders(label: str, target: str, sessions: Iterable[Session]) -> list[Session]:
    """The builders other than `label` that can take any job for a target now."""
    return [
        session
        for session in sessions
        if session.label != label
        and session.accepts_jobs
        and not session.disk_full_reason()
        and target in session.targets
        and target not in session.targets_without_compiler
    ]


def max_memory_bytes(targets: Iterable[str], sessions: Iterable[Session]) -> int:
    """The largest memory limit of the builders that serve one of these targets."""
    wanted = set(targets)
    serving = (session for session in sessions if wanted & set(session.targets))
    return max((session.hello.memory_limit_bytes for session in serving), default=0)
