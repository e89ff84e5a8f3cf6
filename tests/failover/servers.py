"""Two PostgreSQL servers: a primary, and a standby that can be promoted."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import conninfo

from piwheels.db.migrate import upgrade
from piwheels.local.postgres import PrivatePostgres
from tests.timeouts import WAIT_S

_NAME = "second"


@dataclass
class Servers:
    """A primary and its standby, and a DSN that names both."""

    primary: PrivatePostgres
    standby: PrivatePostgres

    @property
    def dsn(self) -> str:
        """Both hosts; the primary first."""
        hosts = [
            str(conninfo.conninfo_to_dict(it.dsn)["host"]) for it in (self.primary, self.standby)
        ]
        return conninfo.make_conninfo(self.primary.dsn, host=",".join(hosts))

    async def set_synchronous(self, *, synchronous: bool) -> None:
        """Have commits on the primary wait for the standby, or not."""
        names = _NAME if synchronous else ""
        await _run(
            self.primary.dsn,
            f"ALTER SYSTEM SET synchronous_standby_names = '{names}'",
            "SELECT pg_reload_conf()",
        )
        state = "sync" if synchronous else "async"
        await _wait_until(
            self.primary.dsn,
            f"SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = '{state}'",
        )

    async def wait_for_replay(self) -> None:
        """Wait until the standby has what the primary has now."""
        async with await psycopg.AsyncConnection.connect(self.primary.dsn) as first:
            row = await (await first.execute("SELECT pg_current_wal_lsn()::text")).fetchone()
        assert row
        await _wait_until(self.standby.dsn, f"SELECT pg_last_wal_replay_lsn() >= '{row[0]}'")

    def kill_primary(self) -> None:
        """End all its processes, as a power failure does."""
        process = self.primary._process
        assert process is not None
        os.killpg(process.pid, signal.SIGKILL)

    async def promote(self) -> None:
        """Make the standby a primary, and wait until it is one."""
        await _run(self.standby.dsn, "SELECT pg_promote()")


@contextlib.asynccontextmanager
async def run_standby(primary: PrivatePostgres, folder: Path) -> AsyncIterator[PrivatePostgres]:
    """A server that follows another one."""
    there = conninfo.conninfo_to_dict(primary.dsn)
    folder.mkdir()
    shutil.copy(primary.directory / "password", folder / "password")
    source = conninfo.make_conninfo(
        "", **{**there, "dbname": "replication", "application_name": _NAME}
    )
    process = await asyncio.create_subprocess_exec(
        *primary._drop_root(
            [
                str(primary._program("pg_basebackup")),
                *("-D", str(folder / "data"), "-R", "-X", "stream", "-c", "fast", "-d", source),
            ]
        )
    )
    assert await process.wait() == 0
    # What synchronous commits wait for is not copied along: the new primary has no standby.
    async with PrivatePostgres(folder, durable=False) as standby:
        yield standby


@contextlib.asynccontextmanager
async def run_promoted(folder: Path) -> AsyncIterator[PrivatePostgres]:
    """A new server that was promoted once: it writes the second timeline."""
    async with PrivatePostgres(folder, durable=False):
        pass
    (folder / "data" / "recovery.signal").touch()
    server = PrivatePostgres(folder, durable=False)
    server._server_settings["restore_command"] = "false"  # there is no archive
    async with server:
        await _wait_until(server.dsn, "SELECT NOT pg_is_in_recovery()")
        yield server


@contextlib.asynccontextmanager
async def run_servers(folder: Path) -> AsyncIterator[Servers]:
    """A primary with the schema, and its standby."""
    async with PrivatePostgres(folder / "a", durable=False) as primary:
        await upgrade(primary.dsn)
        async with run_standby(primary, folder / "b") as standby:
            yield Servers(primary, standby)


async def _run(dsn: str, *statements: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as admin:
        for statement in statements:
            await admin.execute(statement.encode())


async def _wait_until(dsn: str, query: str) -> None:
    async with (
        await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection,
        asyncio.timeout(WAIT_S),
    ):
        while (await (await connection.execute(query.encode())).fetchone()) != (True,):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
