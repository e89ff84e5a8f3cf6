"""What a look at a project's page proves, and when to look again. Pure functions.

A page is evidence of what the upstream has; a page that is no page of an index, or is older than
one that was seen before, is evidence of nothing. A reported change is done when a page shows it:
one whose serial is at least the event's.
"""

from datetime import timedelta

from piwheels.db.upstream import Due, Look, PendingChange
from piwheels.model import Finding, ProjectStatus, Struct
from piwheels.simpleapi import ProjectPage

#: Looks at a page without any serial, in about five minutes, after which a change is taken as done.
LOOKS_WITHOUT_SERIAL = 8
#: An older page, or none, is believed after so many looks in a row that found the same.
LOOKS_TO_BELIEVE = 3
LOOKS_TO_ACCEPT_OLDER = 6
#: After so many looks, in about a week, a change that no page shows is given up.
MOST_LOOKS = 200

_LONGER_AFTER = 30
_LONG_WAIT_S = 60.0
LONGEST_WAIT_S = 3600.0


class Judgment(Struct, frozen=True, kw_only=True):
    """What a page proves; `problem` is why it does not count."""

    finding: Finding
    problem: str = ""


def judge(due: Due, page: ProjectPage | None, releases: int) -> Judgment:
    """What the index's answer proves.

    Args:
        due: what was known before.
        page: the page; None if the index knows no such project.
        releases: how many releases the page lists.
    """
    if page is None:
        return Judgment(
            finding=Finding.ABSENT, problem=f"the upstream index knows no project {due.project}"
        )
    if not releases and not page.declared:
        return Judgment(
            finding=Finding.UNUSABLE,
            problem=f"the answer for {due.project} lists no file and is no page of an index",
        )
    if not releases and due.known and not _proves_emptiness(due, page):
        return Judgment(
            finding=Finding.EMPTY, problem=f"the page of {due.project} lists no release"
        )
    if _is_older(due, page.serial):
        return Judgment(
            finding=Finding.OLDER,
            problem=f"the page of {due.project} is older (serial {page.serial}) than one seen "
            f"before (serial {due.page_serial})",
        )
    return Judgment(finding=Finding.CURRENT)


def _is_older(due: Due, serial: int | None) -> bool:
    if serial is None or due.page_serial is None or serial >= due.page_serial:
        return False
    # An index that was restored from a copy keeps lower serials.
    lacks_change = due.change is not None and serial < due.change.serial
    return lacks_change or repeats(due, Finding.OLDER) < LOOKS_TO_ACCEPT_OLDER


def _proves_emptiness(due: Due, page: ProjectPage) -> bool:
    """Whether a page without releases is to be believed: it is newer, or the status says why."""
    if page.status is ProjectStatus.QUARANTINED:
        return True
    if page.serial is None:
        return due.change is not None and due.change.looks + 1 >= LOOKS_WITHOUT_SERIAL
    reported = due.change is not None and is_done(due.change, page.serial)
    return reported or (due.page_serial is not None and page.serial > due.page_serial)


def repeats(due: Due, finding: Finding) -> int:
    """How many looks in a row had this finding, the present one included."""
    return due.repeats + 1 if due.finding == finding else 1


def is_to_be_believed(due: Due, finding: Finding) -> bool:
    """Whether enough looks in a row found no project, or no release, to believe it.

    While the changelog reports a change, its page is not there yet.
    """
    return due.change is None and repeats(due, finding) >= LOOKS_TO_BELIEVE


def is_done(change: PendingChange, serial: int | None) -> bool:
    """Whether a page that counts shows a change: by its serial, or after enough looks without."""
    if serial is None:
        return change.unproven + 1 >= LOOKS_WITHOUT_SERIAL
    return serial >= change.serial


def recreates(change: PendingChange, serial: int | None) -> bool:
    """Whether a page proves that a project was removed and created again."""
    return "" in change.removed and serial is not None and serial >= change.serial


def confirms_absence(change: PendingChange) -> bool:
    """Whether a project that is absent now was removed: that is reported, and the second look."""
    return change.gone and change.looks >= 1


def result(
    due: Due,
    judgment: Judgment,
    *,
    page: ProjectPage | None,
    done: int | None,
    interval_s: float,
    first_wait_s: float,
    spread: float,
    soon: bool = False,
) -> Look:
    """What is noted of a look, and when the next one is.

    Args:
        due: what was known before.
        judgment: what the answer proves.
        page: the page, if it counts; what is known of the last one stays otherwise.
        done: changes up to this serial are done.
        interval_s: how long a page that counts is good for.
        first_wait_s: how long until the second look for a change; later ones take longer.
        spread: about 1; by what waits are multiplied.
        soon: the page is to be compared with another one, as it lacks what there was.
    """
    change, count = due.change, repeats(due, judgment.finding)
    looks = change.looks + 1 if change else 0
    given_up = looks >= MOST_LOOKS and (done is None or change is None or done < change.serial)
    without_serial = page is not None and page.serial is None
    wait_s = page_wait_s(interval_s, judgment.finding, count)
    # After a project was absent its page is read as a whole: what it lists is shown again.
    validated = page or (None if judgment.finding is Finding.ABSENT else due)
    return Look(
        project=due.project,
        finding=judgment.finding,
        repeats=count,
        problem=judgment.problem,
        etag=validated.etag if validated else "",
        modified=validated.modified if validated else "",
        page_serial=page.serial if page else due.page_serial,
        again=_seconds((min(wait_s, _LONG_WAIT_S) if soon else wait_s) * spread),
        change=change,
        done=change.serial if change and given_up else done,
        given_up=given_up,
        unproven=change.unproven + without_serial if change else 0,
        change_problem=_change_problem(change, judgment, page) if change else "",
        change_again=_seconds(change_wait_s(looks - 1, first_wait_s) * spread),
    )


def _seconds(duration_s: float) -> timedelta:
    return timedelta(seconds=duration_s)


def _change_problem(change: PendingChange, judgment: Judgment, page: ProjectPage | None) -> str:
    """Why a change is not visible; "" where the page cannot tell, for want of a serial."""
    if page is not None and page.serial is None:
        return ""
    problem = judgment.problem or (
        f"its page is still that of serial {page.serial}" if page else "there is no page"
    )
    return f"{change.action!r} (serial {change.serial}) is reported and not visible: {problem}"


def change_wait_s(looks: int, first_s: float) -> float:
    """How long until the next look for a change that so many more looks have not shown."""
    if looks < _LONGER_AFTER:
        return float(min(first_s * 2 ** min(looks, 10), _LONG_WAIT_S))
    return float(min(_LONG_WAIT_S * 2 ** min(looks - _LONGER_AFTER, 10), LONGEST_WAIT_S))


def page_wait_s(interval_s: float, finding: Finding, repeats: int) -> float:
    """How long until the next look at a page: sooner where the last one proved nothing."""
    if finding is Finding.CURRENT:
        return interval_s
    return float(min(_LONG_WAIT_S * 2 ** min(repeats - 1, 10), interval_s))
