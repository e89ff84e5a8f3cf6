"""What may differ between the web root and the bucket that follows it.

Triggers append to bucket_changes while there is a row in followed_bucket (sql/001_schema.sql). The
first copy of a farm is recorded there as well, a few projects at a time.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from piwheels.db.database import Database, transactional
from piwheels.db.rows import from_row
from piwheels.model import BucketProgress, FirstCopy, Struct

#: Changes of the index that are read at once, and all others of their projects.
_INDEX_CHANGES = 500
#: Other changes that are read at once: in the meantime the index waits.
_SITE_CHANGES = 100
#: Projects whose files are recorded at once for the first copy.
_FIRST_COPY_PROJECTS = 20
#: So many changes that wait are counted.
MAX_COUNTED = 100_000
#: Of more than these that wait, only those are kept that a new comparison would not find.
MAX_WAITING = 1_000_000

#: Which changes would a comparison of everything find by itself? Not those of what is gone, nor the
#: index pages that listed it, which are copied before it is removed from the bucket.
_FOUND_AGAIN = """
    CASE c.kind
        WHEN 'wheel' THEN EXISTS (
            SELECT FROM files f
             WHERE f.filename = split_part(c.subject, '/', 2)
               AND f.sha256 = split_part(c.subject, '/', 1))
        WHEN 'simple' THEN c.project NOT IN (SELECT project FROM with_removals)
            AND (c.project = '' OR EXISTS (SELECT FROM projects p WHERE p.project = c.project))
        WHEN 'log' THEN EXISTS (SELECT FROM builds b WHERE b.build_id = c.subject::bigint)
        WHEN 'project' THEN EXISTS (SELECT FROM project_aliases a WHERE a.alias = c.project)
            OR EXISTS (SELECT FROM projects p WHERE p.project = c.project)
        ELSE false
    END
"""


class ChangeKind(StrEnum):
    """What may differ."""

    WHEEL = "wheel"  # and what is beside it; the subject is hash/name
    SIMPLE = "simple"  # the index pages of a project; "" is the list of all projects
    LOG = "log"  # of a build, with its page; the subject is the build
    PROJECT = "project"  # the pages of a project or an alias
    OBJECT = "object"  # a single object; the subject is its key


class BucketChange(Struct, frozen=True, kw_only=True):
    """Something that may differ."""

    change_id: int
    kind: ChangeKind
    project: str
    subject: str
    changed_at: datetime
    is_due: bool = True  # not postponed


@transactional
async def follow(db: Database, target: str) -> bool:
    """Record changes for a bucket from now on; whether it is another one than before.

    Another bucket gets a first copy of everything.
    """
    before = await db.value("SELECT target FROM followed_bucket FOR UPDATE")
    if before == target:
        return False
    # The first copy finds what is committed: no wheel may be recorded before, and committed after.
    await db.execute("LOCK TABLE files IN SHARE MODE")
    await unfollow(db)
    await db.execute("INSERT INTO followed_bucket (target) VALUES (%(target)s)", {"target": target})
    return True


async def unfollow(db: Database) -> None:
    """Record no changes from now on, and forget those that wait."""
    await db.execute("DELETE FROM followed_bucket")
    await db.execute("DELETE FROM bucket_changes")


@transactional
async def limit_waiting(db: Database, limit: int) -> int | None:
    """If more changes than the limit wait, have everything compared instead, as a first copy does.

    What was removed meanwhile is still known afterwards, each thing once.

    Returns:
        How many changes are left; None if there were not too many.
    """
    state = await db.row("SELECT FROM followed_bucket FOR UPDATE")
    counted = "SELECT count(*) FROM (SELECT FROM bucket_changes LIMIT %(most)s) AS c"
    if state is None or await db.value(counted, {"most": limit + 1}) <= limit:
        return None
    await db.execute(
        f"""
        WITH with_removals AS MATERIALIZED (
            SELECT DISTINCT c.project
              FROM bucket_changes c
             WHERE c.kind = 'wheel' AND NOT EXISTS (
                   SELECT FROM files f
                    WHERE f.filename = split_part(c.subject, '/', 2)
                      AND f.sha256 = split_part(c.subject, '/', 1)))
        DELETE FROM bucket_changes
         WHERE change_id IN (
               SELECT change_id
                 FROM (SELECT c.change_id, {_FOUND_AGAIN} AS found_again,
                              row_number() OVER (
                                  PARTITION BY kind, project, subject ORDER BY change_id) AS number
                         FROM bucket_changes c) AS waiting
                WHERE found_again OR number > 1)
        """  # noqa: S608 - made of constants
    )
    await _store_position(db, FirstCopy.INDEX, "")
    await db.execute("UPDATE followed_bucket SET is_comparison = true")
    return int(await db.value("SELECT count(*) FROM bucket_changes"))


async def next_index_changes(db: Database) -> list[BucketChange]:
    """All changes of the index that are due, of the projects that have waited longest."""
    rows = await db.rows(
        """
        SELECT change_id, kind, project, subject, changed_at
          FROM bucket_changes
         WHERE is_index AND due_at <= clock_timestamp()
           AND project IN (
               SELECT project
                 FROM bucket_changes
                WHERE is_index AND due_at <= clock_timestamp()
                ORDER BY due_at LIMIT %(limit)s)
         ORDER BY change_id
        """,
        {"limit": _INDEX_CHANGES},
    )
    return [from_row(BucketChange, row) for row in rows]


async def next_site_changes(db: Database) -> list[BucketChange]:
    """The other changes that have waited longest: those of one project may be many."""
    rows = await db.rows(
        """
        SELECT change_id, kind, project, subject, changed_at
          FROM bucket_changes
         WHERE NOT is_index AND due_at <= clock_timestamp()
         ORDER BY due_at, change_id LIMIT %(limit)s
        """,
        {"limit": _SITE_CHANGES},
    )
    return [from_row(BucketChange, row) for row in rows]


async def is_index_waiting(db: Database) -> bool:
    """Whether a change of the index is due."""
    return bool(
        await db.value(
            """
            SELECT EXISTS (
                SELECT FROM bucket_changes WHERE is_index AND due_at <= clock_timestamp())
            """
        )
    )


async def wheel_changes(db: Database, project: str) -> list[BucketChange]:
    """All changes of a project's wheels, also those that were postponed."""
    rows = await db.rows(
        """
        SELECT change_id, kind, project, subject, changed_at,
               due_at <= clock_timestamp() AS is_due
          FROM bucket_changes
         WHERE is_index AND project = %(project)s AND kind = 'wheel'
         ORDER BY change_id
        """,
        {"project": project},
    )
    return [from_row(BucketChange, row) for row in rows]


async def published_of(db: Database, subjects: Collection[str]) -> set[str]:
    """Those of some wheels (hash/name) that are published."""
    rows = await db.rows(
        """
        SELECT sha256 || '/' || filename AS subject
          FROM files
         WHERE filename = ANY (%(names)s) AND sha256 || '/' || filename = ANY (%(subjects)s)
        """,
        {
            "names": [subject.partition("/")[2] for subject in subjects],
            "subjects": list(subjects),
        },
    )
    return {row["subject"] for row in rows}


async def forget_changes(db: Database, changes: Sequence[BucketChange]) -> None:
    """Delete changes: the bucket is like the web root there."""
    await db.execute(
        "DELETE FROM bucket_changes WHERE change_id = ANY (%(ids)s)",
        {"ids": [change.change_id for change in changes]},
    )


async def postpone_changes(db: Database, changes: Sequence[BucketChange], delay: timedelta) -> None:
    """Have changes copied later."""
    await db.execute(
        """
        UPDATE bucket_changes SET due_at = clock_timestamp() + %(delay)s
         WHERE change_id = ANY (%(ids)s)
        """,
        {"ids": [change.change_id for change in changes], "delay": delay},
    )


async def record_wheels(db: Database, wheels: Sequence[tuple[str, str]]) -> None:
    """Record that wheels (name, hash), or files beside them, changed, if there is a bucket."""
    await db.execute(
        """
        SELECT record_wheel_changes(
                   array_agg(f.project), array_agg(f.sha256), array_agg(f.filename))
          FROM files f
          JOIN unnest(%(filenames)s::text[], %(hashes)s::text[]) AS changed (filename, sha256)
               USING (filename, sha256)
        """,
        {
            "filenames": [filename for filename, _ in wheels],
            "hashes": [sha256 for _, sha256 in wheels],
        },
    )


async def record_logs(db: Database, builds: Sequence[int]) -> None:
    """Record that the logs of builds were written or removed, if there is a bucket."""
    await db.execute(
        """
        INSERT INTO bucket_changes (is_index, kind, project, subject)
        SELECT false, 'log', '', build
          FROM unnest(%(builds)s::bigint[]) AS build
         WHERE EXISTS (SELECT FROM followed_bucket)
        """,
        {"builds": list(builds)},
    )


async def record_key(db: Database, key: str) -> None:
    """Record that a single object differs from the web root, if there is a bucket."""
    await db.execute(
        """
        INSERT INTO bucket_changes (is_index, kind, project, subject)
        SELECT false, 'object', '', %(key)s WHERE EXISTS (SELECT FROM followed_bucket)
        """,
        {"key": key},
    )


async def is_key_pending(db: Database, key: str) -> bool:
    """Whether a change waits that concerns an object; so it does during the first copy."""
    part, _, rest = key.partition("/")
    name, _, file = rest.rpartition("/")
    project = rest.partition("/")[0] if name else ""
    page = part if part == "simple" or (part == "project" and project) else ""
    build = file.partition(".")[0] if part == "logs" else ""
    sha256 = name.rpartition("/")[2] if part == "packages" else ""
    return bool(
        await db.value(
            """
            SELECT EXISTS (SELECT FROM followed_bucket WHERE first_copy <> 'done')
                OR EXISTS (
                    SELECT FROM bucket_changes
                     WHERE kind = 'object' AND subject COLLATE "C" = %(key)s)
                OR EXISTS (
                    SELECT FROM bucket_changes
                     WHERE %(page)s <> '' AND is_index = (%(page)s = 'simple')
                       AND project = %(project)s AND kind = %(page)s)
                OR EXISTS (
                    SELECT FROM bucket_changes
                     WHERE %(build)s <> '' AND kind = 'log' AND subject COLLATE "C" = %(build)s)
                OR EXISTS (
                    SELECT FROM bucket_changes
                     WHERE kind = 'wheel' AND %(sha256)s <> ''
                       AND subject COLLATE "C" BETWEEN %(sha256)s || '/' AND %(sha256)s || '0')
            """,
            {"key": key, "page": page, "project": project, "build": build, "sha256": sha256},
        )
    )


async def builds_of(db: Database, project: str) -> list[int]:
    """The builds of a project."""
    rows = await db.rows(
        "SELECT build_id FROM builds WHERE project = %(project)s", {"project": project}
    )
    return [row["build_id"] for row in rows]


@transactional
async def record_first_copy(db: Database) -> bool:
    """Record the files of the next projects of the first copy; False when it is complete."""
    state = await db.row("SELECT first_copy, copied_until FROM followed_bucket FOR UPDATE")
    if state is None or state["first_copy"] == FirstCopy.DONE:
        return False
    rows = await db.rows(
        "SELECT project FROM projects WHERE project > %(after)s ORDER BY project LIMIT %(limit)s",
        {"after": state["copied_until"], "limit": _FIRST_COPY_PROJECTS},
    )
    names = [row["project"] for row in rows]
    part = FirstCopy(state["first_copy"])
    if names:
        await (_record_index if part is FirstCopy.INDEX else _record_site)(db, names)
        await _store_position(db, part, names[-1], len(names))
    elif part is FirstCopy.INDEX:
        await _record_pages(db, [""], is_index=True)
        await _store_position(db, FirstCopy.SITE, "")
    else:
        await _store_position(db, FirstCopy.DONE, "")
    return True


async def _record_index(db: Database, names: Sequence[str]) -> None:
    await db.execute(
        """
        SELECT record_wheel_changes(array_agg(project), array_agg(sha256), array_agg(filename))
          FROM files WHERE project = ANY (%(names)s)
        """,
        {"names": list(names)},
    )
    await _record_pages(db, names, is_index=True)


async def _record_site(db: Database, names: Sequence[str]) -> None:
    await db.execute(
        """
        INSERT INTO bucket_changes (is_index, kind, project, subject)
        SELECT false, 'log', project, build_id FROM builds WHERE project = ANY (%(names)s)
        """,
        {"names": list(names)},
    )
    aliases = await db.rows(
        "SELECT alias FROM project_aliases WHERE project = ANY (%(names)s)", {"names": list(names)}
    )
    pages = dict.fromkeys([*names, *(row["alias"] for row in aliases)])
    await _record_pages(db, list(pages), is_index=False)


async def _record_pages(db: Database, names: Sequence[str], *, is_index: bool) -> None:
    kind = ChangeKind.SIMPLE if is_index else ChangeKind.PROJECT
    await db.execute(
        """
        INSERT INTO bucket_changes (is_index, kind, project)
        SELECT %(is_index)s, %(kind)s, name FROM unnest(%(names)s::text[]) AS name
        """,
        {"is_index": is_index, "kind": str(kind), "names": list(names)},
    )


async def _store_position(db: Database, part: FirstCopy, until: str, projects: int = 0) -> None:
    """Store the part of the first copy, and the projects that were recorded; none: it begins."""
    await db.execute(
        """
        UPDATE followed_bucket
           SET first_copy = %(part)s, copied_until = %(until)s,
               copied_projects = CASE %(projects)s
                   WHEN 0 THEN 0 ELSE copied_projects + %(projects)s END
        """,
        {"part": str(part), "until": until, "projects": projects},
    )


async def bucket_progress(db: Database) -> BucketProgress | None:
    """How far the bucket follows; None without one."""
    row = await db.row(
        """
        SELECT b.target, b.first_copy, b.is_comparison,
               CASE b.first_copy WHEN 'done' THEN 1.0 ELSE
                   least(1.0, b.copied_projects::float8 / greatest(
                       (SELECT sum(number) FROM row_counts WHERE table_name = 'projects'), 1))
                   END AS fraction,
               (SELECT count(*) FROM (SELECT FROM bucket_changes LIMIT %(most)s) c) AS waiting,
               (SELECT changed_at FROM bucket_changes
                 WHERE is_index AND due_at <= clock_timestamp()
                 ORDER BY due_at LIMIT 1) AS oldest_at
          FROM followed_bucket b
        """,
        {"most": MAX_COUNTED},
    )
    return None if row is None else from_row(BucketProgress, row)
