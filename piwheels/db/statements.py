"""What is recorded of how published wheels were built, for statements that are written later."""

from collections.abc import Sequence
from datetime import datetime

from piwheels.db.catalog import lock_projects
from piwheels.db.database import Database, transactional
from piwheels.db.rows import from_row
from piwheels.model import Sdist, Struct

#: The public keys of this farm, as they are published, for masters with older copies of them.
KNOWN_KEYS = "provenance/public-keys"


class RecordedWheel(Struct, frozen=True, kw_only=True):
    """A published wheel that a builder made, and its build.

    `sdist` is None if the release has another one by now: which one was used is not known.
    """

    filename: str
    sha256: str
    build_id: int
    project: str
    version: str
    target: str
    builder: str
    sdist: Sdist | None
    started_at: datetime
    ended_at: datetime
    build_inputs: tuple[str, ...]


#: The wheels that builders made, with what is recorded of their builds.
_RECORDED = """
    SELECT f.filename, f.sha256, b.build_id, b.project, b.version, b.target, b.builder,
           b.started_at, b.ended_at, b.build_inputs,
           CASE WHEN r.sdist_url IS NOT NULL
                 AND coalesce(r.sdist_replaced_build_id, 0) <= b.build_id
                THEN jsonb_build_object(
                    'filename', r.sdist_filename, 'url', r.sdist_url,
                    'sha256', coalesce(r.sdist_sha256, ''), 'size_bytes', r.sdist_size,
                    'digest', coalesce(r.sdist_digest, '')) END AS sdist
      FROM files f
      JOIN builds b ON b.build_id = f.build_id
      JOIN releases r ON r.project = b.project AND r.version = b.version
     WHERE b.builder <> ALL (%(other_makers)s)
"""


async def wheels_without_statement(
    db: Database, after: str, limit: int, *, other_makers: Sequence[str]
) -> list[RecordedWheel]:
    """Wheels that builders made and that have no statement, by name, after a name.

    `other_makers` stand in place of a builder where the farm did not build the wheel itself.
    """
    rows = await db.rows(
        f"""
        {_RECORDED} AND NOT f.has_provenance AND f.filename > %(after)s
         ORDER BY f.filename LIMIT %(limit)s
        """,
        {"after": after, "limit": limit, "other_makers": list(other_makers)},
    )
    return [from_row(RecordedWheel, row) for row in rows]


async def wheels_with_statement(
    db: Database, after: str, limit: int, *, other_makers: Sequence[str]
) -> list[RecordedWheel]:
    """Wheels that have a statement, by name, after a name; other makers as above."""
    rows = await db.rows(
        f"""
        {_RECORDED} AND f.has_provenance AND f.filename > %(after)s
         ORDER BY f.filename LIMIT %(limit)s
        """,
        {"after": after, "limit": limit, "other_makers": list(other_makers)},
    )
    return [from_row(RecordedWheel, row) for row in rows]


async def unstated_wheel(
    db: Database, filename: str, sha256: str, *, other_makers: Sequence[str]
) -> RecordedWheel | None:
    """One wheel without a statement; None if a builder did not make it, or it has one."""
    rows = await db.rows(
        f"""
        {_RECORDED} AND NOT f.has_provenance
               AND f.filename = %(filename)s AND f.sha256 = %(sha256)s
        """,
        {"filename": filename, "sha256": sha256, "other_makers": list(other_makers)},
    )
    return from_row(RecordedWheel, rows[0]) if rows else None


@transactional
async def record_statements(db: Database, wheels: Sequence[RecordedWheel]) -> None:
    """Record that these wheels have statements: their pages link to them."""
    await lock_projects(db, [wheel.project for wheel in wheels])
    await db.execute(
        """
        UPDATE files f SET has_provenance = true
          FROM unnest(%(filenames)s::text[], %(hashes)s::text[]) AS written (filename, sha256)
         WHERE f.filename = written.filename AND f.sha256 = written.sha256
           AND NOT f.has_provenance
        """,
        {
            "filenames": [wheel.filename for wheel in wheels],
            "hashes": [wheel.sha256 for wheel in wheels],
        },
    )
