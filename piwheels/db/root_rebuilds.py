"""What is built again after a root was updated."""

from collections.abc import Sequence
from typing import LiteralString

import msgspec

from piwheels.db import key_values
from piwheels.db.catalog import lock_projects
from piwheels.db.database import Database, transactional
from piwheels.db.job_queue import NAMED_RELEASES, release_parameters, retry_where
from piwheels.model import FailureClass, JobPriority, RootHistory, Struct

_PREFIX = "root/"
#: How many projects one step looks at, and of how many it queues builds.
_MAX_SCANNED, _MAX_QUEUED = 500, 20
#: New releases of so long a time are built first.
_DELAY_DAYS = 30

#: Whether a build (b) ran on a former state of the root.
_ON_FORMER_STATE: LiteralString = """EXISTS (
    SELECT FROM unnest(b.build_inputs) AS input
     WHERE starts_with(input, %(root)s)
       AND split_part(substr(input, length(%(root)s) + 1), ' ', 1) <> ALL (%(keys)s)
)"""
_ACTIVE: LiteralString = """
       r.sdist_url IS NOT NULL AND r.skip_reason IS NULL AND r.missing_since IS NULL
   AND p.skip_reason IS NULL AND p.status <> 'quarantined' AND t.skip_reason IS NULL
"""
#: Published wheels with compiled code, of projects in a range.
_OUTDATED_FILES: LiteralString = f"""
    SELECT f.filename, f.project
      FROM files f
      JOIN wheel_compatibilities c ON c.compatibility_id = f.compatibility_id
      JOIN builds b ON b.build_id = f.build_id
      JOIN releases r ON r.project = f.project AND r.version = f.version
      JOIN projects p ON p.project = f.project
      JOIN targets t ON t.target = b.target
     WHERE f.project > %(first)s AND f.project <= %(last)s
       AND %(wheels)s AND NOT f.rebuild_requested AND c.tags NOT LIKE '%%-none-any'
       AND {_ACTIVE} AND {_ON_FORMER_STATE}
"""  # noqa: S608 - of constants alone
#: Final failures, of projects in a range.
_OUTDATED_FAILURES: LiteralString = f"""
    SELECT b.project, b.version, b.target
      FROM builds b
      JOIN releases r ON r.project = b.project AND r.version = b.version
      JOIN projects p ON p.project = b.project
      JOIN targets t ON t.target = b.target
     WHERE b.project > %(first)s AND b.project <= %(last)s
       AND b.outcome <> 'built' AND NOT b.will_retry AND b.failure_class = ANY (%(classes)s)
       AND {_ACTIVE} AND {_ON_FORMER_STATE}
"""  # noqa: S608 - of constants alone


class RootSelection(Struct, frozen=True, kw_only=True):
    """What a rebuild is about: failures, and wheels too if `wheels`.

    `keys` are the present states of the root; `classes` are those of failures that the system may
    have a part in.
    """

    root: str
    keys: tuple[str, ...]
    wheels: bool
    classes: tuple[FailureClass, ...]


async def load_histories(db: Database) -> dict[str, RootHistory]:
    """The histories of all roots, by name; those of another version of piwheels are left out."""
    found = {}
    for name, text in (await key_values.get_values(db, _PREFIX)).items():
        try:
            found[name] = msgspec.json.decode(text, type=RootHistory)
        except msgspec.MsgspecError:
            continue
    return found


async def store_history(db: Database, name: str, history: RootHistory) -> None:
    """Store the history of a root."""
    await key_values.set_value(db, f"{_PREFIX}{name}", msgspec.json.encode(history).decode())


async def count_waiting_rebuilds(db: Database, most: int) -> int:
    """How many jobs wait that were queued behind new releases; at most `most` of a target."""
    return int(
        await db.value(
            """
            SELECT count(*)
              FROM targets t
             CROSS JOIN LATERAL (
                 SELECT FROM jobs j
                  WHERE j.target = t.target AND j.claimed_by IS NULL AND j.retry_at IS NULL
                    AND NOT j.parked AND j.priority_class = %(backlog)s
                    AND j.priority_time > now() + interval '1 day'
                  LIMIT %(most)s
             ) waiting
            """,
            {"most": most, "backlog": int(JobPriority.BACKLOG)},
        )
    )


@transactional
async def queue_rebuilds(
    db: Database, name: str, history: RootHistory, selection: RootSelection
) -> RootHistory:
    """Queue what is outdated of the next few projects, behind all new releases.

    Returns:
        The history after that, which is stored: without a cursor if these were the last projects.
    """
    first = history.cursor or ""
    last = await db.value(
        """
        SELECT max(project) FROM (
            SELECT project FROM projects WHERE project > %(first)s ORDER BY project LIMIT %(most)s
        ) AS next
        """,
        {"first": first, "most": _MAX_SCANNED},
    )
    if last is None:
        after = msgspec.structs.replace(history, cursor=None)
    else:
        facts = _parameters(selection) | {"first": first, "last": last, "most": _MAX_QUEUED}
        projects = [row["project"] for row in await db.rows(_OUTDATED_PROJECTS, facts)]
        facts["last"] = cursor = projects[-1] if len(projects) == _MAX_QUEUED else last
        queued = await _queue(db, projects, facts) if projects else 0
        after = msgspec.structs.replace(history, cursor=cursor, queued=history.queued + queued)
    await store_history(db, name, after)
    return after


_OUTDATED_PROJECTS: LiteralString = f"""
    SELECT project FROM ({_OUTDATED_FILES}) AS outdated
     UNION
    SELECT project FROM ({_OUTDATED_FAILURES}) AS outdated
     ORDER BY project LIMIT %(most)s
"""  # noqa: S608 - of constants alone


def _parameters(selection: RootSelection) -> dict[str, object]:
    return {
        "root": f"root {selection.root} ",
        "keys": list(selection.keys),
        "wheels": selection.wheels,
        "classes": [str(each) for each in selection.classes],
    }


async def _queue(db: Database, projects: Sequence[str], facts: dict[str, object]) -> int:
    await lock_projects(db, projects)
    queued = await db.execute(
        f"""
        UPDATE files SET rebuild_requested = true
         WHERE filename IN (SELECT filename FROM ({_OUTDATED_FILES}) AS outdated)
        """,  # noqa: S608 - of constants alone
        facts,
    )
    failures = [
        (row["project"], row["version"], row["target"])
        for row in await db.rows(_OUTDATED_FAILURES, facts)
    ]
    if failures:
        await retry_where(db, NAMED_RELEASES, release_parameters(failures))
    await db.execute(
        """
        UPDATE jobs SET priority_time = queued_at + make_interval(days => %(days)s),
                        priority_class = %(backlog)s
         WHERE project = ANY (%(projects)s) AND claimed_by IS NULL
           AND queued_at = now() -- by this transaction
        """,
        {"days": _DELAY_DAYS, "projects": list(projects), "backlog": int(JobPriority.BACKLOG)},
    )
    return queued + len(failures)
