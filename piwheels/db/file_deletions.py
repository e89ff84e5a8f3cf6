"""Files in the web root that are not in the index: to be deleted, or about to be published."""

from collections.abc import Sequence
from datetime import timedelta

from piwheels.db.database import Database
from piwheels.model import Struct, WheelFile


class FileDeletion(Struct, frozen=True, kw_only=True):
    """A file that no page lists any more and that is still in the web root."""

    filename: str
    sha256: str


async def files_to_delete(db: Database, delay: timedelta, limit: int) -> list[FileDeletion]:
    """Files to delete: the delay has passed and their index pages are written."""
    rows = await db.rows(
        """
        SELECT filename, sha256 FROM file_deletions d
         WHERE NOT installing AND removed_at + %(delay)s <= now()
           AND NOT EXISTS (
               SELECT FROM page_queue q
                WHERE q.page_kind = 'simple' AND q.page_key = d.project AND q.dirty)
           AND NOT EXISTS (
               SELECT FROM page_invalidations i
                WHERE i.page_kind = 'simple' AND i.page_key = d.project)
           AND NOT EXISTS (SELECT FROM files f WHERE f.filename = d.filename)
         ORDER BY removed_at LIMIT %(limit)s
        """,
        {"delay": delay, "limit": limit},
    )
    return [FileDeletion(**row) for row in rows]


async def reserve_install(db: Database, filename: str, sha256: str, project: str) -> None:
    """Record that a file is about to be moved into the web root.

    Nothing deletes it until it is published, which deletes the record, or until the next start of
    the master, which deletes the file.
    """
    await db.execute(
        """
        INSERT INTO file_deletions (filename, sha256, project, installing)
        VALUES (%(filename)s, %(sha256)s, %(project)s, true)
            ON CONFLICT (filename) DO UPDATE SET installing = true
        """,
        {"filename": filename, "sha256": sha256, "project": project},
    )


async def abandon_installs(db: Database) -> None:
    """Have files deleted that were installed and never published; no install may be in progress."""
    await db.execute(
        "UPDATE file_deletions SET removed_at = now(), installing = false WHERE installing"
    )


async def abandon_unpublished(
    db: Database, project: str, version: str, files: Sequence[WheelFile]
) -> None:
    """Have files deleted that were installed for a build whose result is not stored.

    While another builder has a job of the release, whose file may be the same one, they stay until
    the next start of the master.
    """
    await db.execute(
        """
        UPDATE file_deletions SET removed_at = now(), installing = false
         WHERE installing AND filename = ANY (%(names)s)
           AND NOT EXISTS (
               SELECT FROM jobs j
                WHERE j.project = %(project)s AND j.version = %(version)s
                  AND j.claimed_by IS NOT NULL)
        """,
        {"project": project, "version": version, "names": [file.filename for file in files]},
    )


async def postpone_deletions(db: Database, filenames: Sequence[str]) -> None:
    """Record that files could not be deleted: they are retried after another delay."""
    await db.execute(
        """
        UPDATE file_deletions SET removed_at = now()
         WHERE filename = ANY (%(filenames)s) AND NOT installing
        """,
        {"filenames": list(filenames)},
    )


async def mark_deleted(db: Database, files: Sequence[FileDeletion]) -> None:
    """Record that files were deleted from the web root."""
    await db.execute(
        "DELETE FROM file_deletions WHERE filename = ANY (%(names)s)",
        {"names": [file.filename for file in files]},
    )
