"""What the rules say about the targets and their queues."""

from collections.abc import Iterator

from piwheels.alerts import rules
from piwheels.alerts.growth import Growth
from piwheels.alerts.reading import Facts, Reading, make_reading
from piwheels.formatting import format_count
from piwheels.model import AlertRule, QueueStatus, Severity


def target_readings(facts: Facts) -> Iterator[Reading]:
    """What the rules say about each target."""
    for queue in facts.status.queues:
        yield _unserved(queue)
        if (growth := facts.growth.get(queue.target)) is not None:
            yield _growing(queue.target, growth)


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
