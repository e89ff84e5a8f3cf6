"""What a builder can do, compared with the other builders. No I/O and no clock."""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from piwheels.model import BuilderCapability, FreeDisk, OtherBuilder, TargetLimits
from piwheels.scheduler.builder_record import Session

#: A builder is left out if so many have as much of everything: one of them can be the one to avoid.
#: The one that claims counts too: where it has not enough, none has that has less.
_MAX_BETTER = 2


def capability(
    session: Session,
    sessions: Iterable[Session],
    largest_memory: Mapping[str, int],
    with_packages: Mapping[str, dict[tuple[str, ...], int]],
) -> BuilderCapability:
    """A builder's limits and speed among the connected ones.

    `largest_memory` is, by target, the largest memory limit of all builders, in bytes, and
    `with_packages` that of those that have or add some packages.
    """
    serving: dict[str, list[OtherBuilder]] = {name: [] for name in session.targets}
    for each in sessions:
        _add(each, serving)
    others, limits = [], {}
    for name, builders in serving.items():
        others += [each for each in undominated(builders) if each.label != session.label]
        if not any(each.label == session.label for each in builders):
            builders.append(_as_other(session, name))
        limits[name] = replace(
            _limits(builders, largest_memory.get(name, 0)),
            memory_with_packages=with_packages.get(name, {}),
        )
    # A claim looks for one that suits in this order: those with much of both come first.
    memory = max((each.memory_bytes for each in others), default=0) or 1
    disk = max((each.disk_bytes for each in others), default=0) or 1
    others.sort(key=lambda it: min(it.memory_bytes / memory, it.disk_bytes / disk), reverse=True)
    return BuilderCapability(
        memory_bytes=session.hello.memory_limit_bytes,
        disk_bytes=session.free_disk_bytes,
        speed=session.hello.speed,
        layer_targets=session.hello.layer_targets,
        others=tuple(others),
        limits=limits,
    )


def _add(session: Session, serving: Mapping[str, list[OtherBuilder]]) -> None:
    if session.accepts_jobs and not session.disk_full_reason():
        for target in session.hello.targets:
            builders = serving.get(target.name)
            if builders is not None and target.name not in session.hello.targets_without_compiler:
                builders.append(_as_other(session, target.name))


def _as_other(session: Session, target: str) -> OtherBuilder:
    return OtherBuilder(
        label=session.label,
        target=target,
        memory_bytes=session.hello.memory_limit_bytes,
        disk_bytes=session.known_disk_bytes,
        speed=session.hello.speed,
        adds_packages=target in session.hello.layer_targets,
    )


def _limits(builders: Iterable[OtherBuilder], largest_memory: int) -> TargetLimits:
    memory, disk = [0, 0], [0, 0]
    for each in builders:
        memory.append(each.memory_bytes)
        disk.append(each.disk_bytes)
    return TargetLimits(
        largest_memory_bytes=largest_memory,
        second_memory_bytes=sorted(memory)[-2],
        largest_disk_bytes=max(disk),
        second_disk_bytes=sorted(disk)[-2],
    )


def undominated(builders: Iterable[OtherBuilder]) -> list[OtherBuilder]:
    """Builders of a target without those that two others equal or exceed in everything."""
    kept: list[tuple[int, int, float, bool]] = []
    found = []
    for each in sorted(builders, key=_strength, reverse=True):
        _, disk, speed, adds = strength = _strength(each)
        better = 0
        for _, other_disk, other_speed, other_adds in kept:  # with as much memory, by the order
            if other_disk >= disk and other_speed >= speed and other_adds >= adds:
                better += 1
                if better == _MAX_BETTER:
                    break
        else:
            kept.append(strength)
            found.append(each)
    return found


def _strength(builder: OtherBuilder) -> tuple[int, int, float, bool]:
    return builder.memory_bytes, builder.disk_bytes, builder.speed, builder.adds_packages


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


def free_disk(targets: Iterable[str], sessions: Iterable[Session]) -> dict[str, FreeDisk]:
    """Of builders that take jobs, by target; without targets where no free disk is known."""
    serving: dict[str, list[OtherBuilder]] = {name: [] for name in targets}
    for session in sessions:
        _add(session, serving)
    found = {}
    for name, builders in serving.items():
        if known := [each.disk_bytes for each in builders if each.disk_bytes]:
            limits = _limits(builders, 0)
            found[name] = FreeDisk(
                least_bytes=min(known),
                second_bytes=limits.second_disk_bytes,
                most_bytes=limits.largest_disk_bytes,
            )
    return found


def memory_by_target(sessions: Iterable[Session]) -> dict[str, int]:
    """The largest memory limit by target, in bytes, of builders with a C compiler if there are."""
    equipped: dict[str, int] = {}
    bare: dict[str, int] = {}
    for session in sessions:
        hello = session.hello
        for target in hello.targets:
            found = bare if target.name in hello.targets_without_compiler else equipped
            found[target.name] = max(found.get(target.name, 0), hello.memory_limit_bytes)
    return bare | equipped
