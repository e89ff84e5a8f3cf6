"""Which releases fail, and for which cause, over the whole farm."""

from collections.abc import Sequence

from piwheels.db.catalog import lock_projects
from piwheels.db.database import Database, transactional
from piwheels.db.history import BUILD_SUMMARIES_SQL, build_summary
from piwheels.db.job_queue import NAMED_RELEASES, release_parameters, retry_where
from piwheels.db.rows import from_row
from piwheels.model import (
    MAX_SHOWN_INPUTS,
    BuildDetails,
    BuildSummary,
    FailureGroup,
    FailureReport,
)

#: So many failed builds are looked at, the last first: whatever the size of the farm, the groups
#: cost the database the same.
MAX_BUILDS = 20_000
MAX_GROUPS = 200
#: The most builds of one group that are listed, and the most releases that a command names.
MAX_GROUP_BUILDS = 2000

#: By what failures are grouped, from `packages`, `missing` and `reason`. The same error in another
#: file is the same cause.
_CAUSE_SQL = r"""
    CASE WHEN cardinality(packages) > 0 THEN array_to_string(packages, ', ')
         WHEN cardinality(missing) > 0 THEN array_to_string(missing, ', ')
         ELSE left(regexp_replace(reason, '^\S+?:\d+(:\d+)?:\s+', ''), 200)
    END
"""
_DETAILS_SQL = f"""
    SELECT b.started_at, b.attempt, b.phases, b.build_inputs[1:%(inputs)s] AS build_inputs,
           cardinality(b.build_inputs) AS inputs, coalesce(r.sdist_filename, '') AS sdist,
           CASE WHEN b.outcome <> 'built'
                THEN coalesce(nullif(b.failure_class, ''), b.outcome) ELSE '' END AS group_class,
           CASE WHEN b.outcome <> 'built' THEN {_CAUSE_SQL} ELSE '' END AS group_cause
      FROM builds b
      JOIN releases r ON r.project = b.project AND r.version = b.version
     CROSS JOIN LATERAL (
         SELECT ARRAY(SELECT jsonb_array_elements_text(b.evidence -> 'packages')) AS packages,
                ARRAY(SELECT jsonb_array_elements_text(b.evidence -> 'missing')) AS missing
     ) found
     WHERE b.build_id = %(build)s
"""  # noqa: S608 - of constants alone

#: The last builds of releases that are wanted and have no wheel, with their cause. A build that
#: was canceled has none.
_OPEN_FAILURES_SQL = f"""
    WITH recent AS MATERIALIZED (
        SELECT build_id, project, version, target, will_retry, ignored_by_policy, ended_at,
               reason, evidence,
               coalesce(nullif(failure_class, ''), outcome) AS failure_class
          FROM builds
         WHERE outcome <> 'built'
         ORDER BY ended_at DESC
         LIMIT %(max_builds)s
    ), open AS (
        SELECT n.*, j.target IS NOT NULL AS is_retrying,
               EXISTS (
                   SELECT FROM made_builds earlier
                    WHERE earlier.project = n.project AND earlier.target = n.target
                      AND earlier.outcome = 'built' AND earlier.build_id < n.build_id
               ) AS is_regression,
               ARRAY(SELECT jsonb_array_elements_text(n.evidence -> 'packages')) AS packages,
               ARRAY(SELECT jsonb_array_elements_text(n.evidence -> 'missing')) AS missing
          FROM recent n
          JOIN targets t ON t.target = n.target AND t.skip_reason IS NULL
          JOIN projects p ON p.project = n.project AND p.skip_reason IS NULL
          JOIN releases r ON r.project = n.project AND r.version = n.version
                         AND r.skip_reason IS NULL AND r.missing_since IS NULL
          LEFT JOIN jobs j ON j.project = n.project AND j.version = n.version
                          AND j.target = n.target
         WHERE n.failure_class <> 'canceled'
           AND (j.target IS NOT NULL OR NOT n.will_retry)
           AND NOT EXISTS (
               SELECT FROM made_builds later
                WHERE later.project = n.project AND later.version = n.version
                  AND later.target = n.target AND later.build_id > n.build_id)
           AND NOT EXISTS (
               SELECT FROM target_skips s
                WHERE s.project = n.project AND s.target = n.target
                  AND s.version IN ('', n.version))
           AND NOT EXISTS (
               SELECT FROM covering_files c
                WHERE c.project = n.project AND c.version = n.version AND c.target = n.target)
    ), failures AS (
        SELECT open.*,
               {_CAUSE_SQL} AS cause
          FROM open
    )
"""  # noqa: S608 - of constants alone

#: Groups of releases that fail for the same cause; `numbered` has one row for each group.
_GROUPS_SQL = f"""
    {_OPEN_FAILURES_SQL}, numbered AS (
        SELECT failure_class, cause,
               (array_agg(reason ORDER BY is_regression DESC, build_id DESC))[1] AS reason,
               min(packages) AS packages, mode() WITHIN GROUP (ORDER BY missing) AS missing,
               count(DISTINCT (project, version)) AS releases,
               count(DISTINCT target) AS targets,
               count(DISTINCT (project, version)) FILTER (WHERE is_regression) AS regressions,
               count(DISTINCT (project, version)) FILTER (WHERE is_retrying) AS retrying,
               count(DISTINCT (project, version))
                   FILTER (WHERE is_retrying AND ignored_by_policy) AS retried,
               max(ended_at) AS last_at,
               array_agg(build_id ORDER BY is_regression DESC, build_id DESC) AS builds,
               (array_agg(DISTINCT project || ' ' || version)
                   FILTER (WHERE is_regression))[:3] AS regressed
          FROM failures
         GROUP BY failure_class, cause
    )
    SELECT n.failure_class, n.cause, n.reason, n.packages, n.missing, n.releases, n.targets,
           n.regressions, n.retrying, n.retried, n.last_at,
           coalesce(n.regressed, ARRAY[]::text[]) AS regressed,
           b.build_id AS example_build, b.project AS example_project,
           b.version AS example_version, b.target AS example_target,
           count(*) OVER () AS causes,
           (SELECT count(DISTINCT (project, version)) FROM failures) AS all_releases
      FROM numbered n
      JOIN builds b ON b.build_id = n.builds[1]
     ORDER BY n.regressions DESC, n.releases DESC, n.last_at DESC
     LIMIT %(max_groups)s
"""  # noqa: S608 - of constants alone

_GROUP_BUILDS_SQL = f"""
    {_OPEN_FAILURES_SQL}
    {BUILD_SUMMARIES_SQL}
     LIMIT %(limit)s
""".format(
    builds="builds",
    conditions="""b.build_id IN (
         SELECT build_id FROM failures
          WHERE failure_class = %(failure_class)s AND cause = %(cause)s)""",
)


async def failure_report(db: Database) -> FailureReport:
    """What fails now on the whole farm, by cause."""
    rows = await db.rows(_GROUPS_SQL, {"max_builds": MAX_BUILDS, "max_groups": MAX_GROUPS})
    groups = tuple(from_row(FailureGroup, row) for row in rows)
    first = rows[0] if rows else {"causes": 0, "all_releases": 0}
    return FailureReport(groups=groups, causes=first["causes"], releases=first["all_releases"])


async def build_details(db: Database, build: int) -> BuildDetails | None:
    """A completed build with its phases and inputs; None if it is not recorded."""
    rows = await db.rows(_DETAILS_SQL, {"build": build, "inputs": MAX_SHOWN_INPUTS})
    summaries = await db.rows(
        BUILD_SUMMARIES_SQL.format(builds="builds", conditions="b.build_id = %(build)s"),
        {"build": build},
    )
    if not rows or not summaries:
        return None
    return from_row(BuildDetails, rows[0], build=build_summary(summaries[0]))


async def builds_of_group(db: Database, failure_class: str, cause: str) -> list[BuildSummary]:
    """The failed builds of a group, the newest first, at most MAX_GROUP_BUILDS."""
    rows = await db.rows(
        _GROUP_BUILDS_SQL,
        {
            "max_builds": MAX_BUILDS,
            "failure_class": failure_class,
            "cause": cause,
            "limit": MAX_GROUP_BUILDS,
        },
    )
    return [build_summary(row) for row in rows]


@transactional
async def retry_releases(db: Database, releases: Sequence[tuple[str, str, str]]) -> int:
    """Retry these releases (project, version, target); returns how many failures that affects."""
    which = release_parameters(releases)
    await lock_projects(db, sorted(set(which["projects"])))
    return await retry_where(db, NAMED_RELEASES, which)


@transactional
async def skip_releases(db: Database, releases: Sequence[tuple[str, str, str]], reason: str) -> int:
    """Do not build these releases (project, version, target); returns how many were not skipped.

    Those that the farm does not have any more are passed over.
    """
    which = release_parameters(releases)
    await lock_projects(db, sorted(set(which["projects"])))
    return await db.execute(
        """
        INSERT INTO target_skips (project, version, target, reason)
        SELECT r.project, r.version, t.target, %(reason)s
          FROM unnest(%(projects)s::text[], %(versions)s::text[], %(targets)s::text[])
               AS named (project, version, target)
          JOIN releases r ON r.project = named.project AND r.version = named.version
          JOIN targets t ON t.target = named.target
            ON CONFLICT (project, target, version) DO UPDATE SET reason = excluded.reason
         WHERE target_skips.reason <> excluded.reason
        """,
        {**which, "reason": reason},
    )
