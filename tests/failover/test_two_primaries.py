"""A promoted server beside a former primary that still accepts writes: one master goes on."""

import asyncio
from pathlib import Path

import pytest

from piwheels.db import key_values
from piwheels.db.connection import open_connection
from piwheels.db.database import Database, DatabaseError
from piwheels.db.master_epoch import next_epoch
from piwheels.db.replication import find_replication_risk, refuse_former_primary
from piwheels.webroot import TreeTakenError, Webroot
from piwheels.webroot.tree_epoch import EPOCH_FILE, TreeEpoch
from tests.failover.servers import Servers, run_servers

pytestmark = pytest.mark.farm


async def connect_master(dsn: str) -> Database:
    return await Database.connect(dsn, role="dispatch", exclusive=True)


async def test_one_master_goes_on_with_two_primaries(tmp_path: Path) -> None:
    tree = tmp_path / "www"
    tree.mkdir()
    async with (
        run_servers(tmp_path) as servers,
        await connect_master(servers.dsn) as former,
        await Database.connect(servers.dsn, role="receive", epoch=former.epoch) as receive,
    ):
        assert former.epoch is not None
        await _check_replication_risk(servers)
        former_tree = Webroot(tree)
        former_tree.tree_epoch.claim(former.epoch.number, 0.0)
        await servers.wait_for_replay()
        # Nothing tells the primary that its standby was promoted: both accept writes.
        await servers.promote()
        await key_values.set_value(receive, "key", "lost")
        await _check_newest_is_used(servers)
        with pytest.raises(DatabaseError, match="was promoted, and this master uses a former"):
            await refuse_former_primary(former)
        async with await connect_master(servers.dsn) as newer:
            assert newer.epoch is not None
            assert newer.epoch.timeline == 2
            # However often masters start on the former primary, they stay below.
            assert next_epoch(next_epoch(former.epoch.number, 1), 1) < newer.epoch.number
            await asyncio.to_thread(TreeEpoch(tree).claim, newer.epoch.number, 0.0)
            with pytest.raises(TreeTakenError, match="has taken over"):
                former_tree.check_writer()
            with pytest.raises(TreeTakenError), former_tree.packages_lock():
                pass
            assert await key_values.get_value(newer, "key") is None
        await former.close()
        async with await connect_master(servers.primary.dsn) as late:
            assert late.epoch is not None
            with pytest.raises(TreeTakenError, match=f"former primary.*{EPOCH_FILE}"):
                TreeEpoch(tree).claim(late.epoch.number, 0.0)


async def test_connections_of_a_master_follow_its_lock_to_the_promoted_server(
    tmp_path: Path,
) -> None:
    async with (
        run_servers(tmp_path) as servers,
        await connect_master(servers.dsn) as master,
        await Database.connect(servers.dsn, role="receive", epoch=master.epoch) as receive,
    ):
        assert master.epoch is not None
        before = master.epoch.number
        await servers.wait_for_replay()
        await servers.promote()
        await master._connection.close()  # its network failed; that of the other did not
        await refuse_former_primary(master)
        assert master.epoch.timeline == 2
        assert master.epoch.number > before
        await key_values.set_value(receive, "key", "kept")
        assert receive._connection.info.host == str(servers.standby._socket_dir())
        assert await key_values.get_value(master, "key") == "kept"
        # A statement of a session from before the failover is repeated, and ends no master.
        receive._session_epoch = master.epoch.number
        await receive._connection.execute(f"SET piwheels.epoch = '{before}'".encode())
        receive._session_epoch = before
        await key_values.set_value(receive, "key", "again")
        assert await key_values.get_value(master, "key") == "again"


async def _check_replication_risk(servers: Servers) -> None:
    async with await Database.connect(servers.dsn, role="test") as database:
        assert "synchronous_mode" in await find_replication_risk(database)
        await servers.set_synchronous(synchronous=True)
        assert await find_replication_risk(database) == ""
        await database.execute("SET synchronous_commit = local")
        assert "synchronous_commit is local" in await find_replication_risk(database)
    await servers.set_synchronous(synchronous=False)


async def _check_newest_is_used(servers: Servers) -> None:
    for _ in range(3):
        async with await open_connection(servers.dsn, "test", autocommit=False) as connection:
            assert connection.info.host == str(servers.standby._socket_dir())
