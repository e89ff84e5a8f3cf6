"""Reproductions: published wheels that are built again, and how the wheels compare.

A reproduction is claimed as a job is, but is no row of `jobs`, and its build none of `builds`:
what a release has or lacks does not depend on it.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, LiteralString

import msgspec

from piwheels.db.builder_suitability import (
    HAS_OTHER,
    SERVED,
    SUITS_REPRODUCTION,
    suitability_parameters,
)
from piwheels.db.database import Database, transactional
from piwheels.db.job_queue import RELEASE_COLUMNS, ClaimedJob, recipe_of_row
from piwheels.db.rows import from_row, to_parameters
from piwheels.model import (
    BuilderCapability,
    MemberDifference,
    Reproduction,
    ReproductionJob,
    Struct,
    projection,
)

#: So long another builder than the one that built the wheel is waited for, where one is connected,
#: and where none is: it can be restarting.
OTHER_BUILDER_WAIT, ABSENT_BUILDER_WAIT = timedelta(hours=1), timedelta(seconds=30)
#: Nobody waits longer for a builder.
MAX_WAIT = timedelta(days=7)
#: How many builds a reproduction has, at most, of which no result comes.
MAX_ATTEMPTS = 3
#: How many reproductions the farm chooses itself before it waits until some of them have ended.
MAX_IDLE_BACKLOG = 100
#: How many ended ones are kept of each wheel.
_MAX_KEPT = 10
#: Why a wheel is not built again.
_NO_SDIST = "its release has no sdist any more"
_NOT_TAKEN = f"no builder took it within {MAX_WAIT.days} days"
_FILE_INPUT = re.compile(r"[0-9a-f]{64} \S+")

#: What was open and will not be built, or not be built again.
_END: LiteralString = """
    ended_at = now(), claimed_by = NULL, build_id = NULL, result = 'failed'
"""
#: The tables that say what is built again: x is the reproduction, b the build of the wheel.
_SOURCES: LiteralString = """
       reproductions x
  JOIN files f ON f.filename = x.filename
  JOIN builds b ON b.build_id = f.build_id
  JOIN releases r ON r.project = f.project AND r.version = f.version
"""
_JOB_COLUMNS: LiteralString = f"""
    x.reproduction_id, x.build_id, x.filename, x.target, f.sha256,
    b.build_inputs AS original_inputs, {RELEASE_COLUMNS}
"""


class _Comparison(Struct, frozen=True, kw_only=True):
    """The column `comparison`."""

    rebuilt_sha256: str = ""
    differences: tuple[MemberDifference, ...] = ()
    unlisted: int = 0
    changed_inputs: tuple[str, ...] = ()


class ReproducibleFile(Struct, frozen=True, kw_only=True):
    """A published wheel, and why it cannot be built again; "" if it can."""

    filename: str
    project: str
    target: str
    obstacle: str


async def files_of_release(
    db: Database, project: str, version: str, target: str | None
) -> list[ReproducibleFile]:
    """The wheels of a release that can be built again, or not; of a target those it installs."""
    rows = await db.rows(
        """
        SELECT f.filename, f.project, b.target,
               CASE WHEN f.mirrored_from IS NOT NULL
                    THEN 'it was taken from the upstream index, and not built here'
                    WHEN r.sdist_url IS NULL THEN %(no_sdist)s
                    WHEN f.build_id < r.sdist_replaced_build_id
                    THEN 'its sdist was replaced upstream after it was built'
                    ELSE '' END AS obstacle
          FROM files f
          JOIN builds b ON b.build_id = f.build_id
          JOIN releases r ON r.project = f.project AND r.version = f.version
         WHERE f.project = %(project)s AND f.version = %(version)s
           AND (%(target)s::text IS NULL OR b.target = %(target)s OR f.filename IN (
               SELECT c.filename FROM covering_files c
                WHERE c.project = f.project AND c.version = f.version
                  AND c.target = %(target)s))
         ORDER BY f.filename
        """,
        {"project": project, "version": version, "target": target, "no_sdist": _NO_SDIST},
    )
    return [from_row(ReproducibleFile, row) for row in rows]


@transactional
async def request(db: Database, files: Sequence[ReproducibleFile], asked_by: str) -> None:
    """Have wheels built again; one that waits already for an idle time waits no longer for that."""
    for file in sorted(files, key=lambda each: each.filename):
        await db.execute(
            """
            INSERT INTO reproductions (filename, project, target, asked_by)
            VALUES (%(filename)s, %(project)s, %(target)s, %(asked_by)s)
                ON CONFLICT (filename) WHERE ended_at IS NULL DO UPDATE
               SET asked_by = CASE WHEN reproductions.asked_by = '' THEN excluded.asked_by
                                   ELSE reproductions.asked_by END
            """,
            to_parameters(file) | {"asked_by": asked_by},
        )
    await db.execute("NOTIFY jobs")


async def choose_for_idle_time(db: Database, build_id: int) -> None:
    """Have the wheels of a build built again when a builder has nothing else to do."""
    await db.execute(
        """
        INSERT INTO reproductions (filename, project, target, asked_by)
        SELECT f.filename, f.project, b.target, ''
          FROM files f JOIN builds b ON b.build_id = f.build_id
         WHERE f.build_id = %(build)s
           AND (SELECT count(*) FROM reproductions WHERE ended_at IS NULL AND asked_by = '')
               < %(backlog)s
            ON CONFLICT (filename) WHERE ended_at IS NULL DO NOTHING
        """,
        {"build": build_id, "backlog": MAX_IDLE_BACKLOG},
    )


_CLAIM: LiteralString = f"""
    WITH candidate AS MATERIALIZED (
        SELECT x.reproduction_id
          FROM {_SOURCES}
          JOIN projects p ON p.project = f.project
          JOIN {SERVED} ON served.target = x.target
         WHERE x.ended_at IS NULL AND x.claimed_by IS NULL AND r.sdist_url IS NOT NULL
           AND (x.target <> ALL (%(targets_without_compiler)s) OR p.is_pure OR b.without_compiler)
           AND (x.asked_by <> '' OR NOT %(asked_only)s)
           AND (b.builder <> %(builder)s
                OR x.asked_at < now() - CASE WHEN {HAS_OTHER} THEN %(other_wait)s
                                             ELSE %(absent_wait)s END)
           AND {SUITS_REPRODUCTION}
         ORDER BY x.asked_by = '', x.asked_at, x.reproduction_id
         LIMIT 1
           FOR UPDATE OF x SKIP LOCKED
    )
    UPDATE reproductions x
       SET claimed_by = %(builder)s, builder = %(builder)s, started_at = now(),
           attempts = attempts + 1, build_id = nextval('build_ids')
      FROM candidate c
     WHERE x.reproduction_id = c.reproduction_id
    RETURNING x.reproduction_id
"""  # noqa: S608 - of constants alone


_ANY_OPEN = """
    SELECT EXISTS (
        SELECT FROM reproductions
         WHERE ended_at IS NULL AND claimed_by IS NULL AND target = ANY (%(targets)s::text[])
           AND (asked_by <> '' OR NOT %(asked_only)s)
    )
"""


async def is_open(db: Database, targets: Sequence[str], *, asked_only: bool) -> bool:
    """Whether a reproduction for these targets waits; with `asked_only`, one of an operator."""
    found = await db.value(_ANY_OPEN, {"targets": list(targets), "asked_only": asked_only})
    return bool(found)


@transactional
async def claim(
    db: Database,
    builder: str,
    targets: Sequence[str],
    targets_without_compiler: Sequence[str],
    capability: BuilderCapability,
    *,
    asked_only: bool,
) -> ReproductionJob | None:
    """Claim a reproduction for a builder, what operators asked for first; None if there is none.

    What the builder built itself is left to another one that serves the target, for a while.
    """
    # A claim waits for no other table while there is nothing to reproduce, as is usual.
    if not await is_open(db, targets, asked_only=asked_only):
        return None
    claimed = await db.value(
        _CLAIM,
        suitability_parameters(builder, targets, capability)
        | {
            "targets_without_compiler": list(targets_without_compiler),
            "asked_only": asked_only,
            "other_wait": OTHER_BUILDER_WAIT,
            "absent_wait": ABSENT_BUILDER_WAIT,
        },
    )
    if claimed is None:
        return None
    row = await db.row(
        f"SELECT {_JOB_COLUMNS} FROM {_SOURCES} WHERE x.reproduction_id = %(claimed)s",  # noqa: S608 - of constants alone
        {"claimed": claimed},
    )
    return _job_of_row(row) if row else None


def _job_of_row(row: Mapping[str, Any]) -> ReproductionJob:
    inputs = tuple(filter(_FILE_INPUT.fullmatch, row["original_inputs"]))
    return from_row(ReproductionJob, row, recipe=recipe_of_row(row), only_inputs=inputs)


async def claimed_jobs(db: Database) -> list[ClaimedJob]:
    """Every reproduction that a builder has."""
    rows = await db.rows(
        f"""
        SELECT {_JOB_COLUMNS}, x.claimed_by AS builder, x.started_at AS claimed_at
          FROM {_SOURCES}
         WHERE x.claimed_by IS NOT NULL
         ORDER BY x.started_at
        """  # noqa: S608 - of constants alone
    )
    return [
        ClaimedJob(builder=row["builder"], claimed_at=row["claimed_at"], job=_job_of_row(row))
        for row in rows
    ]


async def unclaim(db: Database, builder: str, build_id: int | None = None) -> bool:
    """Let what a builder has, or one build of it, be claimed again, as if it had not begun."""
    return bool(
        await db.execute(
            """
            UPDATE reproductions
               SET claimed_by = NULL, build_id = NULL, started_at = NULL, attempts = attempts - 1,
                   builder = ''
             WHERE claimed_by = %(builder)s
               AND (%(build)s::bigint IS NULL OR build_id = %(build)s)
            """,
            {"builder": builder, "build": build_id},
        )
    )


async def build_again(db: Database, job: ReproductionJob, builder: str) -> bool:
    """Let a build that gave no result be repeated; False after the last one, or if it is gone."""
    return bool(
        await db.execute(
            """
            UPDATE reproductions
               SET claimed_by = NULL, build_id = NULL, started_at = NULL
             WHERE reproduction_id = %(reproduction)s AND build_id = %(build)s
               AND claimed_by = %(builder)s AND attempts < %(most)s
            """,
            {
                "reproduction": job.reproduction_id,
                "build": job.build_id,
                "builder": builder,
                "most": MAX_ATTEMPTS,
            },
        )
    )


@transactional
async def complete(db: Database, job: ReproductionJob, ended: Reproduction) -> bool:
    """Record the result of a claimed reproduction.

    Args:
        db: the connection.
        job: what was built.
        ended: its builder, result and what differs count.

    Returns:
        False if its builder has it no longer, or the wheel is not published any more.
    """
    comparison = projection(_Comparison, ended)
    held = await db.execute(
        """
        UPDATE reproductions
           SET ended_at = now(), claimed_by = NULL, build_id = NULL, result = %(result)s,
               reason = %(reason)s, comparison = %(comparison)s::jsonb
         WHERE reproduction_id = %(reproduction_id)s AND build_id = %(build_id)s
           AND claimed_by = %(builder)s
        """,
        {
            **to_parameters(ended),
            "build_id": job.build_id,
            "reason": ended.reason.replace("\0", ""),
            "comparison": msgspec.json.encode(comparison).decode(),
        },
    )
    await db.execute(
        """
        DELETE FROM reproductions
         WHERE filename = %(filename)s AND reproduction_id NOT IN (
             SELECT reproduction_id FROM reproductions WHERE filename = %(filename)s
              ORDER BY reproduction_id DESC LIMIT %(kept)s)
        """,
        {"filename": job.filename, "kept": _MAX_KEPT},
    )
    return held > 0


async def end_overdue(db: Database) -> list[tuple[str, str]]:
    """End what nobody can build, or what waited for too long; returns file names and reasons."""
    rows = await db.rows(
        f"""
        UPDATE reproductions x
           SET {_END}, reason = CASE WHEN x.asked_at < now() - %(longest)s
                                     THEN %(not_taken)s ELSE %(no_sdist)s END
          FROM files f JOIN releases r ON r.project = f.project AND r.version = f.version
         WHERE f.filename = x.filename AND x.ended_at IS NULL AND x.claimed_by IS NULL
           AND (x.asked_at < now() - %(longest)s OR r.sdist_url IS NULL)
        RETURNING x.filename, x.reason
        """,  # noqa: S608 - of constants alone
        {"longest": MAX_WAIT, "not_taken": _NOT_TAKEN, "no_sdist": _NO_SDIST},
    )
    return [(row["filename"], row["reason"]) for row in rows]


_NEWEST: LiteralString = f"""
    SELECT DISTINCT ON (x.filename)
           x.reproduction_id, x.filename, f.project, f.version, x.target, f.sha256,
           b.builder AS original_builder, x.asked_by, x.asked_at, x.started_at, x.ended_at,
           x.builder, x.attempts, x.result, x.reason, x.comparison
      FROM {_SOURCES}
     WHERE f.project = ANY (%(projects)s)
       AND (%(version)s::text IS NULL OR f.version = %(version)s)
       AND (x.ended_at IS NOT NULL OR NOT %(ended_only)s)
     ORDER BY x.filename, x.reproduction_id DESC
"""  # noqa: S608 - of constants alone


async def newest_of_release(db: Database, project: str, version: str) -> list[Reproduction]:
    """The newest reproduction of each wheel of a release, by file name."""
    selected = {"projects": [project], "version": version, "ended_only": False}
    return [_of_row(row) for row in await db.rows(_NEWEST, selected)]


async def ended_of_projects(db: Database, projects: Sequence[str]) -> dict[str, Reproduction]:
    """The newest reproduction that has ended, by the file name of the wheel."""
    selected = {"projects": list(projects), "version": None, "ended_only": True}
    found = [_of_row(row) for row in await db.rows(_NEWEST, selected)]
    return {each.filename: each for each in found}


async def of_job(db: Database, job: ReproductionJob) -> Reproduction | None:
    """The reproduction that a job belongs to, as it is stored; None if it is gone."""
    found = await newest_of_release(db, job.project, job.version)
    return next((each for each in found if each.reproduction_id == job.reproduction_id), None)


def _of_row(row: Mapping[str, Any]) -> Reproduction:
    return from_row(Reproduction, row, **row["comparison"])
