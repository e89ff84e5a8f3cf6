"""The status of a release that is not blocked, for one target."""

from typing import NamedTuple

from msgspec.structs import replace

from piwheels.causes.explanation import describe_build, next_step, summarize_build
from piwheels.causes.outcome_texts import outcome_label, outcome_verb
from piwheels.formatting import format_queue_position, format_size, format_wait_range
from piwheels.model import (
    FailureClass,
    Outcome,
    ProjectStatusRow,
    ReleaseStatusRow,
    State,
    TargetStatusRow,
)
from piwheels.release_status.status import ReleaseStatus, StatusContext, make_status, unskip_hint
from piwheels.release_status.target_notes import notes_of
from piwheels.release_status.times import elapsed_text, time_until_text


def target_status(
    facts: ProjectStatusRow,
    release: ReleaseStatusRow,
    target: TargetStatusRow,
    context: StatusContext,
) -> ReleaseStatus:
    """The status of a release that is not blocked, for one target."""
    known = _classify(facts, release, target, context)
    covered = known.state is State.COVERED
    return replace(
        known,
        target=target.target,
        notes=tuple(notes_of(release, target, known.state)),
        build=target.current_build_id or target.last_build_id,
        file=(target.covered_by or "") if covered else "",
        cause=None if covered else target.last_cause,
        next_step=_next_step(target, known.state),
        built_for_target=covered
        and not target.is_mirrored
        and target.last_outcome is Outcome.BUILT
        and not target.built_for_other_target,
    )


def _classify(
    facts: ProjectStatusRow,
    release: ReleaseStatusRow,
    target: TargetStatusRow,
    context: StatusContext,
) -> ReleaseStatus:
    if not target.python_allowed:
        text = f"its Requires-Python ({release.requires_python}) excludes this Python"
        detail = f"Requires-Python is {release.requires_python}"
        return make_status(facts, release, State.EXCLUDED, text, detail=detail)
    if target.covered_by is not None:
        mirrored = ", mirrored from the upstream index," if target.is_mirrored else ""
        text = f"{target.covered_by}{mirrored} is published and installs there"
        return make_status(facts, release, State.COVERED, text, detail=target.covered_by)
    if target.upstream_wheel is not None and target.claimed_by is None:
        name = target.upstream_wheel
        text = f"upstream has {name}, which covers it: nothing is built, {_mirror_text(target)}"
        policy = "mirror" if target.to_be_mirrored else "missing"
        whose = "project" if facts.upstream_wheel_policy else "farm"
        rule = f"that is the policy {policy}, set for the {whose}"
        return make_status(facts, release, State.UPSTREAM_WHEEL, text, hint=rule, detail=name)
    if skipped := _skip_state(facts, release, target):
        return skipped
    return _unpublished_state(facts, release, target, context)


def _mirror_text(target: TargetStatusRow) -> str:
    """Where installers get the upstream wheel that covers a target."""
    if not target.to_be_mirrored:
        return "installers take that one"
    if target.mirror_refused:
        return (
            "installers take that one from the upstream, because it is not mirrored here: "
            f"{target.mirror_problem}"
        )
    if target.mirror_problem:
        return f"it is to be mirrored here, and could not be yet: {target.mirror_problem}"
    return "it is to be mirrored here"


def _skip_state(
    facts: ProjectStatusRow, release: ReleaseStatusRow, target: TargetStatusRow
) -> ReleaseStatus | None:
    if target.target_skip_reason is not None:
        return make_status(
            facts,
            release,
            State.TARGET_SKIPPED,
            f"nothing is built for this target: {target.target_skip_reason}",
            hint=unskip_hint(f"--target {target.target}"),
            detail=target.target_skip_reason,
        )
    if target.skip_reason is None:
        return None
    whole = "project" if target.skips_whole_project else "release"
    name = facts.project if target.skips_whole_project else f"{facts.project}=={release.version}"
    return make_status(
        facts,
        release,
        State.TARGET_SKIPPED,
        f"the {whole} is skipped for this target: {target.skip_reason}",
        hint=unskip_hint(f"{name} --target {target.target}"),
        detail=target.skip_reason,
    )


def _unpublished_state(
    facts: ProjectStatusRow,
    release: ReleaseStatusRow,
    target: TargetStatusRow,
    context: StatusContext,
) -> ReleaseStatus:
    """The state without a published wheel: queued, failed, or waiting for another target."""
    now = context.now
    if target.claimed_by is not None and target.claimed_at is not None:
        text = (
            f"it has been building on {target.claimed_by} {elapsed_text(target.claimed_at, now)} "
            f"(build {target.current_build_id}, attempt {target.attempts})"
        )
        follow = f"`piw log {target.current_build_id} -f` follows"
        return make_status(facts, release, State.BUILDING, text, hint=follow)
    if target.retry_at is not None:
        follows = f": {_next_step(target, State.DEFERRED)}" if target.last_cause else ""
        when = time_until_text(target.retry_at, now)
        text = f"{_last_result_text(target)}; it is retried {when}{follows}"
        return make_status(facts, release, State.DEFERRED, text)
    if target.hold_reason is not None:
        name = f"{facts.project}=={release.version}"
        return make_status(
            facts,
            release,
            State.HELD,
            f"on hold until an operator decides: {target.hold_reason}",
            hint=f"`piw log {target.last_build_id}` shows the last build, "
            f"`piw retry {name} --target {target.target}` tries again",
            detail=target.hold_reason,
        )
    if target.queued:
        return _queued_state(facts, release, target, context)
    if target.last_final:
        return _failed_state(facts, release, target)
    text = (
        "waiting for an earlier target (an older Python, or this one on an older "
        "system): if its wheel also fits this target, nothing is built here; otherwise this target "
        "is built next"
    )
    return make_status(facts, release, State.WAITING, text)


def _failed_state(
    facts: ProjectStatusRow, release: ReleaseStatusRow, target: TargetStatusRow
) -> ReleaseStatus:
    name = f"{facts.project}=={release.version}"
    return make_status(
        facts,
        release,
        State.FAILED,
        f"{_last_result_text(target)}; {_next_step(target, State.FAILED)}",
        hint=(
            f"`piw log {target.last_build_id}` shows why, "
            f"`piw retry {name} --target {target.target}` tries again"
        ),
        detail=_failure_text(target),
    )


def _queued_state(
    facts: ProjectStatusRow,
    release: ReleaseStatusRow,
    target: TargetStatusRow,
    context: StatusContext,
) -> ReleaseStatus:
    ahead = target.jobs_ahead
    place = f"it is queued for this target, {format_queue_position(ahead.least, ahead.most)}"
    if target.to_be_rebuilt is not None and target.without_compiler:
        place = (
            f"{target.to_be_rebuilt} is published, made without a C compiler, and is to be "
            f"rebuilt: {place}"
        )
    elif target.to_be_rebuilt is not None and not target.sdist_replaced:
        place = f"{target.to_be_rebuilt} is published, and a rebuild was requested: {place}"
    if target.last_build_id is not None and target.last_outcome is not Outcome.BUILT:
        place = f"{_last_result_text(target)}; {place}"
    obstacle = _queue_obstacle(target, context)
    text = obstacle.text
    if obstacle.state is State.QUEUED and target.expected and context.now:
        wait = format_wait_range(target.expected.soonest_s, target.expected.latest_s)
        text += f", expected to start in {wait}"
    return make_status(
        facts, release, obstacle.state, f"{place}{text}", hint=obstacle.hint, detail=obstacle.detail
    )


class _Obstacle(NamedTuple):
    """Why no builder can get a queued job now."""

    state: State
    text: str = ""
    hint: str = ""  # what an operator can do
    detail: str = ""  # what the job waits for, short, for a table cell


def _queue_obstacle(target: TargetStatusRow, context: StatusContext) -> _Obstacle:
    if target.target not in context.served_targets:
        return _Obstacle(
            State.UNSERVED, ", but no connected builder serves it", detail="no connected builder"
        )
    if target.awaited_packages:
        wanted = f"waits for a builder that has {', '.join(target.awaited_packages)}"
        hint = "a builder where they are installed, or one with roots, gets it"
        return _Obstacle(State.UNSERVED, f", and {wanted}", hint, wanted)
    equipped = context.targets_with_compiler
    if target.needs_compiler and equipped is not None and target.target not in equipped:
        return _Obstacle(
            State.UNSERVED,
            ", but no connected builder that serves it has a C compiler",
            detail="waits for a builder with a C compiler",
        )
    if context.paused:
        return _Obstacle(State.PAUSED, ", but the farm is paused", "`piw resume` continues")
    obstacle = _memory_obstacle(target, context)
    return obstacle._replace(text=f"{obstacle.text}{_disk_text(target, context)}")


def _disk_text(target: TargetStatusRow, context: StatusContext) -> str:
    """That builders with little free disk do not get a job that others can take."""
    disk = context.free_disk.get(target.target)
    if disk is None:
        return ""
    most = disk.most_bytes if target.attempts else disk.second_bytes
    wanted = min(target.min_disk_bytes, most)
    if wanted <= disk.least_bytes:
        return ""
    less = f" (its project used {format_size(target.min_disk_bytes)})"
    return (
        f", for a builder with {format_size(wanted)} of free disk"
        f"{less if wanted < target.min_disk_bytes else ''}, or for any if none of those can take it"
    )


def _memory_obstacle(target: TargetStatusRow, context: StatusContext) -> _Obstacle:
    """Likewise, for a job that needs more memory than some builders have."""
    over, largest = target.memory_over_bytes, context.known_memory_bytes.get(target.target, 0)
    if not over or not largest:
        return _Obstacle(State.QUEUED)
    with_packages = context.memory_with_packages.get(target.target, {})
    supplied = with_packages.get(target.required_packages)
    if supplied is not None and over >= supplied:
        return _without_both(target, supplied)
    if over >= largest:
        text = (
            f"; no builder of the farm has {_memory_text(target)} of memory for it, and the "
            f"largest, with {format_size(largest)}, tries it"
        )
        return _Obstacle(State.QUEUED, text)
    wanted = f"for a builder with {_memory_text(target)} of memory"
    if over >= context.memory_bytes.get(target.target, 0):
        hint = "those that have it are not connected, or get no jobs"
        return _Obstacle(State.UNSERVED, f", and waits {wanted}", hint, f"waits {wanted}")
    return _Obstacle(State.QUEUED, f", {wanted}")


def _without_both(target: TargetStatusRow, supplied_bytes: int) -> _Obstacle:
    """That no single builder has the memory and the packages that a job needs."""
    packages = ", ".join(target.required_packages)
    text = (
        f"; no builder of the farm has {_memory_text(target)} of memory and has or adds "
        f"{packages}, and the largest that does, with {format_size(supplied_bytes)}, tries it"
    )
    hint = f"a builder with that memory needs {packages} installed, or roots"
    return _Obstacle(State.QUEUED, text, hint)


def _memory_text(target: TargetStatusRow) -> str:
    """How much memory a queued job needs: more than where it failed, or as much as others used."""
    cause = target.last_cause
    if cause is not None and cause.failure_class is FailureClass.OUT_OF_MEMORY:
        return f"more than {format_size(target.memory_over_bytes)}"
    return format_size(target.memory_over_bytes + 1)


def _last_result_text(target: TargetStatusRow) -> str:
    told = describe_build(target.last_cause, target.last_reason or "")
    did = outcome_verb(target.last_outcome or "")
    return f"build {target.last_build_id} {did}{': ' if told else ''}{told}"


def _next_step(target: TargetStatusRow, state: State) -> str:
    """What follows from the last failure; "" where the state does not depend on it."""
    if state is State.FAILED:
        return next_step(target.last_cause, will_retry=False)
    if target.last_cause is None or state not in {State.DEFERRED, State.QUEUED}:
        return ""
    return next_step(target.last_cause, will_retry=True)


def _failure_text(target: TargetStatusRow) -> str:
    """The last failure, without saying again that it failed."""
    outcome = target.last_outcome
    reason = summarize_build(target.last_cause, target.last_reason or "")
    if outcome is None or outcome is Outcome.FAILED:
        return reason
    label = outcome_label(outcome)
    return f"{label}: {reason}" if reason else label
