"""`piw explain` and the final table of `piw up` agree about a release after any events."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from piwheels.db import catalog, job_queue
from piwheels.model import Outcome, ProjectStatus
from piwheels.protocol import messages as m
from tests.control.conftest import TARGET, Master
from tests.db.scenario import (
    RULES,
    complete_as_built,
    complete_job_with_retry_after,
    make_build,
    make_release,
    make_wheel,
)

Deed = Callable[[Master], Awaitable[object]]


async def built(master: Master) -> None:
    job = await job_queue.claim(master.db, "test", [TARGET.name])
    assert job is not None
    await complete_as_built(master.db, job, "test", make_wheel(job, "py3-none-any"))


async def failed(master: Master, retry_after: timedelta | None = None) -> None:
    job = await job_queue.claim(master.db, "test", [TARGET.name])
    assert job is not None
    await complete_job_with_retry_after(
        master.db, make_build(job, "test", Outcome.TIMED_OUT), [], RULES, retry_after
    )


async def deferred_for_minutes(master: Master) -> None:
    await failed(master, timedelta(minutes=9))


async def deferred_for_an_hour(master: Master) -> None:
    await failed(master, timedelta(hours=1))


async def quarantined(master: Master) -> None:
    await catalog.set_project_status(master.db, "demo", ProjectStatus.QUARANTINED, "malware")


async def skipped(master: Master) -> None:
    await catalog.skip_release(master.db, "demo", "1.0", "broken")


async def project_skipped(master: Master) -> None:
    await catalog.skip_project(master.db, "demo", "opted out")


async def skipped_for_target(master: Master) -> None:
    await catalog.skip_for_target(master.db, "demo", "1.0", TARGET.name, "too slow")


async def excluded(master: Master) -> None:
    await catalog.add_releases(master.db, [make_release("demo", requires_python=">=3.99")], RULES)


async def hidden(master: Master) -> None:
    await catalog.update_listed_releases(master.db, "demo", [])


@pytest.mark.parametrize(
    ("deeds", "states", "outcome", "resting"),
    [
        ((), ["unserved"], "unserved", False),
        ((built,), ["covered"], "built", True),
        ((failed,), ["failed"], "failed", True),
        ((deferred_for_minutes,), ["deferred"], "deferred", False),
        ((deferred_for_an_hour,), ["deferred"], "deferred", True),
        ((failed, skipped), ["skipped"], "skipped", True),
        ((failed, skipped_for_target), ["target-skipped"], "target-skipped", True),
        ((failed, quarantined), ["quarantined"], "quarantined", True),
        ((built, skipped), ["skipped", "covered"], "built", True),
        ((built, quarantined), ["quarantined"], "quarantined", True),
        ((built, project_skipped, quarantined), ["quarantined"], "quarantined", True),
        ((built, hidden), ["missing"], "missing", True),
        ((built, excluded), ["excluded"], "excluded", True),
        ((failed, excluded), ["excluded"], "excluded", True),
        ((excluded, skipped), ["skipped"], "skipped", True),
    ],
)
async def test_explain_and_the_table_of_piw_up_agree(
    shared: Master, deeds: tuple[Deed, ...], states: list[str], outcome: str, resting: bool
) -> None:
    await shared.release("demo")
    for deed in deeds:
        await deed(shared)
    question = m.Explain(project="demo", version="1.0", target=TARGET.name)
    answers = (await shared.ask(question, m.ExplainReply)).answers
    assert [answer.state for answer in answers] == states
    report = m.ReleaseReport(releases=(("demo", "1.0"),), targets=(TARGET.name,))
    (row,) = (await shared.ask(report, m.ReleaseReportReply)).rows
    assert (row.outcome, row.resting) == (outcome, resting)
    assert row.covered == ("covered" in states)


async def test_a_failure_has_a_reason_beside_its_state(shared: Master) -> None:
    await shared.release("demo")
    await failed(shared)
    report = m.ReleaseReport(releases=(("demo", "1.0"), ("demo", "2.0")), targets=(TARGET.name,))
    rows = (await shared.ask(report, m.ReleaseReportReply)).rows
    assert [(row.outcome, row.detail) for row in rows] == [
        ("failed", "not done in time: it broke"),
        ("removed", "the farm no longer has this release"),
    ]
