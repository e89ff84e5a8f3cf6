"""What of the upstream index the releases here do not show: its last check, and the policy."""

from collections.abc import Iterator

from piwheels.model import ProjectStatusRow, State, UpstreamPage, UpstreamWheelPolicy
from piwheels.release_status.status import ReleaseStatus
from piwheels.release_status.times import utc_text

_MAX_PROBLEMS_SHOWN = 3


def last_check_problems(facts: ProjectStatusRow) -> Iterator[ReleaseStatus]:
    """Why the farm may not know what upstream has, if there is a reason."""
    look = facts.last_check
    if look is None or not (look.problem or look.pending_change):
        return
    when = f" ({utc_text(look.checked_at)})" if look.checked_at else ""
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


def policy_status(facts: ProjectStatusRow) -> ReleaseStatus | None:
    """The project's own policy for wheels of the upstream, or None."""
    match facts.upstream_wheel_policy:
        case None:
            return None
        case UpstreamWheelPolicy.BUILD:
            effect = "every target is built, whatever wheels the upstream has"
        case UpstreamWheelPolicy.MISSING:
            effect = "nothing is built for a target that a wheel of the upstream covers"
        case UpstreamWheelPolicy.MIRROR:
            effect = "a wheel of the upstream that covers a target is published here as it is"
    return ReleaseStatus(
        project=facts.project,
        state=State.UPSTREAM,
        text=f"it has the policy {facts.upstream_wheel_policy} of its own: {effect}",
        hint=f"`piw policy {facts.project} default` returns to that of the farm",
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
