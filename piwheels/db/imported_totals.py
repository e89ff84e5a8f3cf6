"""Daily totals that were counted elsewhere."""

from collections.abc import Sequence
from datetime import date

from piwheels.db.database import Database, transpose_rows
from piwheels.model import Struct


class ImportedDay(Struct, frozen=True, kw_only=True):
    """What was counted elsewhere on a day."""

    day: date
    downloads: int
    bytes: int = 0
    saved_s: float = 0.0  # build time saved


async def import_days(db: Database, days: Sequence[ImportedDay]) -> int:
    """Store daily totals, replacing earlier imports; returns how many are new or changed."""
    if not days:
        return 0
    rows = [{name: getattr(day, name) for name in ImportedDay.__struct_fields__} for day in days]
    return await db.execute(
        """
        INSERT INTO downloads_daily AS d (day, imported, imported_bytes, imported_saved_s)
        SELECT * FROM unnest(%(day)s::date[], %(downloads)s::bigint[], %(bytes)s::bigint[],
                             %(saved_s)s::double precision[])
            ON CONFLICT (day) DO UPDATE
           SET imported = excluded.imported,
               imported_bytes = excluded.imported_bytes,
               imported_saved_s = excluded.imported_saved_s
         WHERE (d.imported, d.imported_bytes, d.imported_saved_s)
               IS DISTINCT FROM
               (excluded.imported, excluded.imported_bytes, excluded.imported_saved_s)
        """,
        transpose_rows(rows),
    )
