"""Merges the changes of kept counts, so that reading one takes a millisecond."""

import asyncio
from dataclasses import dataclass

from piwheels.db import row_counts
from piwheels.db.database import Database

_INTERVAL_S = 5.0
#: Fewer rows are summed in less than a millisecond.
_MIN_ROWS = 2000


@dataclass(slots=True)
class RowCountFolding:
    """Folds the kept counts when many changes were appended."""

    db: Database

    async def run(self) -> None:
        """Fold every few seconds, until canceled."""
        while True:
            await row_counts.fold_row_counts(self.db, _MIN_ROWS)
            await asyncio.sleep(_INTERVAL_S)
