"""The plans of the statements that some work executes, with the rows that they read."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from piwheels.db.database import Database

_Plan = dict[str, Any]


async def executed_plans(db: Database, work: Callable[[], Awaitable[object]]) -> list[_Plan]:
    """The plans of the statements that only read, as EXPLAIN ANALYZE reports them."""
    statements: list[tuple[str, Any]] = []
    rows, row = db.rows, db.row

    async def recorded_rows(query: str, parameters: Any = None) -> list[dict[str, Any]]:
        statements.append((query, parameters))
        return await rows(query, parameters)

    async def recorded_row(query: str, parameters: Any = None) -> dict[str, Any] | None:
        statements.append((query, parameters))
        return await row(query, parameters)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(db, "rows", recorded_rows)
        patched.setattr(db, "row", recorded_row)
        await work()
    found = []
    for query, parameters in statements:
        explained = await rows(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", parameters)
        found.append(explained[0]["QUERY PLAN"][0]["Plan"])
    return found


def rows_read(plans: list[_Plan], table: str) -> float:
    """Rows of a table that scans read, those included that they filtered out."""
    scans = (node for plan in plans for node in nodes(plan) if node.get("Relation Name") == table)
    return float(
        sum(
            (scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)) * scan["Actual Loops"]
            for scan in scans
        )
    )


def nodes(plan: _Plan) -> Iterator[_Plan]:
    """A node of a plan, and those below it."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)
