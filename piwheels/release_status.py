"""Why a release has or lacks a wheel for a target, and what happens next.

The only place that determines this: `piw explain`, the final table of `piw up`, the console, a
project's page and its JSON use `release_statuses`.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import assert_never

from piwheels.formatting import approximate_duration
from piwheels.model import (
    Outcome,
    ProjectStatus,
    ProjectStatusRow,
    ReleaseStatusRow,
    Struct,
    TargetStatusRow,
    UpstreamPage,
)

_MAX_PROBLEMS_SHOWN = 3
#: `piw up --exit-when-idle` waits for retries that are due within this interval.
SOON_INTERVAL = timedelta(minutes=10)


class State(StrEnum):
    """The state of a project, a release, or a release for a target, in one word."""

    UNKNOWN = "unknown"  # the farm does not know the project
    NO_RELEASE = "no-release"  # no release of it was requested
    UNKNOWN_RELEASE = "unknown-release"
    UNKNOWN_TARGET = "unknown-target"
    UPSTREAM = "upstream"  # what the last check of the upstream index found
    REMOVED = "removed"  # a release that existed when it was first queried
    SKIPPED = "skipped"  # the project or the release, by an operator
    QUARANTINED = "quarantined"  # the project, by the upstream index (PEP 792)
    MISSING = "missing"  # the upstream index no longer lists the release
    NO_SDIST = "no-sdist"
    TARGET_SKIPPED = "target-skipped"  # the target, or the release for this target
    EXCLUDED = "excluded"  # by Requires-Python
    COVERED = "covered"  # installers accept a published wheel there, and it loads
    BUILDING = "building"
    DEFERRED = "deferred"  # it failed, and is retried later
    HELD = "held"  # it failed, and an operator has to decide
    QUEUED = "queued"
    UNSERVED = "unserved"  # queued, and no connected builder can build it
    PAUSED = "paused"  # queued, and the farm assigns no jobs
    FAILED = "failed"  # finally: it is not retried
    WAITING = "waiting"  # for the result of another target

    @property
    def is_settled(self) -> bool:
        """Whether nothing more happens without a command."""
        match self:
            case (
                State.BUILDING
                | State.DEFERRED
                | State.QUEUED
                | State.UNSERVED
                | State.PAUSED
                | State.WAITING
            ):
                return False
            case (
                State.UNKNOWN
                | State.NO_RELEASE
                | State.UNKNOWN_RELEASE
                | State.UNKNOWN_TARGET
                | State.UPSTREAM
                | State.REMOVED
                | State.SKIPPED
                | State.QUARANTINED
                | State.MISSING
                | State.NO_SDIST
                | State.TARGET_SKIPPED
                | State.EXCLUDED
                | State.COVERED
                | State.HELD
                | State.FAILED
            ):
                return True
            case _:
                assert_never(self)


class ReleaseStatus(Struct, frozen=True, kw_only=True):
    """The state of one release for one target (either "" when it says more)."""

    project: str
    version: str = ""
    target: str = ""
    state: State
    text: str  # without a period
    hint: str = ""  # what an operator can do now, without a period
    notes: tuple[str, ...] = ()  # sentences that apply in any state
    build: int | None = None
    file: str = ""
    built_for_target: bool = False  # the file was made by the last build for this target
    detail: str = ""  # only the wheel or the reason, for a table; "": use the text

    @property
    def as_text(self) -> str:
        """Text, hint and notes as sentences."""
        first = f"{self.text}; {self.hint}" if self.hint else self.text
        return " ".join([f"{first}.", *(f"({note})" for note in self.notes)])

    @property
    def label(self) -> str:
        """The state for a table; "built" for a wheel that was built for this target."""
        return "built" if self.built_for_target and self.state is State.COVERED else self.state


class ReleaseStatuses(Struct, frozen=True, kw_only=True):
    """The status of a release: what blocks all of it, and each target."""

    release_blocker: ReleaseStatus | None
    targets: Mapping[str, ReleaseStatus]  # by target; only covered ones if it is blocked

    def for_target(self, target: str) -> ReleaseStatus | None:
        """The status for one target."""
        return self.targets.get(target) or self.release_blocker


class StatusContext(Struct, frozen=True, kw_only=True):
    """What a status depends on besides the database.

    served_targets: targets for which a builder is connected.
    targets_with_compiler: targets for which a connected builder has a C compiler; None is unknown.
    paused: whether the farm assigns no jobs.
    now: the time that durations are counted from; without it, times are absolute, for a text
        that is read later.
    """

    served_targets: frozenset[str]
    targets_with_compiler: frozenset[str] | None = None
    paused: bool = False
    now: datetime | None = None


def explain_project(
    project: str,
    facts: ProjectStatusRow | None,
    context: StatusContext,
    *,
    asked_version: str | None = None,
    asked_target: str | None = None,
) -> tuple[ReleaseStatus, ...]:
    """The status of a project: of each release for each target.

    Args:
        project: its normalized name.
        facts: what the database knows of it.
        context: what else counts.
        asked_version: the version that the question named.
        asked_target: the target that it named.
    """
    if facts is None:
        return (
            ReleaseStatus(
                project=project,
                state=State.UNKNOWN,
                text="this farm does not have it",
                hint=f"`piw add {project}` requests it",
            ),
        )
    if not facts.releases:
        return (_no_release_status(facts, asked_version),)
    answers: list[ReleaseStatus] = []
    for release in facts.releases:
        found = release_statuses(facts, release, context)
        if found.release_blocker is not None:
            answers.append(found.release_blocker)
        answers += found.targets.values()
        if asked_target is not None and not release.targets:
            text = f"this farm has no target {asked_target}; a builder that serves it adds it"
            answers.append(_status(facts, release, State.UNKNOWN_TARGET, text, target=asked_target))
    return tuple(answers)


def explain_with_upstream(
    project: str,
    facts: ProjectStatusRow | None,
    context: StatusContext,
    *,
    asked_version: str | None,
    asked_target: str | None,
) -> tuple[ReleaseStatus, ...]:
    """The reply to `piw explain`: `explain_project`, and what the last check of upstream found."""
    answers = explain_project(
        project, facts, context, asked_version=asked_version, asked_target=asked_target
    )
    whole_project = facts is not None and (asked_version is None or not facts.releases)
    last = upstream_status(facts) if facts is not None and whole_project else None
    return (*answers, *([last] if last else []), *(_last_check_problems(facts) if facts else ()))


def _last_check_problems(facts: ProjectStatusRow) -> Iterator[ReleaseStatus]:
    """Why the farm may not know what upstream has, if there is a reason."""
    look = facts.last_check
    if look is None or not (look.problem or look.pending_change):
        return
    when = f" ({_utc_text(look.checked_at)})" if look.checked_at else ""
    text = f"the last check of the upstream page{when}: {look.pending_change or look.problem}"
    yield ReleaseStatus(project=facts.project, state=State.UPSTREAM, text=text)


def upstream_status(facts: ProjectStatusRow) -> ReleaseStatus | None:
    """What the last check of upstream found that the releases here do not show, or None."""
    page = facts.upstream
    if page is None:
        return None
    text, advice = _newest_release_text(facts.project, page)
    if page.problem_count:
        entries = "entry" if page.problem_count == 1 else "entries"
        shown = "; ".join(page.problems[:_MAX_PROBLEMS_SHOWN])
        more = " (and more)" if page.problem_count > _MAX_PROBLEMS_SHOWN else ""
        odd = f"{page.problem_count} invalid {entries} on its page there: {shown}{more}"
        text = f"{text}. {odd}" if text else odd
    return (
        ReleaseStatus(project=facts.project, state=State.UPSTREAM, text=text, hint=advice)
        if text
        else None
    )


def _newest_release_text(project: str, page: UpstreamPage) -> tuple[str, str]:
    """The newest release upstream if this farm lacks it, and how to request it."""
    if page.newest_version is None:
        return "the upstream index lists no release of it that is not yanked", ""
    if page.newest_known:
        return "", ""
    newest = page.newest_version
    text = f"the newest release of the upstream index is {newest}"
    if not page.newest_has_sdist:
        return f"{text}, which has no sdist to build from", ""
    return f"{text}, which this farm does not have", f"`piw add {project}=={newest}` adds it"


def release_statuses(
    facts: ProjectStatusRow, release: ReleaseStatusRow, context: StatusContext
) -> ReleaseStatuses:
    """The status of a release as a whole and for each target.

    Args:
        facts: of its project.
        release: the release.
        context: what else counts.
    """
    whole = _release_blocker(facts, release)
    return ReleaseStatuses(
        release_blocker=whole,
        targets={
            target.target: _target_status(facts, release, target, context)
            for target in release.targets
            if _has_own_status(target, whole)
        },
    )


def removed_release_status(project: str, version: str) -> ReleaseStatus:
    """The status of a release that the farm no longer has."""
    return ReleaseStatus(
        project=project,
        version=version,
        state=State.REMOVED,
        text="the farm no longer has this release",
    )


def _has_own_status(target: TargetStatusRow, release_blocker: ReleaseStatus | None) -> bool:
    """Whether a target has its own status although the whole release is blocked.

    Wheels made before still install, but those of a quarantined project, and of a release that
    is hidden, are not listed.
    """
    if release_blocker is None:
        return True
    hidden = release_blocker.state in {State.QUARANTINED, State.MISSING}
    return target.covered_by is not None and target.python_allowed and not hidden


def _no_release_status(facts: ProjectStatusRow, asked_version: str | None) -> ReleaseStatus:
    project = facts.project
    if facts.skip_reason is not None:
        return ReleaseStatus(
            project=project,
            state=State.SKIPPED,
            text=f"it is skipped: {facts.skip_reason}",
            hint=_unskip_hint(project),
        )
    if asked_version is not None:
        return ReleaseStatus(
            project=project,
            version=asked_version,
            state=State.UNKNOWN_RELEASE,
            text="this release was not requested, or does not exist upstream",
            hint=f"`piw add {project}=={asked_version}` requests it",
        )
    text = "no release of it was requested yet; newer ones are built as they appear upstream"
    return ReleaseStatus(project=project, state=State.NO_RELEASE, text=text)


def _release_blocker(facts: ProjectStatusRow, release: ReleaseStatusRow) -> ReleaseStatus | None:
    """What blocks a release for all targets, or None.

    What hides its files comes first: then no wheel of it is said to install.
    """
    name = f"{facts.project}=={release.version}"
    if facts.status is ProjectStatus.QUARANTINED:
        reason = facts.status_reason or "no reason was given"
        text = (
            f"the upstream index quarantined the project ({reason}): its files are not listed "
            "and nothing is built until the quarantine ends"
        )
        return _status(facts, release, State.QUARANTINED, text)
    if release.missing_since is not None:
        return _status(facts, release, State.MISSING, _missing_text(release, release.missing_since))
    if facts.skip_reason is not None:
        return _status(
            facts,
            release,
            State.SKIPPED,
            f"the project is skipped: {facts.skip_reason}",
            hint=_unskip_hint(facts.project),
        )
    if release.skip_reason is not None:
        return _status(
            facts,
            release,
            State.SKIPPED,
            f"the release is skipped: {release.skip_reason}",
            hint=_unskip_hint(name),
        )
    if not release.has_sdist:
        text = (
            "the upstream index has no sdist of it, so nothing can be built; "
            "if one appears, it is built"
        )
        return _status(facts, release, State.NO_SDIST, text)
    return None


def is_idle_until_soon(
    state: State, release: ReleaseStatusRow, target: TargetStatusRow, now: datetime | None
) -> bool:
    """Whether nothing happens soon: settled, or waiting for a later retry."""
    if state is State.DEFERRED:
        return _retries_later_than_soon(target, now)
    if state is State.WAITING:
        return any(_retries_later_than_soon(other, now) for other in release.targets)
    return state.is_settled


def _retries_later_than_soon(target: TargetStatusRow, now: datetime | None) -> bool:
    if target.retry_at is None or now is None:
        return False
    return target.retry_at - now > SOON_INTERVAL


def _missing_text(release: ReleaseStatusRow, since: datetime) -> str:
    if release.removed_at is not None:
        return (
            f"it was removed from the upstream index (confirmed {_utc_text(release.removed_at)}): "
            "its files are not listed, and are deleted later unless it returns"
        )
    return (
        f"the upstream index has not listed it since {_utc_text(since)}: its files are kept and "
        "not listed here, nothing is built, and it is shown again when the upstream lists it again"
    )


def _target_status(
    facts: ProjectStatusRow,
    release: ReleaseStatusRow,
    target: TargetStatusRow,
    context: StatusContext,
) -> ReleaseStatus:
    """The status of a release that is not blocked, for one target."""
    known = _classify(facts, release, target, context)
    covered = known.state is State.COVERED
    return _status(
        facts,
        release,
        known.state,
        known.text,
        target=target.target,
        hint=known.hint,
        notes=tuple(_notes_of(release, target, known.state)),
        build=target.current_build_id or target.last_build_id,
        file=(target.covered_by or "") if covered else "",
        built_for_target=covered
        and target.last_outcome is Outcome.BUILT
        and not target.built_for_other_target,
        detail=known.detail,
    )


def _notes_of(release: ReleaseStatusRow, target: TargetStatusRow, state: State) -> Iterator[str]:
    if release.yanked is not None:
        reason = f": {release.yanked}" if release.yanked else ""
        yield f"The release is yanked upstream{reason}; installers take it only if pinned."
    if state is State.COVERED and target.build_note:
        yield f"{target.build_note[0].upper()}{target.build_note[1:]}."
    if (
        target.sdist_replaced
        and target.covered_by is None
        and release.sdist_replaced_at is not None
    ):
        yield (
            f"{target.to_be_rebuilt} is published and was built from an earlier sdist, which the "
            f"upstream index replaced (seen {_utc_text(release.sdist_replaced_at)})."
        )
    if release.sdist_verified_by != "sha256":
        hashed = release.sdist_verified_by
        known = f"only a hash by {hashed}" if hashed else "no hash, so nothing can be verified"
        yield f"The upstream index gives {known} for its sdist."
    if target.debian_packages:
        yield f"{debian_packages_text(target)}."
    if target.jobs_outdated:
        yield "The target was changed; its queue is being recomputed."
    if state is State.COVERED and target.without_compiler:
        yield (
            "It was made by a builder without a C compiler and may lack compiled parts; it is "
            "built again when a builder with one serves the target."
        )
    if state is State.FAILED and target.to_be_rebuilt is not None:
        yield f"{target.to_be_rebuilt} is still published, and installs there."
    if target.unloadable_file is not None:
        yield (
            f"Installers prefer {target.unloadable_file} there, which needs a newer glibc than the "
            "target has, and does not load."
        )


def debian_packages_text(target: TargetStatusRow) -> str:
    """Which Debian packages the published wheel needs, and on which platform."""
    packages = " ".join(target.debian_packages)
    if platform_of(target.built_for) == platform_of(target.target):
        return f"It needs Debian packages: `sudo apt install {packages}`"
    return (
        f"It was built for {target.built_for} and needs Debian packages that are named {packages} "
        f"there; on {platform_of(target.target)} they may be named differently"
    )


def platform_of(target: str) -> str:
    """The platform of a target: `trixie-aarch64` of `cp313-trixie-aarch64`."""
    return target.partition("-")[2]


class _StateAndText(Struct, frozen=True, kw_only=True):
    """A state, with its explanation and a hint."""

    state: State
    text: str
    hint: str = ""
    detail: str = ""


def _classify(
    facts: ProjectStatusRow,
    release: ReleaseStatusRow,
    target: TargetStatusRow,
    context: StatusContext,
) -> _StateAndText:
    if not target.python_allowed:
        text = f"its Requires-Python ({release.requires_python}) excludes this Python"
        detail = f"Requires-Python is {release.requires_python}"
        return _StateAndText(state=State.EXCLUDED, text=text, detail=detail)
    if target.covered_by is not None:
        text = f"{target.covered_by} is published and installs there"
        return _StateAndText(state=State.COVERED, text=text, detail=target.covered_by)
    if skipped := _skip_state(facts, release, target):
        return skipped
    return _unpublished_state(facts, release, target, context)


def _skip_state(
    facts: ProjectStatusRow, release: ReleaseStatusRow, target: TargetStatusRow
) -> _StateAndText | None:
    if target.target_skip_reason is not None:
        return _StateAndText(
            state=State.TARGET_SKIPPED,
            text=f"nothing is built for this target: {target.target_skip_reason}",
            hint=_unskip_hint(f"--target {target.target}"),
            detail=target.target_skip_reason,
        )
    if target.skip_reason is None:
        return None
    whole = "project" if target.skips_whole_project else "release"
    name = facts.project if target.skips_whole_project else f"{facts.project}=={release.version}"
    return _StateAndText(
        state=State.TARGET_SKIPPED,
        text=f"the {whole} is skipped for this target: {target.skip_reason}",
        hint=_unskip_hint(f"{name} --target {target.target}"),
        detail=target.skip_reason,
    )


def _unpublished_state(
    facts: ProjectStatusRow,
    release: ReleaseStatusRow,
    target: TargetStatusRow,
    context: StatusContext,
) -> _StateAndText:
    """The state without a published wheel: queued, failed, or waiting for another target."""
    now = context.now
    if target.claimed_by is not None and target.claimed_at is not None:
        text = (
            f"it has been building on {target.claimed_by} {_elapsed_text(target.claimed_at, now)} "
            f"(build {target.current_build_id}, attempt {target.attempts})"
        )
        follow = f"`piw log {target.current_build_id} -f` follows"
        return _StateAndText(state=State.BUILDING, text=text, hint=follow)
    if target.retry_at is not None:
        when = _time_until_text(target.retry_at, now)
        text = f"{_last_result_text(target)}; it is retried {when}"
        return _StateAndText(state=State.DEFERRED, text=text)
    if target.hold_reason is not None:
        name = f"{facts.project}=={release.version}"
        return _StateAndText(
            state=State.HELD,
            text=f"on hold until an operator decides: {target.hold_reason}",
            hint=f"`piw log {target.last_build_id}` shows the last build, "
            f"`piw retry {name} --target {target.target}` tries again",
            detail=target.hold_reason,
        )
    if target.queued:
        return _queued_state(target, context)
    if target.last_final:
        name = f"{facts.project}=={release.version}"
        return _StateAndText(
            state=State.FAILED,
            text=f"{_last_result_text(target)}, and is not retried automatically",
            hint=(
                f"`piw log {target.last_build_id}` shows why, "
                f"`piw retry {name} --target {target.target}` tries again"
            ),
            detail=_failure_text(target),
        )
    text = (
        "waiting for an earlier target (an older Python, or this one on an older "
        "system): if its wheel also fits this target, nothing is built here; otherwise this target "
        "is built next"
    )
    return _StateAndText(state=State.WAITING, text=text)


def _queued_state(target: TargetStatusRow, context: StatusContext) -> _StateAndText:
    place = f"it is queued, number {target.jobs_ahead + 1} for this target"
    if target.to_be_rebuilt is not None and target.without_compiler:
        place = (
            f"{target.to_be_rebuilt} is published, made without a C compiler, and is to be "
            f"rebuilt: {place}"
        )
    elif target.to_be_rebuilt is not None and not target.sdist_replaced:
        place = f"{target.to_be_rebuilt} is published, and a rebuild was requested: {place}"
    if target.last_build_id is not None and target.last_outcome is not Outcome.BUILT:
        place = f"{_last_result_text(target)}; {place}"
    if target.target not in context.served_targets:
        return _StateAndText(
            state=State.UNSERVED, text=f"{place}, but no connected builder serves it"
        )
    equipped = context.targets_with_compiler
    if target.needs_compiler and equipped is not None and target.target not in equipped:
        text = f"{place}, but no connected builder that serves it has a C compiler"
        return _StateAndText(state=State.UNSERVED, text=text)
    if context.paused:
        advice = "`piw resume` continues"
        return _StateAndText(
            state=State.PAUSED, text=f"{place}, but the farm is paused", hint=advice
        )
    return _StateAndText(state=State.QUEUED, text=place)


def _unskip_hint(what: str) -> str:
    return f"`piw unskip {what}` builds it again"


def _last_result_text(target: TargetStatusRow) -> str:
    reason = f" ({target.last_reason})" if target.last_reason else ""
    return f"build {target.last_build_id} ended as {target.last_outcome}{reason}"


def _failure_text(target: TargetStatusRow) -> str:
    """The last failure, without saying again that it failed."""
    outcome, reason = target.last_outcome, target.last_reason or ""
    if outcome is None or outcome is Outcome.FAILED:
        return reason
    return f"{outcome}: {reason}" if reason else outcome


def _elapsed_text(moment: datetime, now: datetime | None) -> str:
    if now is None:
        return f"since {_utc_text(moment)}"
    return f"for {approximate_duration((now - moment).total_seconds())}"


def _time_until_text(moment: datetime, now: datetime | None) -> str:
    if now is None:
        return f"after {_utc_text(moment)}"
    return f"in {approximate_duration((moment - now).total_seconds())}"


def _utc_text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _status(
    facts: ProjectStatusRow,
    release: ReleaseStatusRow,
    state: State,
    text: str,
    *,
    target: str = "",
    hint: str = "",
    notes: tuple[str, ...] = (),
    build: int | None = None,
    file: str = "",
    built_for_target: bool = False,
    detail: str = "",
) -> ReleaseStatus:
    return ReleaseStatus(
        project=facts.project,
        version=release.version,
        target=target,
        state=state,
        text=text,
        hint=hint,
        notes=notes,
        build=build,
        file=file,
        built_for_target=built_for_target,
        detail=detail,
    )
