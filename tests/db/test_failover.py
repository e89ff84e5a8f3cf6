"""Real servers: a primary with its standby, two masters across a failover, and a pooler."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo

from piwheels.db import job_queue, key_values
from piwheels.db.database import (
    Database,
    DatabaseError,
    DatabaseUnavailableError,
    split_password,
)
from piwheels.db.master_epoch import MasterEpoch, continue_epoch, next_epoch
from piwheels.local.postgres import PrivatePostgres
from tests.failover.servers import Servers, run_servers
from tests.ports import free_port
from tests.requires import find_program, requires_program
from tests.timeouts import WAIT_S

WRITES = (
    lambda db: key_values.set_value(db, "key", "value"),
    lambda db: job_queue.claim(db, "pi", ["cp311-bookworm-aarch64"]),
    lambda db: db.execute("DELETE FROM file_deletions"),
)


async def start_other_master(dsn: str) -> int:
    """Start another master on the same server; returns its epoch."""
    async with await Database.connect(dsn, role="other", exclusive=True) as other:
        assert other.epoch is not None
        return other.epoch.number


async def test_every_table_is_checked(database: Database) -> None:
    rows = await database.rows(
        """
        SELECT relname FROM pg_class c
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
           AND NOT relispartition
           AND NOT EXISTS (
               SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'epoch_checked')
         ORDER BY relname
        """
    )
    assert [row["relname"] for row in rows] == [
        "master_epoch",
        "row_counts",  # written by triggers of tables that are checked
        "schema_migrations",
    ], "a migration that makes a table has to call add_epoch_triggers()"


@pytest.mark.parametrize("write", WRITES)
async def test_writes_of_a_former_master_are_rejected(dsn: str, write: object) -> None:
    first = await Database.connect(dsn, role="dispatch", exclusive=True)
    async with await Database.connect(dsn, role="receive", epoch=first.epoch) as receive:
        await write(receive)  # type: ignore[operator]
        await first.close()  # its lock is on a server that is gone
        assert first.epoch is not None
        assert await start_other_master(dsn) > first.epoch.number
        assert await key_values.get_value(receive, "key") in {
            None,
            "value",
        }
        with pytest.raises(DatabaseError, match="another master has taken over"):
            await write(receive)  # type: ignore[operator]
    with pytest.raises(DatabaseError, match="another master has taken over"):
        await Database.connect(dsn, role="publish", epoch=first.epoch)


async def test_a_new_epoch_waits_for_running_transactions(dsn: str) -> None:
    first = await Database.connect(dsn, role="dispatch", exclusive=True)
    async with await Database.connect(dsn, role="receive", epoch=first.epoch) as receive:
        await first.close()
        async with receive.transaction():
            await key_values.set_value(receive, "key", "value")
            beginning = asyncio.create_task(start_other_master(dsn))
            async with (
                await Database.connect(dsn, role="reader") as reader,
                asyncio.timeout(WAIT_S),
            ):
                while not await reader.value(  # noqa: ASYNC110 - nothing tells of it
                    "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND objid = 7094)"
                ):
                    await asyncio.sleep(0.02)
            await key_values.set_value(receive, "other", "value")
        await beginning
        with pytest.raises(DatabaseError, match="taken over"):
            await key_values.set_value(receive, "key", "late")
        assert await key_values.get_value(receive, "other") == "value"


async def test_a_server_without_the_newest_epoch_is_updated_by_the_current_master(
    dsn: str,
) -> None:
    async with await Database.connect(dsn, role="dispatch", exclusive=True) as first:
        await first.execute("UPDATE master_epoch SET epoch = 0")  # a standby that was behind
        with pytest.raises(DatabaseUnavailableError, match="does not know of this master yet"):
            await Database.connect(dsn, role="receive", epoch=first.epoch)
        await first._connection.close()
        await key_values.set_value(first, "key", "value")
        async with await Database.connect(dsn, role="receive", epoch=first.epoch) as receive:
            await key_values.set_value(receive, "key", "value")


async def test_an_epoch_that_is_raised_while_a_connection_is_made_ends_nothing(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a failover, where the connections of a master return at the same time."""
    async with (
        await Database.connect(dsn, role="dispatch", exclusive=True) as master,
        await Database.connect(dsn, role="receive", epoch=master.epoch) as receive,
    ):
        assert master.epoch is not None

        async def continue_and_raise(connection: Any, epoch: MasterEpoch, **how: Any) -> int:
            number = await continue_epoch(connection, epoch, **how)
            monkeypatch.undo()
            epoch.number = next_epoch(epoch.number, 1)
            await connection.execute("UPDATE master_epoch SET epoch = %s", [epoch.number])
            return number

        monkeypatch.setattr("piwheels.db.database.continue_epoch", continue_and_raise)
        await receive._connection.close()
        await key_values.set_value(receive, "key", "value")
        assert await key_values.get_value(master, "key") == "value"


async def test_connections_without_an_epoch_are_not_checked(database: Database) -> None:
    await start_other_master(database.dsn)
    await key_values.set_value(database, "key", "value")


# --- two servers ---


@pytest.mark.farm
async def test_a_standby_is_skipped_until_it_is_promoted(tmp_path: Path) -> None:
    """With it named first; after the promotion its DSN is used within a few seconds."""
    async with run_servers(tmp_path) as servers:
        hosts = [
            conninfo.conninfo_to_dict(it.dsn)["host"] for it in (servers.standby, servers.primary)
        ]
        both = conninfo.make_conninfo(servers.dsn, host=",".join(map(str, hosts)))
        with pytest.raises(DatabaseUnavailableError, match="read-only"):
            await Database.connect(servers.standby.dsn, role="test")
        async with (
            await Database.connect(both, role="dispatch", exclusive=True) as master,
            await Database.connect(both, role="receive", epoch=master.epoch) as receive,
        ):
            await key_values.set_value(master, "key", "value")
            await servers.wait_for_replay()
            assert await ask_psql(servers, both) == "f"
            await servers.primary.stop()
            writing = asyncio.create_task(key_values.set_value(receive, "key", "new"))
            await asyncio.sleep(0)
            await servers.promote()
            async with asyncio.timeout(WAIT_S):
                await key_values.get_value(master, "key")
                await writing
            assert await key_values.get_value(master, "key") == "new"


async def ask_psql(servers: Servers, dsn: str) -> str:
    """Whether the server that PostgreSQL's own programs use is a standby."""
    address, password = split_password(dsn)
    process = await asyncio.create_subprocess_exec(
        *servers.primary._drop_root(
            [str(servers.primary._program("psql")), "-Atc", "SELECT pg_is_in_recovery()", address]
        ),
        env=os.environ | {"PGPASSWORD": password},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return output.decode().strip()


# --- a pooler ---


@contextlib.asynccontextmanager
async def run_pooler(dsn: str, folder: Path, mode: str) -> AsyncIterator[str]:
    """PgBouncer in front of a database; gives the DSN that leads through it."""
    there, port = conninfo.conninfo_to_dict(dsn), free_port()
    (folder / "users").write_text(f'"{there["user"]}" "{there["password"]}"\n')
    ini = folder / "pgbouncer.ini"
    ini.write_text(
        f"[databases]\n* = host={there['host']}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n"
        f"auth_file = {folder}/users\npool_mode = {mode}\ndefault_pool_size = 5\n"
    )
    process = await asyncio.create_subprocess_exec(
        *PrivatePostgres._drop_root([find_program("pgbouncer"), str(ini)]),
        stderr=asyncio.subprocess.DEVNULL,
    )
    through = conninfo.make_conninfo(dsn, host="127.0.0.1", port=port)
    try:
        async with asyncio.timeout(WAIT_S):
            while True:
                with contextlib.suppress(psycopg.OperationalError):
                    await (await psycopg.AsyncConnection.connect(through)).close()
                    break
                await asyncio.sleep(0.05)
        yield through
    finally:
        process.kill()
        await process.wait()


@requires_program("pgbouncer")
async def test_a_transaction_pooler_is_rejected(dsn: str, tmp_path: Path) -> None:
    async with run_pooler(dsn, tmp_path, "transaction") as through:
        for _ in range(3):
            with pytest.raises(DatabaseError, match="pool_mode = session, or name PostgreSQL"):
                await Database.connect(through, role="test")


@requires_program("pgbouncer")
async def test_a_session_pooler_is_accepted(dsn: str, tmp_path: Path) -> None:
    async with (
        run_pooler(dsn, tmp_path, "session") as through,
        await Database.connect(through, role="dispatch", exclusive=True) as master,
        await Database.connect(through, role="receive", epoch=master.epoch) as receive,
    ):
        await key_values.set_value(receive, "key", "value")
        assert await key_values.get_value(master, "key") == "value"
