"""The statuses of a project: of each release for each target."""

from datetime import datetime, timedelta

from piwheels.model import ProjectStatusRow, ReleaseStatusRow, State, TargetStatusRow
from piwheels.release_status.release_blockers import (
    has_own_status,
    no_release_status,
    release_blocker,
)
from piwheels.release_status.status import (
    ReleaseStatus,
    ReleaseStatuses,
    StatusContext,
    make_status,
)
from piwheels.release_status.target_status import target_status
from piwheels.release_status.upstream_findings import (
    last_check_problems,
    policy_status,
    upstream_status,
)

#: `piw up --exit-when-idle` waits for retries that are due within this interval.
SOON_INTERVAL = timedelta(minutes=10)


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
        return (no_release_status(facts, asked_version),)
    answers: list[ReleaseStatus] = []
    for release in facts.releases:
        found = release_statuses(facts, release, context)
        if found.release_blocker is not None:
            answers.append(found.release_blocker)
        answers += found.targets.values()
        if asked_target is not None and not release.targets:
            text = f"this farm has no target {asked_target}; a builder that serves it adds it"
            answers.append(
                make_status(facts, release, State.UNKNOWN_TARGET, text, target=asked_target)
            )
    return tuple(answers)


def explain_with_upstream(
    project: str,
    facts: ProjectStatusRow | None,
    context: StatusContext,
    *,
    asked_version: str | None,
    asked_target: str | None,
    listed_problem: str | None = None,
) -> tuple[ReleaseStatus, ...]:
    """The reply to `piw explain`: `explain_project`, and what the last check of upstream found.

    Args:
        project: its normalized name.
        facts: what the database knows of it.
        context: what else counts.
        asked_version: the version that the question named.
        asked_target: the target that it named.
        listed_problem: of a project whose page is to be read because the list of all projects has
            it: why that failed, or "".
    """
    if facts is None and listed_problem is not None:
        return (_unread_status(project, listed_problem),)
    answers = explain_project(
        project, facts, context, asked_version=asked_version, asked_target=asked_target
    )
    whole_project = facts is not None and (asked_version is None or not facts.releases)
    last = upstream_status(facts) if facts is not None and whole_project else None
    own = policy_status(facts) if facts is not None and whole_project else None
    return (*answers, *filter(None, (own, last)), *(last_check_problems(facts) if facts else ()))


def _unread_status(project: str, problem: str) -> ReleaseStatus:
    failed = f"; the last try failed: {problem}" if problem else ""
    return ReleaseStatus(
        project=project,
        state=State.UNKNOWN,
        text=f"the upstream index lists it, and its page was not read yet{failed}",
        hint=f"`piw add {project}` requests it now",
    )


def release_statuses(
    facts: ProjectStatusRow, release: ReleaseStatusRow, context: StatusContext
) -> ReleaseStatuses:
    """The status of a release as a whole and for each target.

    Args:
        facts: of its project.
        release: the release.
        context: what else counts.
    """
    whole = release_blocker(facts, release)
    return ReleaseStatuses(
        release_blocker=whole,
        targets={
            target.target: target_status(facts, release, target, context)
            for target in release.targets
            if has_own_status(target, whole)
        },
    )


def is_idle_until_soon(
    state: State, release: ReleaseStatusRow, target: TargetStatusRow, now: datetime | None
) -> bool:
    """Whether nothing happens soon: settled, or waiting for a later retry."""
    if state is State.DEFERRED:
        return _retries_later_than_soon(target, now)
    if state is State.WAITING:
        return any(_retries_later_than_soon(other, now) for other in release.targets)
    return state.is_settled or bool(target.awaited_packages)


def _retries_later_than_soon(target: TargetStatusRow, now: datetime | None) -> bool:
    if target.retry_at is None or now is None:
        return False
    return target.retry_at - now > SOON_INTERVAL
