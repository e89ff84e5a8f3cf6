"""The rows of a table as CSV and as JSON."""

import csv
import io
import json
from collections.abc import Iterable, Sequence

from piwheels.tui.model.tables.table_model import Column, Row

#: What spreadsheets take for the start of a formula; a build's texts are not to be calculated.
_FORMULA_STARTS = ("=", "+", "-", "@")


def rows_as_csv(columns: Sequence[Column], rows: Iterable[Row]) -> str:
    """CSV (RFC 4180) with a header; texts that spreadsheets would calculate get an apostrophe."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(column.key for column in columns)
    for row in rows:
        writer.writerow(_without_formula(cell.text) for cell in row.cells)
    return stream.getvalue()


def _without_formula(text: str) -> str:
    return f"'{text}" if len(text) > 1 and text.startswith(_FORMULA_STARTS) else text


def rows_as_json(columns: Sequence[Column], rows: Iterable[Row]) -> str:
    """A list of objects, with the texts of the cells by the keys of their columns."""
    keys = [column.key for column in columns]
    objects = [dict(zip(keys, (cell.text for cell in row.cells), strict=True)) for row in rows]
    return json.dumps(objects, ensure_ascii=False, indent=2) + "\n"
