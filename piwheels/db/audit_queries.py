"""What the web root ought to hold, part by part, for an audit."""

from collections.abc import Sequence

from piwheels.db.catalog import lock_projects
from piwheels.db.database import Database, transactional
from piwheels.db.row_counts import row_counts
from piwheels.model import Struct


class IndexedWheel(Struct, frozen=True, kw_only=True):
    """A wheel of the index."""

    filename: str
    sha256: str
    size_bytes: int
    metadata_sha256: str
    has_provenance: bool
    project: str


async def published_files(
    db: Database, prefix: str, after: tuple[str, str], limit: int
) -> list[IndexedWheel]:
    """Wheels whose hash begins with two digits, by hash and name, after one of them."""
    rows = await db.rows(
        """
        SELECT filename, sha256, size_bytes, metadata_sha256, has_provenance, project FROM files
         WHERE left(sha256, 2) = %(prefix)s
           AND (sha256 COLLATE "C", filename COLLATE "C") > (%(sha256)s, %(filename)s)
         ORDER BY sha256 COLLATE "C", filename COLLATE "C" LIMIT %(limit)s
        """,
        {"prefix": prefix, "sha256": after[0], "filename": after[1], "limit": limit},
    )
    return [IndexedWheel(**row) for row in rows]


async def published_files_of(
    db: Database, projects: Sequence[str], after: tuple[str, str], limit: int
) -> list[IndexedWheel]:
    """The same of projects."""
    rows = await db.rows(
        """
        SELECT filename, sha256, size_bytes, metadata_sha256, has_provenance, project FROM files
         WHERE project = ANY (%(projects)s)
           AND (sha256 COLLATE "C", filename COLLATE "C") > (%(sha256)s, %(filename)s)
         ORDER BY sha256 COLLATE "C", filename COLLATE "C" LIMIT %(limit)s
        """,
        {"projects": list(projects), "sha256": after[0], "filename": after[1], "limit": limit},
    )
    return [IndexedWheel(**row) for row in rows]


async def is_published(db: Database, filename: str, sha256: str) -> bool:
    """Whether a wheel is in the index."""
    return bool(
        await db.value(
            """
            SELECT true FROM files WHERE filename = %(filename)s AND sha256 = %(sha256)s
            """,
            {"filename": filename, "sha256": sha256},
        )
    )


async def is_expected(db: Database, filename: str, sha256: str) -> bool:
    """Whether a wheel is in the index, is being installed, or waits for its deletion."""
    return bool(
        await db.value(
            """
            SELECT EXISTS (
                       SELECT FROM files WHERE filename = %(filename)s AND sha256 = %(sha256)s)
                OR EXISTS (
                       SELECT FROM file_deletions
                        WHERE filename = %(filename)s AND sha256 = %(sha256)s)
            """,
            {"filename": filename, "sha256": sha256},
        )
    )


async def has_files(db: Database) -> bool:
    """Whether the index has any wheel."""
    return bool(await db.value("SELECT EXISTS (SELECT FROM files)"))


async def sample_files(db: Database, per_prefix: int) -> list[tuple[str, str]]:
    """Some wheels of the index, by hash and name: so many of each two digits of hashes."""
    rows = await db.rows(
        """
        SELECT f.sha256, f.filename
          FROM generate_series(0, 255) AS number
         CROSS JOIN LATERAL (
             SELECT sha256, filename FROM files
              WHERE left(sha256, 2) = lpad(to_hex(number), 2, '0') LIMIT %(limit)s
         ) f
        """,
        {"limit": per_prefix},
    )
    return [(row["sha256"], row["filename"]) for row in rows]


@transactional
async def withdraw_file(db: Database, filename: str, sha256: str, project: str) -> bool:
    """Take a wheel whose file was lost out of the index; False if it is not there.

    Its page is queued, and so is the build of what it covered. The file name stays reserved for
    its content.
    """
    await lock_projects(db, [project])
    return (
        await db.execute(
            "DELETE FROM files WHERE filename = %(filename)s AND sha256 = %(sha256)s",
            {"filename": filename, "sha256": sha256},
        )
        > 0
    )


async def projects_with_files(db: Database, after: str, limit: int) -> list[str]:
    """Projects that have wheels, by name, after one of them."""
    rows = await db.rows(
        """
        SELECT project FROM projects p
         WHERE project > %(after)s
           AND EXISTS (SELECT FROM files f WHERE f.project = p.project)
         ORDER BY project LIMIT %(limit)s
        """,
        {"after": after, "limit": limit},
    )
    return [row["project"] for row in rows]


async def projects_with_listed_files(db: Database, after: str, limit: int) -> list[str]:
    """Projects that the list of all projects names, by name, after one of them."""
    rows = await db.rows(
        """
        SELECT project FROM projects p
         WHERE project > %(after)s
           AND EXISTS (SELECT FROM listed_files f WHERE f.project = p.project)
         ORDER BY project LIMIT %(limit)s
        """,
        {"after": after, "limit": limit},
    )
    return [row["project"] for row in rows]


async def is_page_pending(db: Database, kind: str, key: str) -> bool:
    """Whether a page has yet to be written."""
    return bool(
        await db.value(
            """
            SELECT EXISTS (
                       SELECT FROM page_queue
                        WHERE page_kind = %(kind)s AND page_key = %(key)s AND dirty)
                OR EXISTS (
                       SELECT FROM page_invalidations
                        WHERE page_kind = %(kind)s AND page_key = %(key)s)
            """,
            {"kind": kind, "key": key},
        )
    )


@transactional
async def set_metadata_hash(
    db: Database, filename: str, sha256: str, project: str, metadata_sha256: str
) -> bool:
    """Correct the hash of a wheel's metadata, and queue its page; False if it is right."""
    await lock_projects(db, [project])
    changed = await db.execute(
        """
        UPDATE files SET metadata_sha256 = %(metadata_sha256)s
         WHERE filename = %(filename)s AND sha256 = %(sha256)s
           AND metadata_sha256 <> %(metadata_sha256)s
        """,
        {"filename": filename, "sha256": sha256, "metadata_sha256": metadata_sha256},
    )
    if changed:
        await db.execute(
            "SELECT invalidate_pages('simple', ARRAY[%(project)s], true)", {"project": project}
        )
    return changed > 0


@transactional
async def forget_statement(db: Database, filename: str, sha256: str, project: str) -> None:
    """Record that a wheel has no statement: its pages no longer link to one."""
    await lock_projects(db, [project])
    await db.execute(
        """
        UPDATE files SET has_provenance = false
         WHERE filename = %(filename)s AND sha256 = %(sha256)s AND has_provenance
        """,
        {"filename": filename, "sha256": sha256},
    )


async def among_projects_with_files(db: Database, names: Sequence[str]) -> set[str]:
    """Those of these names that are projects with wheels."""
    rows = await db.rows(
        """
        SELECT project FROM projects p
         WHERE project = ANY (%(names)s)
           AND EXISTS (SELECT FROM files f WHERE f.project = p.project)
        """,
        {"names": list(names)},
    )
    return {row["project"] for row in rows}


async def count_projects(db: Database) -> int:
    """How many projects the farm has, as it is counted all the time."""
    return (await row_counts(db)).total("projects")


async def projects_with_releases(db: Database, after: str, limit: int) -> list[str]:
    """Projects that have releases, and so pages, by name, after one of them."""
    rows = await db.rows(
        """
        SELECT project FROM projects p
         WHERE project > %(after)s
           AND EXISTS (SELECT FROM releases r WHERE r.project = p.project)
         ORDER BY project LIMIT %(limit)s
        """,
        {"after": after, "limit": limit},
    )
    return [row["project"] for row in rows]


async def among_projects_with_releases(db: Database, names: Sequence[str]) -> set[str]:
    """Those of these names that are projects with releases."""
    rows = await db.rows(
        """
        SELECT project FROM projects p
         WHERE project = ANY (%(names)s)
           AND EXISTS (SELECT FROM releases r WHERE r.project = p.project)
        """,
        {"names": list(names)},
    )
    return {row["project"] for row in rows}


async def among_projects_and_aliases(db: Database, names: Sequence[str]) -> set[str]:
    """Those of these names that are projects or aliases."""
    rows = await db.rows(
        """
        SELECT project AS name FROM projects WHERE project = ANY (%(names)s)
         UNION ALL
        SELECT alias FROM project_aliases WHERE alias = ANY (%(names)s)
        """,
        {"names": list(names)},
    )
    return {row["name"] for row in rows}


async def aliases(db: Database, after: str, limit: int) -> list[tuple[str, str]]:
    """Aliases that are no project's name, with their projects, by name, after one of them."""
    rows = await db.rows(
        """
        SELECT alias, project FROM project_aliases a
         WHERE alias > %(after)s
           AND NOT EXISTS (SELECT FROM projects p WHERE p.project = a.alias)
         ORDER BY alias LIMIT %(limit)s
        """,
        {"after": after, "limit": limit},
    )
    return [(row["alias"], row["project"]) for row in rows]


async def is_alias(db: Database, name: str) -> bool:
    """Whether a name is an alias."""
    return bool(
        await db.value("SELECT true FROM project_aliases WHERE alias = %(name)s", {"name": name})
    )


class BuildLog(Struct, frozen=True, kw_only=True):
    """A build that has a log."""

    build_id: int
    project: str


async def builds_between(db: Database, first: int, last: int) -> dict[int, str]:
    """The project of each build with a number in a range, those that run included."""
    rows = await db.rows(
        """
        SELECT build_id, project FROM builds WHERE build_id BETWEEN %(first)s AND %(last)s
         UNION ALL
        SELECT build_id, project FROM jobs WHERE build_id BETWEEN %(first)s AND %(last)s
         UNION ALL
        SELECT last_build_id, project FROM jobs
         WHERE last_build_id BETWEEN %(first)s AND %(last)s
        """,
        {"first": first, "last": last},
    )
    return {row["build_id"]: row["project"] for row in rows}


async def builds_of(
    db: Database, projects: Sequence[str], after: int, limit: int
) -> list[BuildLog]:
    """The completed builds of projects, by number, after one of them."""
    rows = await db.rows(
        """
        SELECT build_id, project FROM builds
         WHERE project = ANY (%(projects)s) AND build_id > %(after)s
         ORDER BY build_id LIMIT %(limit)s
        """,
        {"projects": list(projects), "after": after, "limit": limit},
    )
    return [BuildLog(**row) for row in rows]


async def last_build_id(db: Database) -> int:
    """The highest number that a build was ever given."""
    return int(
        await db.value("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM build_ids")
    )
