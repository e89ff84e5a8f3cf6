"""Connections and migrations against a real server: transient and permanent errors."""

import asyncio
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo
from psycopg.rows import dict_row

from piwheels.db import (
    audit_log,
    connection,
    key_values,
    migrate,
    singleton_lock,
    target_queries,
)
from piwheels.db.database import Database, DatabaseError, DatabaseUnavailableError, transactional
from piwheels.db.migrate import SCHEMA_VERSION, Migration, MigrationError, upgrade
from piwheels.errors import TransientError
from tests.timeouts import WAIT_S


async def _terminate_connections(dsn: str, role: str) -> None:
    """End a connection from the server's side, as a restart of the server does."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as admin:
        await admin.execute(
            """
            SELECT pg_terminate_backend(pid, 60000)  -- waits until it is gone
              FROM pg_stat_activity WHERE application_name = %s
            """,
            [f"piwheels {role}"],
        )


async def test_upgrade_creates_the_schema_once(empty_dsn: str) -> None:
    assert [migration.version for migration in await upgrade(empty_dsn)] == [SCHEMA_VERSION]
    assert await upgrade(empty_dsn) == ()
    async with await Database.connect(empty_dsn, role="test") as db:
        assert await target_queries.targets(db) == []


async def test_concurrent_upgrades_do_not_conflict(empty_dsn: str) -> None:
    found = await asyncio.gather(upgrade(empty_dsn), upgrade(empty_dsn))
    assert sorted(map(len, found)) == [0, SCHEMA_VERSION]


async def test_a_failing_migration_changes_nothing(
    empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Migration(1, "001_broken.sql", "CREATE TABLE half (x int); SELECT 1/0")
    monkeypatch.setattr(migrate, "_migration", lambda _: broken)
    with pytest.raises(MigrationError, match="division by zero; nothing was changed"):
        await upgrade(empty_dsn)
    async with await psycopg.AsyncConnection.connect(empty_dsn) as connection:
        cursor = await connection.execute(
            "SELECT to_regclass('half'), to_regclass('schema_migrations')"
        )
        assert await cursor.fetchone() == (None, None)


async def test_a_database_without_schema_is_rejected_with_a_hint(empty_dsn: str) -> None:
    with pytest.raises(DatabaseError, match=f"version 0, this piwheels needs {SCHEMA_VERSION}"):
        await Database.connect(empty_dsn, role="test")


async def test_a_database_of_a_newer_version_is_rejected(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as admin:
        await admin.execute("INSERT INTO schema_migrations (version) VALUES (99)")
    with pytest.raises(DatabaseError, match=r"version 99.*install a newer piwheels"):
        await Database.connect(dsn, role="test")
    with pytest.raises(MigrationError, match="version 99"):
        await upgrade(dsn)


async def test_an_old_server_is_rejected_with_its_version(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The installed server is recent enough, so the required version is raised.
    monkeypatch.setattr(connection, "MIN_SERVER_VERSION", 99)
    with pytest.raises(DatabaseError, match=r"PostgreSQL \d+ is too old: piwheels needs 99"):
        await Database.connect(dsn, role="test")
    with pytest.raises(MigrationError, match="is too old"):
        await upgrade(dsn)


@pytest.mark.parametrize("wrong", ["gibberish", "host=/nowhere dbname=x"])
async def test_an_invalid_dsn_is_named(wrong: str) -> None:
    with pytest.raises((DatabaseError, DatabaseUnavailableError), match=r"database\.dsn"):
        await Database.connect(wrong, role="test")
    with pytest.raises((MigrationError, TransientError), match=r"database\.dsn"):
        await upgrade(wrong)


async def test_an_account_without_privileges_gets_a_clear_error(dsn: str, empty_dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as admin:
        await admin.execute("DROP ROLE IF EXISTS outsider")
        await admin.execute("CREATE ROLE outsider LOGIN PASSWORD 'strange'")
    there, empty = (
        conninfo.make_conninfo(x, user="outsider", password="strange") for x in (dsn, empty_dsn)
    )
    with pytest.raises(DatabaseError, match=r"denied permission.*permission denied"):
        await Database.connect(there, role="test")
    with pytest.raises(MigrationError, match="permission denied for schema public; nothing was"):
        await upgrade(empty)
    with pytest.raises(MigrationError, match="permission denied"):
        await upgrade(there)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as admin:
        await admin.execute("GRANT SELECT ON schema_migrations TO outsider")
    async with await Database.connect(there, role="test") as db:
        with pytest.raises(DatabaseError, match="permission denied for table events"):
            await audit_log.record_event(db, "me", "tried")
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as admin:
        await admin.execute("DROP OWNED BY outsider")
        await admin.execute("DROP ROLE outsider")


async def test_a_database_has_one_master(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(singleton_lock, "_WAIT_S", 0.1)
    async with await Database.connect(dsn, role="dispatch", exclusive=True):
        with pytest.raises(
            DatabaseError, match=r"another master is using this database \(.* UTC\)"
        ):
            await Database.connect(dsn, role="dispatch", exclusive=True)
        async with await Database.connect(dsn, role="beside"):
            pass
    async with await Database.connect(dsn, role="dispatch", exclusive=True):
        pass


async def test_an_upgrade_is_rejected_while_a_master_runs(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(singleton_lock, "_WAIT_S", 0.1)
    async with await Database.connect(dsn, role="dispatch", exclusive=True):
        assert await upgrade(dsn) == (), "there is nothing to change"
        monkeypatch.setattr(migrate, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
        newer = Migration(SCHEMA_VERSION + 1, "newer.sql", "CREATE TABLE newer (x int)")
        monkeypatch.setattr(migrate, "_migration", lambda _: newer)
        with pytest.raises(
            MigrationError, match=r"a master is using this database \(.*\); stop it"
        ):
            await upgrade(dsn)
    assert await upgrade(dsn) == (newer,)


async def test_a_canceled_query_leaves_the_connection_usable(dsn: str) -> None:
    async with await Database.connect(dsn, role="test") as db:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await db.value("SELECT pg_sleep(60)")
            async with asyncio.timeout(WAIT_S):
                assert await db.value("SELECT 7") == 7


async def test_the_lock_of_the_master_survives_a_broken_connection_unless_another_took_it(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(singleton_lock, "_WAIT_S", 0.1)
    async with await Database.connect(dsn, role="first", exclusive=True) as first:
        await _terminate_connections(dsn, "first")
        await first.value("SELECT 1")
        with pytest.raises(DatabaseError, match="another master"):
            await Database.connect(dsn, role="second", exclusive=True)
        await _terminate_connections(dsn, "first")
        async with await Database.connect(dsn, role="second", exclusive=True):
            with pytest.raises(DatabaseError, match="another master"):
                await first.value("SELECT 1")


async def test_a_stale_connection_of_the_same_master_is_terminated(dsn: str) -> None:
    async with await Database.connect(dsn, role="dispatch", exclusive=True) as db:
        ghost = db._connection
        db._connection = await psycopg.AsyncConnection.connect(dsn, row_factory=dict_row)
        await db._connection.close()  # for this side the link is cut, for the server it is not
        assert await db.value("SELECT 7") == 7
        with pytest.raises(psycopg.OperationalError):
            await ghost.execute("SELECT 1")
        await ghost.close()


async def test_a_changed_schema_ends_a_running_master(dsn: str) -> None:
    async with await Database.connect(dsn, role="cut") as db:
        await db.execute("INSERT INTO schema_migrations (version) VALUES (99)")
        await _terminate_connections(dsn, "cut")
        with pytest.raises(DatabaseError, match="version 99"):
            await db.value("SELECT 1")


async def test_queries_continue_after_the_connection_broke(dsn: str) -> None:
    async with await Database.connect(dsn, role="cut") as db:
        await key_values.set_value(db, "paused", "1")
        await _terminate_connections(dsn, "cut")
        assert db.retry_count == 0
        assert await key_values.get_value(db, "paused") == "1"
        assert db.retry_count > 0


async def test_a_broken_transaction_is_repeated_as_a_whole(dsn: str) -> None:
    tries = 0

    async def work() -> None:
        nonlocal tries
        tries += 1
        await audit_log.record_event(db, "me", "tried")
        if tries == 1:
            await _terminate_connections(dsn, "cut")
        await audit_log.record_event(db, "me", "done")

    async with await Database.connect(dsn, role="cut") as db:
        await db.in_transaction(work)
        assert await db.value("SELECT count(*) FROM events") == 2
    assert tries == 2


async def test_a_statement_within_a_transaction_is_not_repeated_alone(database: Database) -> None:
    attempts: list[int] = []

    @transactional
    async def work(db: Database) -> None:
        attempts.append(await audit_log.record_event(db, "me", "tried"))
        if len(attempts) < 3:
            await db.execute(_raise_sql("40001"))

    await work(database)
    assert len(attempts) == 3
    assert await database.value("SELECT count(*) FROM events") == 1


@pytest.mark.parametrize("state", ["57P04", "XX001", "40002"])
async def test_a_permanent_error_is_raised_immediately(database: Database, state: str) -> None:
    with pytest.raises((DatabaseError, psycopg.Error), match="it is broken"):
        await database.execute(_raise_sql(state))


def _raise_sql(state: str) -> str:
    return f"DO $$ BEGIN RAISE 'it is broken' USING ERRCODE = '{state}'; END $$"


RESOURCES = ("53100", "53200", "53300", "58030")
LOCKS = ("40001", "40P01", "55006", "55P03")
SERVER = ("08006", "25006", "57014", "57P01", "57P03")


@pytest.mark.parametrize("state", RESOURCES + LOCKS + SERVER)
async def test_a_transient_error_is_retried(database: Database, state: str) -> None:
    tries: list[str] = []

    async def work() -> None:
        tries.append(database.last_error)
        if len(tries) == 1:
            await database.execute(_raise_sql(state))

    await database.in_transaction(work)
    assert tries == ["", "it is broken"]
    assert not database.last_error


async def test_server_side_timeouts_are_retried(dsn: str) -> None:
    tries = 0

    async def work(db: Database, timeout: str, statement: str) -> None:
        nonlocal tries
        tries += 1
        await db.execute(f"SET {timeout} = {'20' if tries == 1 else '0'}")
        if tries == 2:
            await holder.rollback()
        await db.execute(statement)

    holder = await psycopg.AsyncConnection.connect(dsn)
    await holder.execute("LOCK TABLE jobs")
    async with holder, await Database.connect(dsn, role="test") as db:
        await db.in_transaction(lambda: work(db, "lock_timeout", "DELETE FROM jobs"))
        assert tries == 2
        tries = 0
        await db.in_transaction(lambda: work(db, "statement_timeout", "SELECT pg_sleep(0.1)"))
        assert tries == 2


async def _set_read_only(dsn: str, value: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as admin:
        name = admin.info.dbname
        await admin.execute("SET default_transaction_read_only = off")
        await admin.execute(
            f'ALTER DATABASE "{name}" SET default_transaction_read_only = {value}'.encode()
        )


async def test_a_read_only_database_is_retried(dsn: str) -> None:
    async with await Database.connect(dsn, role="test") as db:
        await _set_read_only(dsn, "on")
        await _terminate_connections(dsn, "test")
        writing = asyncio.create_task(key_values.set_value(db, "paused", "yes"))
        async with asyncio.timeout(WAIT_S):
            while "read-only" not in db.last_error:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.02)
        with pytest.raises(DatabaseUnavailableError, match=r"accepts no writes.*read-only"):
            await Database.connect(dsn, role="second")
        await _set_read_only(dsn, "off")
        async with asyncio.timeout(WAIT_S):
            await writing
        assert await key_values.get_value(db, "paused") == "yes"
        assert not db.last_error


async def test_a_server_without_free_connections_is_retried_at_start(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as admin:
        await admin.execute("DROP ROLE IF EXISTS crowd")
        await admin.execute("CREATE ROLE crowd LOGIN PASSWORD 'crowd' CONNECTION LIMIT 1")
        await admin.execute("GRANT SELECT ON schema_migrations TO crowd")
        crowd = conninfo.make_conninfo(dsn, user="crowd", password="crowd")
        async with await Database.connect(crowd, role="first"):
            with pytest.raises(DatabaseUnavailableError, match="too many connections"):
                await Database.connect(crowd, role="second")
            second = asyncio.create_task(
                Database.connect(crowd, role="second", connect_timeout_s=WAIT_S)
            )
            await asyncio.sleep(0)
        async with await second as db:
            assert await db.value("SELECT 7") == 7
        await admin.execute("DROP OWNED BY crowd")
        await admin.execute("DROP ROLE crowd")


async def test_a_listener_reports_that_it_may_have_missed_notifications(dsn: str) -> None:
    async with await Database.connect(dsn, role="ears") as db:
        received = db.notifications("jobs")
        assert (await anext(received)).channel == ""
        await db.execute("NOTIFY jobs, 'one'")
        assert (await anext(received)).payload == "one"
        await _terminate_connections(dsn, "ears listener")
        assert (await anext(received)).channel == ""
        await db.execute("NOTIFY jobs, 'two'")
        assert (await anext(received)).payload == "two"
        await received.aclose()


async def test_transactions_of_tasks_do_not_interleave(database: Database) -> None:
    async def note(name: str) -> None:
        async with database.transaction():
            await audit_log.record_event(database, name, "first")
            await audit_log.record_event(database, name, "second")

    await asyncio.gather(*(note(f"task {number}") for number in range(5)))
    rows = await database.rows("SELECT who FROM events ORDER BY event_id")
    names = [row["who"] for row in rows]
    assert names[::2] == names[1::2]


def test_timeouts_of_the_dsn_count_and_others_have_defaults() -> None:
    def timeouts(dsn: str) -> dict[str, object]:
        return {
            name: value
            for name, value in conninfo.conninfo_to_dict(
                connection.with_default_timeouts(dsn)
            ).items()
            if name in {"connect_timeout", "tcp_user_timeout"}
        }

    assert timeouts("host=a") == {"connect_timeout": "10", "tcp_user_timeout": "12000"}
    assert timeouts("host=a,b")["connect_timeout"] == "5"
    assert timeouts("host=a,b connect_timeout=3")["connect_timeout"] == "3"
    assert timeouts("postgresql://a,b/x?tcp_user_timeout=7")["tcp_user_timeout"] == "7"


async def test_the_error_of_every_host_of_a_dsn_is_reported(tmp_path: Path) -> None:
    dsn = f"host={tmp_path}/a,{tmp_path}/b user=x dbname=x"
    with pytest.raises(DatabaseUnavailableError, match=r"/a: .*No such file.*/b: .*No such file"):
        await Database.connect(dsn, role="test")
