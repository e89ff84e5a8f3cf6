"""What a check of a project's page proves, and when to check again. Pure functions.

A page is evidence of what the upstream has. A page that is not an index page, or that is older than
one that was read before, proves nothing. A reported change is complete when a page with at least
the serial of the event was read.
"""

from datetime import timedelta

from piwheels.db.upstream import CheckResult, PendingChange, ProjectToCheck
from piwheels.index_client.page import ProjectPage
from piwheels.model import PageCheckResult, ProjectStatus, Struct

#: A change is complete after this many checks of a page without serials, in about five minutes.
CHECKS_WITHOUT_SERIAL = 8
#: A missing or older page is accepted after this many consecutive checks with the same result.
CHECKS_TO_BELIEVE = 3
CHECKS_TO_ACCEPT_OLDER = 6
#: A change that no page shows is given up after this many checks, in about a week.
MAX_CHECKS = 200

_FREQUENT_CHECKS = 30
_LONG_WAIT_S = 60.0
MAX_WAIT_S = 3600.0


class Assessment(Struct, frozen=True, kw_only=True):
    """What a page proves; `problem` is why it is not used."""

    result: PageCheckResult
    problem: str = ""


def assess(due: ProjectToCheck, page: ProjectPage | None, release_count: int) -> Assessment:
    """What the response of the index proves.

    Args:
        due: the project's state before the check.
        page: the page; None if the index knows no such project.
        release_count: how many releases the page lists.
    """
    if page is None:
        return Assessment(
            result=PageCheckResult.NOT_FOUND,
            problem=f"the upstream index knows no project {due.project}",
        )
    if not release_count and not page.is_index_page:
        return Assessment(
            result=PageCheckResult.UNUSABLE,
            problem=f"the response for {due.project} lists no files and is not an index page",
        )
    if not release_count and due.exists and not _proves_empty(due, page):
        return Assessment(
            result=PageCheckResult.EMPTY, problem=f"the page of {due.project} lists no releases"
        )
    if _is_older(due, page.serial):
        return Assessment(
            result=PageCheckResult.OUTDATED,
            problem=f"the page of {due.project} is older (serial {page.serial}) than the last "
            f"one (serial {due.page_serial})",
        )
    return Assessment(result=PageCheckResult.UP_TO_DATE)


def _is_older(due: ProjectToCheck, serial: int | None) -> bool:
    if serial is None or due.page_serial is None or serial >= due.page_serial:
        return False
    # An index that was restored from a backup keeps lower serials.
    lacks_change = due.change is not None and serial < due.change.serial
    return lacks_change or repeats(due, PageCheckResult.OUTDATED) < CHECKS_TO_ACCEPT_OLDER


def _proves_empty(due: ProjectToCheck, page: ProjectPage) -> bool:
    """Whether to accept a page without releases: it is newer, or its status is the reason."""
    if page.status is ProjectStatus.QUARANTINED:
        return True
    if page.serial is None:
        return due.change is not None and due.change.checks + 1 >= CHECKS_WITHOUT_SERIAL
    reported = due.change is not None and shows_change(due.change, page.serial)
    return reported or (due.page_serial is not None and page.serial > due.page_serial)


def repeats(due: ProjectToCheck, result: PageCheckResult) -> int:
    """The number of consecutive checks with this result, including the current one."""
    return due.result_count + 1 if due.last_result == result else 1


def is_confirmed(due: ProjectToCheck, result: PageCheckResult) -> bool:
    """Whether enough consecutive checks found no project, or no releases.

    Not while the changelog reports a change, whose page may not exist yet.
    """
    return due.change is None and repeats(due, result) >= CHECKS_TO_BELIEVE


def shows_change(change: PendingChange, serial: int | None) -> bool:
    """Whether a page shows a change: by its serial, or after enough checks without serials."""
    if serial is None:
        return change.checks_without_serial + 1 >= CHECKS_WITHOUT_SERIAL
    return serial >= change.serial


def proves_recreation(change: PendingChange, serial: int | None) -> bool:
    """Whether a page proves that a project was removed and created again."""
    if not change.serial:
        return False  # whether the page is newer than the removal is not known any more
    return "" in change.removed_versions and serial is not None and serial >= change.serial


def confirms_absence(change: PendingChange) -> bool:
    """Whether a missing project was removed: the changelog reports it, at the second check."""
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
    """The result of a check, and when the next one is due.

    Args:
        due: the project's state before the check.
        assessment: what the response proves.
        page: the page, if it is used; otherwise the data of the last page is kept.
        done_serial: changes up to this serial are complete.
        interval_s: how long a page is valid.
        first_wait_s: the delay of the second check for a change; later delays grow.
        spread: a factor of about 1 for all delays.
        recheck_soon: check again soon, because the page lacks releases that were there.
    """
    change, count = due.change, repeats(due, assessment.result)
    checks = change.checks + 1 if change else 0
    given_up = checks >= MAX_CHECKS and (
        done_serial is None or change is None or done_serial < change.serial
    )
    without_serial = page is not None and page.serial is None
    wait_s = page_wait_s(interval_s, assessment.result, count)
    # After a project was missing, read its page unconditionally: its releases are shown again.
    validated = page or (None if assessment.result is PageCheckResult.NOT_FOUND else due)
    return CheckResult(
        project=due.project,
        result=assessment.result,
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
        change_check_in=_seconds(change_wait_s(checks - 1, first_wait_s) * spread),
    )


def _seconds(duration_s: float) -> timedelta:
    return timedelta(seconds=duration_s)


def _last_modified(validated: ProjectPage | ProjectToCheck | None) -> str:
    if isinstance(validated, ProjectPage):
        return validated.modified
    return validated.last_modified if validated else ""


def _change_problem(change: PendingChange, assessment: Assessment, page: ProjectPage | None) -> str:
    """Why a change is not visible; "" if the page has no serial."""
    if page is not None and page.serial is None:
        return ""
    problem = assessment.problem or (
        f"its page still has serial {page.serial}" if page else "there is no page"
    )
    return (
        f"{change.action!r} (serial {change.serial}) was reported and is not visible yet: {problem}"
    )


def change_wait_s(checks: int, first_s: float) -> float:
    """The delay of the next check for a change that this many repeated checks did not show."""
    if checks < _FREQUENT_CHECKS:
        return float(min(first_s * 2 ** min(checks, 10), _LONG_WAIT_S))
    return float(min(_LONG_WAIT_S * 2 ** min(checks - _FREQUENT_CHECKS, 10), MAX_WAIT_S))


def page_wait_s(interval_s: float, result: PageCheckResult, repeats: int) -> float:
    """The delay of the next check of a page: shorter if the last one proved nothing."""
    if result is PageCheckResult.UP_TO_DATE:
        return interval_s
    return float(min(_LONG_WAIT_S * 2 ** min(repeats - 1, 10), interval_s))
