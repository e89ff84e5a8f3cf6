"""How an operator has arranged a table; it is kept for the next start."""

from collections.abc import Sequence

import msgspec

from piwheels.tui.model.tables.table_model import Column


class TableView(msgspec.Struct, frozen=True):
    """columns: keys, in order, () for the usual ones; sort: a column's key, "" for the usual order.

    `filter` is as it was typed.
    """

    columns: tuple[str, ...] = ()
    sort: str = ""
    reverse: bool = False
    filter: str = ""

    def chosen(self, columns: Sequence[Column]) -> list[int]:
        """The places of the chosen columns among all; all of them where none is chosen."""
        keys = [column.key for column in columns]
        return [keys.index(key) for key in self.columns if key in keys] or list(range(len(keys)))

    def for_columns(self, columns: Sequence[Column]) -> "TableView":
        """Without what another version of the table has kept."""
        keys = {column.key for column in columns}
        known = tuple(key for key in dict.fromkeys(self.columns) if key in keys)
        sort = self.sort if self.sort in keys else ""
        return msgspec.structs.replace(self, columns=known, sort=sort)
