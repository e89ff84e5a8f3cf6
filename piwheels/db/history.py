"""Recent events and completed builds, the newest first, and counts of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any

from piwheels.db.database import Database
from piwheels.db.rows import from_row
from piwheels.model import (
    OTHER_MAKERS,
    AuditEvent,
    BuildSummary,
    FailureCause,
    JobPriority,
    Struct,
    TargetResults,
)

#: So many builds of others are compared with one, the last first.
_MAX_COMPARED = 30
#: A builder is compared with its peers in so many builds.
_RATIO_BUILDS = 10


async def recent_events(db: Database, *, limit: int, before: int | None) -> list[AuditEvent]:
    """The last events, or the last before an event, the newest first."""
    rows = await db.rows(
        """
        SELECT event_id, at, who, text, subject, outcome
          FROM events
         WHERE %(before)s::bigint IS NULL OR event_id < %(before)s
         ORDER BY event_id DESC
         LIMIT %(limit)s
        """,
        {"limit": limit, "before": before},
    )
    return [AuditEvent(**row) for row in rows]


#: The columns that `build_summary` needs, from builds or made_builds (b).
BUILD_SUMMARIES_SQL = """
    SELECT b.build_id, b.ended_at, b.builder, b.project, b.version, b.target, b.outcome,
           b.duration_s, b.reason, b.will_retry, b.failure_class, b.evidence,
           ARRAY(SELECT f.filename FROM files f
                  WHERE f.build_id = b.build_id ORDER BY f.filename) AS files
      FROM {builds} b
     WHERE {conditions}
     ORDER BY b.ended_at DESC, b.build_id DESC
"""


def build_summary(row: Mapping[str, Any]) -> BuildSummary:
    """A summary from a row of BUILD_SUMMARIES_SQL."""
    return from_row(BuildSummary, row, cause=failure_cause(row["failure_class"], row["evidence"]))


def failure_cause(failure_class: str | None, evidence: Any) -> FailureCause | None:
    """Why a build failed, from its columns; None if it was built, or there was no build."""
    if not failure_class:
        return None
    return from_row(FailureCause, evidence, failure_class=failure_class)


async def recent_builds(
    db: Database,
    *,
    limit: int,
    project: str | None = None,
    builder: str | None = None,
    failed: bool = False,
    slower_than_s: float = 0.0,
    ended_before: datetime | None = None,
) -> list[BuildSummary]:
    """The builds that ended last, the newest first, optionally filtered."""
    # Only the conditions that apply, so that each combination gets its own plan.
    conditions = {
        "b.project = %(project)s": project is not None,
        # Bounded, because no index has the builder.
        "b.builder = %(builder)s AND b.ended_at > now() - interval '7 days'": builder is not None,
        "b.outcome <> 'built'": failed,
        "b.duration_s >= %(slower_than_s)s": slower_than_s > 0,
        "b.ended_at < %(ended_before)s": ended_before is not None,
    }
    requested = [condition for condition, is_asked in conditions.items() if is_asked]
    rows = await db.rows(
        BUILD_SUMMARIES_SQL.format(
            builds="made_builds", conditions=" AND ".join(requested) or "true"
        )
        + "LIMIT %(limit)s",
        {
            "limit": limit,
            "project": project,
            "builder": builder,
            "slower_than_s": slower_than_s,
            "ended_before": ended_before,
        },
    )
    return [build_summary(row) for row in rows]


async def usual_durations(db: Database, builds: Sequence[int]) -> dict[int, float]:
    """How long other builders take for what these builds made: the median of their last builds.

    Builds of a project for the same target are compared, whatever the release: a release is
    rarely built twice for one. A build that nothing compares to is left out.
    """
    rows = await db.rows(
        """
        SELECT b.build_id, others.usual_s
          FROM builds b
         CROSS JOIN LATERAL (
             SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_s) AS usual_s
               FROM (
                   SELECT duration_s FROM builds o
                    WHERE o.project = b.project AND o.target = b.target
                      AND o.builder <> b.builder AND o.outcome = 'built' AND o.duration_s > 0
                      AND o.ended_at > now() - interval '90 days'
                    ORDER BY o.ended_at DESC
                    LIMIT %(limit)s
               ) compared
         ) others
         WHERE b.build_id = ANY (%(builds)s) AND others.usual_s IS NOT NULL
        """,
        {"builds": list(builds), "limit": _MAX_COMPARED},
    )
    return {row["build_id"]: row["usual_s"] for row in rows}


async def peer_ratios(db: Database) -> dict[str, float]:
    """How many times as long as other builders' the last builds of each builder took.

    By builder, the median over its last 10 builds, within 7 days, that others compare to (as
    `usual_durations` says); builders with fewer are left out.
    """
    rows = await db.rows(
        """
        WITH recent AS (
            SELECT builder, build_id, duration_s,
                   row_number() OVER (PARTITION BY builder ORDER BY ended_at DESC) AS place
              FROM made_builds
             WHERE outcome = 'built' AND ended_at > now() - interval '7 days'
        )
        SELECT builder, build_id, duration_s FROM recent
         WHERE place <= %(limit)s
         ORDER BY place
        """,
        {"limit": 2 * _RATIO_BUILDS},
    )
    usual_s = await usual_durations(db, [row["build_id"] for row in rows])
    ratios: dict[str, list[float]] = {}
    for row in rows:
        if (usual := usual_s.get(row["build_id"], 0.0)) > 0:
            ratios.setdefault(row["builder"], []).append(row["duration_s"] / usual)
    return {
        builder: median(found[:_RATIO_BUILDS])
        for builder, found in ratios.items()
        if len(found) >= _RATIO_BUILDS
    }


async def outcomes_last_hour(db: Database) -> dict[str, int]:
    """Builds that ended in the last hour, by outcome."""
    rows = await db.rows(
        """
        SELECT outcome, count(*) AS count FROM made_builds
         WHERE ended_at > now() - interval '1 hour' GROUP BY outcome
        """
    )
    return {row["outcome"]: row["count"] for row in rows}


class MinuteCounts(Struct, frozen=True, kw_only=True):
    """What happened to the jobs of a target in a minute; `failed` counts final failures alone."""

    target: str
    added: int
    built: int
    failed: int


async def counts_of_minute(db: Database, minute: datetime) -> list[MinuteCounts]:
    """How many jobs were added, built and failed in a minute, for each active target.

    Jobs that are claimed or wait for a builder count as added, unless they were prioritized.
    """
    rows = await db.rows(
        """
        SELECT t.target,
               -- By the indexes of claimable and of claimed jobs: none has the time of queuing.
               ((SELECT count(*)
                   FROM unnest(%(classes)s::smallint[]) AS class (priority)
                   JOIN jobs j ON j.priority_class = class.priority
                  WHERE j.target = t.target
                    AND j.claimed_by IS NULL AND j.retry_at IS NULL AND NOT j.parked
                    AND j.priority_time >= %(minute)s AND j.queued_at >= %(minute)s
                    AND j.queued_at < %(minute)s + interval '1 minute')
                + (SELECT count(*) FROM jobs j
                    WHERE j.claimed_by IS NOT NULL AND j.target = t.target
                      AND j.queued_at >= %(minute)s
                      AND j.queued_at < %(minute)s + interval '1 minute'))::int AS added,
               (count(*) FILTER (WHERE b.outcome = 'built'))::int AS built,
               (count(*) FILTER (WHERE b.outcome <> 'built' AND NOT b.will_retry))::int AS failed
          FROM targets t
          LEFT JOIN made_builds b ON b.target = t.target AND b.ended_at >= %(minute)s
                                 AND b.ended_at < %(minute)s + interval '1 minute'
         WHERE t.skip_reason IS NULL
         GROUP BY t.target
        """,
        {"minute": minute, "classes": [int(each) for each in JobPriority]},
    )
    return [MinuteCounts(**row) for row in rows]


async def target_results(db: Database) -> dict[str, TargetResults]:
    """How the builds for each target ended: those of the last hour, and of the week before it."""
    rows = await db.rows(
        """
        SELECT target,
               count(*) FILTER (WHERE recent AND built)::int AS built,
               count(*) FILTER (WHERE recent AND NOT built)::int AS failed,
               count(*) FILTER (WHERE NOT recent AND built)::int AS built_before,
               count(*) FILTER (WHERE NOT recent AND NOT built)::int AS failed_before
          FROM (
              SELECT target, outcome = 'built' AS built,
                     ended_at > now() - interval '1 hour' AS recent
                FROM made_builds
               WHERE ended_at > now() - interval '7 days 1 hour'
                 AND (outcome = 'built' OR NOT will_retry)
          ) ended
         GROUP BY target
        """
    )
    return {row["target"]: from_row(TargetResults, {**row}) for row in rows}


class RecentResult(Struct, frozen=True, kw_only=True):
    """The result of a build of the last hour, for the history of its builder."""

    builder: str
    built: bool
    age_s: float


async def recent_results(db: Database) -> list[RecentResult]:
    """Results of the last hour by builder, oldest first, without canceled builds."""
    rows = await db.rows(
        """
        SELECT builder, outcome = 'built' AS built,
               extract(epoch FROM now() - ended_at)::float8 AS age_s
          FROM made_builds
         WHERE ended_at > now() - interval '1 hour' AND outcome <> 'canceled'
           AND builder <> ALL (%(others)s)
         ORDER BY ended_at
        """,
        {"others": list(OTHER_MAKERS)},
    )
    return [RecentResult(**row) for row in rows]


async def longest_build_s(db: Database, project: str) -> float | None:
    """How long the longest successful build of a project took; None where there was none."""
    longest: float | None = await db.value(
        """
        SELECT max(duration_s) FROM builds
         WHERE project = %(project)s AND outcome = 'built' AND duration_s > 0
        """,
        {"project": project},
    )
    return longest
