"""Counts of rows that are kept, not counted: of each table, by category and state.

Statement triggers append what each statement changed (sql/001_schema.sql, `row_counts`); a count is
the sum of its rows. Folding keeps them few.
"""

from collections import Counter
from dataclasses import dataclass, field

from piwheels.db.database import Database
from piwheels.db.rows import from_row
from piwheels.model import Struct


@dataclass(frozen=True, slots=True)
class RowCounts:
    """The kept counts of a moment; what has no rows counts zero."""

    numbers: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    file_bytes: int = 0

    def total(self, table: str) -> int:
        """How many rows a table has."""
        return sum(number for (name, _, _), number in self.numbers.items() if name == table)

    def by_state(self, table: str, category: str) -> Counter[str]:
        """How many rows of a category a table has in each state."""
        return Counter(
            {
                state: number
                for (name, its_category, state), number in self.numbers.items()
                if (name, its_category) == (table, category)
            }
        )


class RowCountError(Struct, frozen=True, kw_only=True):
    """A kept count that differs from the exact one."""

    table_name: str
    category: str
    state: str
    kept: int
    counted: int
    kept_bytes: int
    counted_bytes: int

    def __str__(self) -> str:
        what = " ".join(filter(None, (self.table_name, self.category, self.state)))
        if self.kept == self.counted:
            return f"{what}: {self.kept_bytes} bytes kept, {self.counted_bytes} counted"
        return f"{what}: {self.kept} kept, {self.counted} counted"


async def row_counts(db: Database) -> RowCounts:
    """The kept counts."""
    rows = await db.rows(
        """
        SELECT table_name, category, state, sum(number)::bigint AS number,
               sum(size_bytes)::bigint AS size_bytes
          FROM row_counts
         GROUP BY table_name, category, state
        """
    )
    numbers = {(row["table_name"], row["category"], row["state"]): row["number"] for row in rows}
    return RowCounts(Counter(numbers), sum(row["size_bytes"] for row in rows))


async def fold_row_counts(db: Database, min_rows: int = 0) -> int:
    """Merge the rows of each count into one; returns how many there were, 0 for too few."""
    return int(
        await db.value(
            """
            SELECT CASE WHEN (SELECT count(*) FROM row_counts) > %(min_rows)s
                        THEN fold_row_counts() ELSE 0 END
            """,
            {"min_rows": min_rows},
        )
    )


async def row_count_errors(db: Database) -> list[RowCountError]:
    """The kept counts that are wrong, by an exact count; that reads whole tables."""
    rows = await db.rows("SELECT * FROM row_count_errors ORDER BY table_name, category, state")
    return [from_row(RowCountError, row) for row in rows]


async def correct_row_counts(db: Database) -> int:
    """Correct the kept counts by an exact count; returns how many were wrong."""
    return int(await db.value("SELECT correct_row_counts()"))


async def recount_rows(dsn: str, *, correct: bool) -> list[RowCountError]:
    """The kept counts of a database that are wrong, and were corrected if that is asked for.

    Raises:
        PiwheelsError: the database cannot be reached, or has another schema.
    """
    async with await Database.connect(dsn, role="recount") as db:
        errors = await row_count_errors(db)
        if correct and errors:
            await correct_row_counts(db)
        return errors
