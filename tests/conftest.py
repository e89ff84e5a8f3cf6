"""Markers, bytecode, a private PostgreSQL for the whole run, and a fresh database for each test."""

import asyncio
import gc
import itertools
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import conninfo, sql

from piwheels.db.database import Database
from piwheels.db.migrate import upgrade
from piwheels.local.postgres import PrivatePostgres

# A shell that runs the tests in the background has them, and their children, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Containers often switch off bytecode. Tests start Python hundreds of times, and without bytecode each
# start compiles the program.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Tests make and drop many objects in cycles (screens of the console). With the default thresholds the
# collector took a sixth of the processor time of those tests.
gc.set_threshold(50_000, 20, 100)

# How long an example takes says more about the machine's other work than about the code. CI tries
# the same examples each time, so that what fails there is what was changed.
settings.register_profile(
    "steady",
    deadline=None,
    max_examples=100 if os.environ.get("CI") else 25,  # by hand, new ones each time
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("steady")

_TEMPLATE_DATABASE = "farm_template"
_numbers = itertools.count(1)

#: Tests of these directories, and those that use these fixtures, are marked `farm`; single files mark
#: themselves.
_FARM_DIRS = frozenset({"benchmarks", "browser", "clients", "endtoend"})
_FARM_FIXTURES = frozenset({"piw", "postgres", "sshd", "tools"})
#: Emulated builds and the roots that they need take minutes.
_SLOW_TIMEOUT_S = 1800


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import what `-m "not farm"` leaves out: every worker collects all tests."""
    if collection_path.name in _FARM_DIRS and "not farm" in config.option.markexpr:
        return True
    return None


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that start PostgreSQL, sandboxes, browsers, web servers, farms or `piw`."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(_SLOW_TIMEOUT_S))
        fixtures = _FARM_FIXTURES.intersection(getattr(item, "fixturenames", ()))
        if fixtures or item.path.parent.name in _FARM_DIRS:
            item.add_marker(pytest.mark.farm)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivatePostgres]:
    """A server that lives in a thread of its own, so that any test's loop can come and go."""
    postgres = PrivatePostgres(tmp_path_factory.mktemp("pg"), durable=False)
    ready, over = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    async def live() -> None:
        try:
            async with postgres:
                await _create_template(postgres)
                ready.set()
                await asyncio.to_thread(over.wait)
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            ready.set()

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    ready.wait()
    if failed:
        raise failed[0]
    yield postgres
    over.set()
    thread.join()


async def _create_template(postgres: PrivatePostgres) -> None:
    async with await psycopg.AsyncConnection.connect(postgres.dsn, autocommit=True) as admin:
        await admin.execute(
            sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE_DATABASE))
        )
    await upgrade(conninfo.make_conninfo(postgres.dsn, dbname=_TEMPLATE_DATABASE))


@pytest.fixture
def empty_dsn(postgres: PrivatePostgres) -> Iterator[str]:
    """A database without tables."""
    yield from create_database(postgres, "template1")


@pytest.fixture
def dsn(postgres: PrivatePostgres) -> Iterator[str]:
    """A database with the schema and nothing in it."""
    yield from create_database(postgres, _TEMPLATE_DATABASE)


def create_database(postgres: PrivatePostgres, template: str = _TEMPLATE_DATABASE) -> Iterator[str]:
    """A database of its own, made from a template; with the schema by default."""
    name = f"farm_{next(_numbers)}"
    with psycopg.connect(postgres.dsn, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        yield conninfo.make_conninfo(postgres.dsn, dbname=name)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    """An open connection to a fresh farm."""
    async with await Database.connect(dsn, role="test") as database:
        yield database


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout."""
    return Path(__file__).parents[1]
