"""Queries of the render process use one connection, which is replaced when it is of no more use."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from piwheels.db.database import Database, DatabaseUnavailableError
from piwheels.rendering import subprocess_query
from piwheels.rendering.render_pool import RenderPool


async def _backend_pid(db: Database) -> int:
    pid: int = await db.value("SELECT pg_backend_pid()")
    return pid


async def _fail_in_transaction(db: Database) -> None:
    async with db.transaction():
        await db.execute("SELECT no_such_function()")


def backend_pid(dsn: str, role: str = "pages") -> int:
    return subprocess_query.run_query(dsn, role, _backend_pid)


def fail(dsn: str) -> None:
    subprocess_query.run_query(dsn, "pages", _fail_in_transaction)


def test_the_render_process_keeps_its_connection(dsn: str) -> None:
    with RenderPool() as pool:
        first = pool.submit(backend_pid, dsn).result()
        assert pool.submit(backend_pid, dsn).result() == first
        assert pool.submit(backend_pid, dsn, "search").result() != first


async def test_a_connection_that_failed_or_was_closed_is_replaced(
    dsn: str, database: Database
) -> None:
    with RenderPool() as pool:
        first = pool.submit(backend_pid, dsn).result()
        with pytest.raises(psycopg.errors.UndefinedFunction):
            pool.submit(fail, dsn).result()
        second = pool.submit(backend_pid, dsn).result()
        assert second != first
        await database.execute("SELECT pg_terminate_backend(%(pid)s, 10000)", {"pid": second})
        assert pool.submit(backend_pid, dsn).result() != second


def test_other_threads_use_a_connection_for_each_query(dsn: str) -> None:
    assert backend_pid(dsn) != backend_pid(dsn)


async def test_work_is_repeated_while_the_database_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subprocess_query, "_RETRY_S", 0.01)
    attempts = []

    def work(number: int) -> int:
        attempts.append(number)
        if len(attempts) < 3:
            raise DatabaseUnavailableError("the database accepts no writes")
        return number

    with ThreadPoolExecutor(1) as executor:
        assert await subprocess_query.run_in_process(executor, work, 7) == 7
    assert attempts == [7, 7, 7]
