"""The answers of `piw explain`: how releases stand, as messages."""

from datetime import datetime

from piwheels.model import ProjectStatusRow
from piwheels.protocol.messages import Explanation
from piwheels.release_status import StatusContext, explain_with_upstream


def explanations(
    project: str,
    facts: ProjectStatusRow | None,
    *,
    asked_version: str | None,
    asked_target: str | None,
    served: frozenset[str],
    paused: bool,
    now: datetime,
    equipped: frozenset[str] | None = None,
) -> tuple[Explanation, ...]:
    """The whole answer.

    Args:
        project: its normalised name.
        facts: what the database knows of it.
        asked_version: the version that the question named.
        asked_target: the target that it named.
        served: targets for which a builder is connected.
        paused: whether the farm hands out no jobs.
        now: the time that waiting is counted from.
        equipped: targets for which a connected builder has a C compiler; None is not known.
    """
    return tuple(
        Explanation(
            project=standing.project,
            version=standing.version,
            target=standing.target,
            state=standing.state,
            text=standing.as_text,
            build=standing.build,
            file=standing.file,
        )
        for standing in explain_with_upstream(
            project,
            facts,
            StatusContext(
                served_targets=served, targets_with_compiler=equipped, paused=paused, now=now
            ),
            asked_version=asked_version,
            asked_target=asked_target,
        )
    )
