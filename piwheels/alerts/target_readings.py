"""What the rules say about the targets and their queues."""

from collections.abc import Iterator

from piwheels.alerts import rules
from piwheels.alerts.growth import Growth
from piwheels.alerts.reading import Facts, Reading, make_reading
from piwheels.formatting import format_count, format_percent
from piwheels.model import AlertRule, QueueStatus, Severity, TargetResults


def target_readings(facts: Facts) -> Iterator[Reading]:
    """What the rules say about each target."""
    for queue in facts.status.queues:
        yield _unserved(queue)
        if (growth := facts.growth.get(queue.target)) is not None:
            yield _growing(queue.target, growth)
        if (results := facts.results.get(queue.target)) is not None:
            yield from failing_readings(queue.target, results)


def _unserved(queue: QueueStatus) -> Reading:
    raised = queue.pending > 0 and not queue.has_builder
    waits = "waits" if queue.pending == 1 else "wait"
    text = f"{format_count(queue.pending)} {waits} and no builder serves it"
    return make_reading(
        AlertRule.UNSERVED,
        queue.target,
        raised,
        text,
        queue.pending,
        severity=Severity.CRITICAL,
    )


def _growing(target: str, growth: Growth) -> Reading:
    raised = growth.grew_each_hour and growth.grown_by >= rules.GROWING_JOBS
    text = f"{format_count(growth.grown_by)} more in 3h"
    return make_reading(
        AlertRule.GROWING, target, raised, text, growth.grown_by, clears=growth.is_shorter
    )


def failing_readings(subject: str, results: TargetResults) -> Iterator[Reading]:
    """The last hour's builds against those of the week before; nothing where that had few.

    Args:
        subject: a target, or "" for the farm.
        results: its builds.
    """
    before = results.built_before + results.failed_before
    if before < rules.FAILING_BUILDS:
        return
    builds = results.built + results.failed
    share = results.failed / builds if builds else 0.0
    usual = max(results.failed_before / before, rules.LEAST_USUAL_FAILURES)
    raised = builds >= rules.FAILING_BUILDS and share >= usual * rules.FAILING.raises
    usual_text = format_percent(results.failed_before, before)
    text = f"{format_percent(results.failed, builds)} failed in 1h, {usual_text} is usual"
    clears = share < usual * rules.FAILING.clears
    yield make_reading(AlertRule.FAILING, subject, raised, text, 100.0 * share, clears=clears)
