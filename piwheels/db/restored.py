"""A database that a backup is restored into, and what has to follow before a master uses it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import psycopg

from piwheels.db import key_values, own_webroot
from piwheels.db.catalog import lock_projects
from piwheels.db.connection import Connection, DatabaseError, error_text, open_connection
from piwheels.db.database import Database, transactional
from piwheels.db.database_clock import database_time
from piwheels.db.master_epoch import RESTORE_STEP, first_epoch
from piwheels.db.singleton_lock import acquire_master_lock
from piwheels.model import Struct

#: The backup whose restore has not ended; a master does not start while it is set.
_UNFINISHED = "restore/unfinished"
#: Until when wheels may have been published whose names this database does not know (ISO 8601).
_UNKNOWN_NAMES_UNTIL = "restore/unknown-names-until"

#: Which tables, views, sequences and functions are not part of an extension?
_OBJECTS = """
    SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
                          WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
           format('%I.%I', 'public', c.relname) AS name,
           c.oid
      FROM pg_class c
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
     UNION ALL
    SELECT 'ROUTINE', p.oid::regprocedure::text, p.oid
      FROM pg_proc p
     WHERE p.pronamespace = 'public'::regnamespace
"""

#: Drops all of them, in the transaction that restores others.
DROP_OBJECTS = f"""
DO $$
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT * FROM ({_OBJECTS}) AS objects
         WHERE NOT EXISTS (
             SELECT FROM pg_depend d WHERE d.objid = objects.oid AND d.deptype = 'e')
         ORDER BY kind = 'ROUTINE', kind = 'SEQUENCE', kind = 'TABLE'
    LOOP
        EXECUTE format('DROP %s IF EXISTS %s CASCADE', item.kind, item.name);
    END LOOP;
END $$;
"""  # noqa: S608 - made of constants


class TargetDatabase(Struct, frozen=True, kw_only=True):
    """The database that a backup is to be restored into."""

    server_version: int  # the major version
    tables: int  # 0: it is empty
    unfinished: str  # the backup whose restore was interrupted; "" for none
    farm: str  # the identity of the farm that it is of; "" for none


def finish_sql(identifier: str, least_build_id: int) -> str:
    """What follows the tables in the same transaction.

    Args:
        identifier: the backup's.
        least_build_id: the next build gets this number, or a higher one.
    """
    return (
        f"INSERT INTO public.key_values (key, value) VALUES ('{_UNFINISHED}', '{identifier}')"  # noqa: S608 - digits and letters
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value;\n"
        "SELECT setval('public.build_ids', greatest("
        f"{int(least_build_id)}, (SELECT last_value + 1 FROM public.build_ids)), false);"
    )


@asynccontextmanager
async def locked_target(dsn: str, *, lock: bool) -> AsyncIterator[TargetDatabase]:
    """Look at a database; with `lock`, keep masters and other restores away inside the context.

    Raises:
        DatabaseUnavailableError: it cannot be reached.
        DatabaseError: a master uses it.
    """
    async with await open_connection(dsn, "piwheels restore", autocommit=True) as connection:
        if lock and (master := await acquire_master_lock(connection)):
            raise DatabaseError(f"a master is using this database ({master}); stop it first")
        try:
            yield await _look(connection)
        except psycopg.Error as error:
            raise DatabaseError(f"the restore failed: {error_text(error)}") from None


async def _look(connection: Connection) -> TargetDatabase:
    cursor = await connection.execute(
        f"""
        SELECT count(*) AS tables FROM ({_OBJECTS}) AS objects
         WHERE kind = 'TABLE' AND NOT EXISTS (
             SELECT FROM pg_depend d WHERE d.objid = objects.oid AND d.deptype = 'e')
        """.encode()  # noqa: S608 - made of constants
    )
    row = await cursor.fetchone()
    tables = int(row["tables"]) if row else 0
    return TargetDatabase(
        server_version=connection.info.server_version // 10000,
        tables=tables,
        unfinished=await _value(connection, _UNFINISHED) if tables else "",
        farm=await _value(connection, own_webroot.FARM) if tables else "",
    )


async def _value(connection: Connection, key: str) -> str:
    """A value of the table key_values, which may not exist."""
    cursor = await connection.execute("SELECT to_regclass('public.key_values') AS found")
    row = await cursor.fetchone()
    if not row or row["found"] is None:
        return ""
    cursor = await connection.execute(
        "SELECT max(value) AS found FROM key_values WHERE key = %(key)s", {"key": key}
    )
    row = await cursor.fetchone()
    return str(row["found"] or "") if row else ""


async def refuse_unfinished(db: Database) -> None:
    """Check that no restore into this database was interrupted.

    Raises:
        DatabaseError: one was; it has to be finished first.
    """
    if identifier := await key_values.get_value(db, _UNFINISHED):
        raise DatabaseError(
            f"the restore of the backup {identifier} was interrupted: run the same "
            "`piw db restore` again, and then start the master"
        )


async def raise_epoch(db: Database, known: int) -> None:
    """Have the next master's epoch exceed those of all masters that started since the backup.

    Builders have seen theirs, and follow no master with a lower one.

    Args:
        db: the connection.
        known: an epoch that is known from elsewhere, as the web root's; 0 for none.
    """
    # A backup from before the first master, or from before a failover, is of an earlier timeline.
    first = first_epoch(await db.server_timeline())
    await db.execute(
        "UPDATE master_epoch SET epoch = greatest(epoch, %(known)s) + %(step)s",
        {"known": max(known, first), "step": RESTORE_STEP},
    )


async def mark_finished(db: Database) -> None:
    """Allow a master to start."""
    await key_values.set_value(db, _UNFINISHED, None)


class UnlistedWheels(Struct, frozen=True, kw_only=True):
    """Wheels that were taken from the index, because the web root lacks them."""

    wheels: int
    without_sdist: int  # those that cannot be built again


@transactional
async def unlist_wheels(
    db: Database, projects: Sequence[str], filenames: Sequence[str]
) -> UnlistedWheels:
    """Take wheels from the index, so that their releases are built again; names stay reserved."""
    await lock_projects(db, projects)
    rows = await db.rows(
        """
        WITH gone AS (
            DELETE FROM files WHERE filename = ANY (%(filenames)s) RETURNING project, version
        )
        SELECT r.sdist_url IS NULL AS without_sdist
          FROM gone JOIN releases r ON r.project = gone.project AND r.version = gone.version
        """,
        {"filenames": list(filenames)},
    )
    return UnlistedWheels(
        wheels=len(rows), without_sdist=sum(1 for row in rows if row["without_sdist"])
    )


class WheelRecord(Struct, frozen=True, kw_only=True):
    """What the database knows of a file name."""

    filename: str
    sha256: str  # of the content that the name is reserved for
    published: bool
    installing: bool  # it was about to be published
    removed: bool  # from the index; its file is to be deleted


async def wheel_records(db: Database, filenames: Sequence[str]) -> dict[str, WheelRecord]:
    """What the database knows of each of these file names that it knows."""
    rows = await db.rows(
        """
        SELECT r.filename, r.sha256,
               f.filename IS NOT NULL AS published,
               coalesce(d.installing, false) AS installing,
               coalesce(NOT d.installing, false) AS removed
          FROM reserved_filenames r
          LEFT JOIN files f ON f.filename = r.filename
          LEFT JOIN file_deletions d ON d.filename = r.filename
         WHERE r.filename = ANY (%(filenames)s)
        """,
        {"filenames": list(filenames)},
    )
    return {row["filename"]: WheelRecord(**row) for row in rows}


async def existing_aliases(db: Database, names: Sequence[str]) -> set[str]:
    """Which of these names lead to a project."""
    rows = await db.rows(
        "SELECT alias FROM project_aliases WHERE alias = ANY (%(names)s)", {"names": list(names)}
    )
    return {row["alias"] for row in rows}


async def forget_statements(db: Database, filenames: Sequence[str]) -> None:
    """Record that these wheels have no statement beside them: no page links to one."""
    await db.execute(
        """
        UPDATE files SET has_provenance = false
         WHERE filename = ANY (%(filenames)s) AND has_provenance
        """,
        {"filenames": list(filenames)},
    )


async def reserve_names(db: Database, names: Mapping[str, str]) -> None:
    """Reserve file names for their contents (sha256), unless they are reserved."""
    await db.execute(
        """
        INSERT INTO reserved_filenames (filename, sha256)
        SELECT * FROM unnest(%(names)s::text[], %(hashes)s::text[])
            ON CONFLICT DO NOTHING
        """,
        {"names": list(names), "hashes": list(names.values())},
    )


async def mark_unknown_names(db: Database) -> None:
    """Record that wheels of releases up to now may have been published under unknown names."""
    until = await database_time(db)
    await key_values.set_value(db, _UNKNOWN_NAMES_UNTIL, until.isoformat())


async def may_be_used_elsewhere(db: Database, filename: str, project: str, version: str) -> bool:
    """Whether a name may stand for a wheel that was lost together with its record.

    It may where a restore could not know all names, the release existed then, and the name is not
    known: it could have been published between the backup and the loss.
    """
    return bool(
        await db.value(
            """
            SELECT true
              FROM releases r
              JOIN key_values k ON k.key = %(key)s
             WHERE r.project = %(project)s AND r.version = %(version)s
               AND r.released_at <= k.value::timestamptz
               AND NOT EXISTS (
                   SELECT FROM reserved_filenames n WHERE n.filename = %(filename)s)
            """,
            {
                "key": _UNKNOWN_NAMES_UNTIL,
                "filename": filename,
                "project": project,
                "version": version,
            },
        )
    )
