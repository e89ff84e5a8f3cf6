"""What a look at a project's page proves, and when to look again. Pure functions.

A page is evidence of what the upstream has; a page that is no page of an index, or is older than
one that was seen before, is evidence of nothing. A reported change is done when a page shows it:
one whose serial is at least the event's.
"""

from datetime import timedelta

from piwheels.db.upstream import CheckResult, PendingChange, ProjectToCheck
from piwheels.model import PageCheckResult, ProjectStatus, Struct
from piwheels.simple_index.page import ProjectPage

#: Looks at a page without any serial, in about five minutes, after which a change is taken as done.
CHECKS_WITHOUT_SERIAL = 8
#: An older page, or none, is believed after so many looks in a row that found the same.
CHECKS_TO_BELIEVE = 3
CHECKS_TO_ACCEPT_OLDER = 6
#: After so many looks, in about a week, a change that no page shows is given up.
MAX_CHECKS = 200

_FREQUENT_CHECKS = 30
_LONG_WAIT_S = 60.0
MAX_WAIT_S = 3600.0


class Assessment(Struct, frozen=True, kw_only=True):
    """What a page proves; `problem` is why it does not count."""

    finding: PageCheckResult
    problem: str = ""


def assess(due: ProjectToCheck, page: ProjectPage | None, release_count: int) -> Assessment:
    """What the index's answer proves.

    Args:
        due: what was known before.
        page: the page; None if the index knows no such project.
        release_count: how many releases the page lists.
    """
    if page is None:
        return Assessment(
            finding=PageCheckResult.NOT_FOUND,
            problem=f"the upstream index knows no project {due.project}",
        )
    if not release_count and not page.is_index_page:
        return Assessment(
            finding=PageCheckResult.UNUSABLE,
            problem=f"the answer for {due.project} lists no file and is no page of an index",
        )
    if not release_count and due.exists and not _proves_empty(due, page):
        return Assessment(
            finding=PageCheckResult.EMPTY, problem=f"the page of {due.project} lists no release"
        )
    if _is_older(due, page.serial):
        return Assessment(
            finding=PageCheckResult.OUTDATED,
            problem=f"the page of {due.project} is older (serial {page.serial}) than one seen "
            f"before (serial {due.page_serial})",
        )
    return Assessment(finding=PageCheckResult.UP_TO_DATE)


def _is_older(due: ProjectToCheck, serial: int | None) -> bool:
    if serial is None or due.page_serial is None or serial >= due.page_serial:
        return False
    # An index that was restored from a copy keeps lower serials.
    lacks_change = due.change is not None and serial < due.change.serial
    return lacks_change or repeats(due, PageCheckResult.OUTDATED) < CHECKS_TO_ACCEPT_OLDER


def _proves_empty(due: ProjectToCheck, page: ProjectPage) -> bool:
    """Whether a page without releases is to be believed: it is newer, or the status says why."""
    if page.status is ProjectStatus.QUARANTINED:
        return True
    if page.serial is None:
        return due.change is not None and due.change.checks + 1 >= CHECKS_WITHOUT_SERIAL
    reported = due.change is not None and shows_change(due.change, page.serial)
    return reported or (due.page_serial is not None and page.serial > due.page_serial)


def repeats(due: ProjectToCheck, finding: PageCheckResult) -> int:
    """How many looks in a row had this finding, the present one included."""
    return due.result_count + 1 if due.last_result == finding else 1


def is_confirmed(due: ProjectToCheck, finding: PageCheckResult) -> bool:
    """Whether enough looks in a row found no project, or no release, to believe it.

    While the changelog reports a change, its page is not there yet.
    """
    return due.change is None and repeats(due, finding) >= CHECKS_TO_BELIEVE


def shows_change(change: PendingChange, serial: int | None) -> bool:
    """Whether a page that counts shows a change: by its serial, or after enough looks without."""
    if serial is None:
        return change.checks_without_serial + 1 >= CHECKS_WITHOUT_SERIAL
    return serial >= change.serial


def proves_recreation(change: PendingChange, serial: int | None) -> bool:
    """Whether a page proves that a project was removed and created again."""
    return "" in change.removed_versions and serial is not None and serial >= change.serial


def confirms_absence(change: PendingChange) -> bool:
    """Whether a project that is absent now was removed: that is reported, and the second look."""
    return change.project_removed and change.checks >= 1


def check_result(
    due: ProjectToCheck,
    assessment: Assessment,
    *,
    page: ProjectPage | None,
    done_serial: int | None,
    interval_s: float,
    first_wait_s: float,
    spread: float,
    recheck_soon: bool = False,
) -> CheckResult:
    """What is noted of a look, and when the next one is.

    Args:
        due: what was known before.
        assessment: what the answer proves.
        page: the page, if it counts; what is known of the last one stays otherwise.
        done_serial: changes up to this serial are done.
        interval_s: how long a page that counts is good for.
        first_wait_s: how long until the second look for a change; later ones take longer.
        spread: about 1; by what waits are multiplied.
        recheck_soon: the page is to be compared with another one, as it lacks what there was.
    """
    change, count = due.change, repeats(due, assessment.finding)
    looks = change.checks + 1 if change else 0
    given_up = looks >= MAX_CHECKS and (
        done_serial is None or change is None or done_serial < change.serial
    )
    without_serial = page is not None and page.serial is None
    wait_s = page_wait_s(interval_s, assessment.finding, count)
    # After a project was absent its page is read as a whole: what it lists is shown again.
    validated = page or (None if assessment.finding is PageCheckResult.NOT_FOUND else due)
    return CheckResult(
        project=due.project,
        result=assessment.finding,
        result_count=count,
        problem=assessment.problem,
        etag=validated.etag if validated else "",
        last_modified=_last_modified(validated),
        page_serial=page.serial if page else due.page_serial,
        next_check_in=_seconds((min(wait_s, _LONG_WAIT_S) if recheck_soon else wait_s) * spread),
        change=change,
        visible_serial=change.serial if change and given_up else done_serial,
        given_up=given_up,
        checks_without_serial=change.checks_without_serial + without_serial if change else 0,
        change_problem=_change_problem(change, assessment, page) if change else "",
        change_check_in=_seconds(change_wait_s(looks - 1, first_wait_s) * spread),
    )


def _seconds(duration_s: float) -> timedelta:
    return timedelta(seconds=duration_s)


def _last_modified(validated: ProjectPage | ProjectToCheck | None) -> str:
    if isinstance(validated, ProjectPage):
        return validated.modified
    return validated.last_modified if validated else ""


def _change_problem(change: PendingChange, judgment: Assessment, page: ProjectPage | None) -> str:
    """Why a change is not visible; "" where the page cannot tell, for want of a serial."""
    if page is not None and page.serial is None:
        return ""
    problem = judgment.problem or (
        f"its page is still that of serial {page.serial}" if page else "there is no page"
    )
    return f"{change.action!r} (serial {change.serial}) is reported and not visible: {problem}"


def change_wait_s(checks: int, first_s: float) -> float:
    """How long until the next look for a change that so many more looks have not shown."""
    if checks < _FREQUENT_CHECKS:
        return float(min(first_s * 2 ** min(checks, 10), _LONG_WAIT_S))
    return float(min(_LONG_WAIT_S * 2 ** min(checks - _FREQUENT_CHECKS, 10), MAX_WAIT_S))


def page_wait_s(interval_s: float, finding: PageCheckResult, repeats: int) -> float:
    """How long until the next look at a page: sooner where the last one proved nothing."""
    if finding is PageCheckResult.UP_TO_DATE:
        return interval_s
    return float(min(_LONG_WAIT_S * 2 ** min(repeats - 1, 10), interval_s))
