"""The primary database is killed under load; the master is killed; both are replaced."""

import asyncio
import signal
from pathlib import Path

import pytest

from piwheels.db.database import Database
from piwheels.tui.client.connection import MasterConnection
from piwheels.tui.model.source_events import Connected
from tests.accesslog.helpers import lines_read, piw_process
from tests.failover.farm import ReplicatedFarm, run_farm
from tests.failover.masters import status_of, wait_for_master
from tests.fake_systemd import Notifications, systemd
from tests.timeouts import WAIT_S, Stopwatch
from tests.tui.source_probe import SourceProbe, wait_until

__all__ = ["systemd"]

pytestmark = [pytest.mark.farm, pytest.mark.slow]

_STANDBY_STATUS = "WATCHDOG=1\nSTATUS=standby: the master runs"
LINE = (
    '10.0.0.{number} - - [30/Nov/2026:10:00:00 +0000] "GET /simple/demo{number}/ HTTP/1.1" 200 99 '
    '"-" "pip/24.0"\n'
)


async def test_services_go_on_after_the_primary_was_killed_under_load(tmp_path: Path) -> None:
    async with run_farm(tmp_path, masters=1) as farm:
        (master,) = farm.masters
        await farm.servers.set_synchronous(synchronous=True)
        await master.start()
        log = tmp_path / "access.log"
        log.write_text(LINE.format(number=0))
        with piw_process(farm.servers.dsn, tmp_path, "--follow", log):
            async with farm.builders(4) as builders:
                await farm.add_releases(farm.servers.primary.dsn, range(60))
                await wait_until(lambda: sum(len(it.acknowledged) for it in builders) >= 8)
                farm.servers.kill_primary()
                with log.open("a") as more:
                    more.write("".join(LINE.format(number=number) for number in range(1, 9)))
                await asyncio.sleep(1.0)  # as long as a failure takes to be noticed
                before = {build for it in builders for build in it.acknowledged}
                await farm.servers.promote()
                clock = Stopwatch()
                await wait_until(
                    lambda: {build for it in builders for build in it.acknowledged} - before
                )
                first_build_s, first_build_wall_s = clock.seconds, clock.wall_s
                new = farm.servers.standby.dsn
                await wait_until(lambda: lines_read(new) >= 9)
                access_log_s, access_log_wall_s = clock.seconds, clock.wall_s
                pages_s = await _wait_for_pages(farm, clock)
                print(
                    f"\nafter pg_promote(): build acknowledged {first_build_wall_s:.1f} s, access log "
                    f"{access_log_wall_s:.1f} s, pages {pages_s:.1f} s"
                )
                assert max(first_build_s, access_log_s) < 5.0
                await wait_until(lambda: sum(len(it.acknowledged) for it in builders) >= 30)
                acknowledged = {build for it in builders for build in it.acknowledged}
        assert master.process is not None
        assert master.process.poll() is None, master.log
        async with await Database.connect(new, role="test") as db:
            rows = await db.rows("SELECT build_id FROM builds")
            files = await db.rows("SELECT filename, sha256 FROM files")
        assert acknowledged <= {row["build_id"] for row in rows}
        for file in files:
            digest = file["sha256"]
            assert (farm.root / "packages" / digest[:2] / digest / file["filename"]).is_file()


async def _wait_for_pages(farm: ReplicatedFarm, clock: Stopwatch) -> float:
    """Add a release to the new primary, and wait until its page lists its wheel."""
    await farm.add_releases(farm.servers.standby.dsn, [900])
    page = farm.root / "simple" / "demo900" / "index.html"
    await wait_until(lambda: page.exists() and "demo900-1.0" in page.read_text())
    return clock.wall_s


async def test_a_standby_takes_over_from_a_killed_master(
    tmp_path: Path, systemd: Notifications
) -> None:
    async with run_farm(tmp_path, masters=2) as farm:
        first, standby = farm.masters
        await first.start()
        farm.start_standby(standby)
        console = MasterConnection(f"{first.control},{standby.control}", operator_name="ada@here")
        async with farm.builders(2) as builders, SourceProbe(console) as listener:
            await wait_until(lambda: all(it.welcomes for it in builders))
            await wait_until(lambda: listener.state.has_snapshot)
            async with asyncio.timeout(WAIT_S):
                while "is a standby (the master runs" not in await status_of(standby.control):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            while not systemd.get(timeout=WAIT_S).startswith(_STANDBY_STATUS):
                pass
            clock = Stopwatch()
            first.stop(signal.SIGKILL)
            await wait_for_master(standby.control)
            taken_over_s = clock.wall_s
            second = standby.settings["master.builder_bind"]
            await wait_until(lambda: all(it.welcomes[-1] == second for it in builders))
            builders_s = clock.wall_s
            await wait_until(lambda: len(listener.events_of(Connected)) > 1)
            print(
                f"\nafter kill -9 of the master: standby answers {taken_over_s:.1f} s, builders "
                f"{builders_s:.1f} s, console {clock.wall_s:.1f} s"
            )
            assert taken_over_s < 30.0
            await farm.add_releases(farm.servers.dsn, [1, 2, 3])
            await wait_until(lambda: sum(len(it.acknowledged) for it in builders) >= 3)
            # The first one comes back, and waits.
            first.settings["master.standby"] = True
            farm.start_standby(first)
            await wait_until(lambda: "standby: the master runs" in first.log)


async def test_a_master_on_a_former_primary_ends(tmp_path: Path) -> None:
    async with run_farm(tmp_path, masters=2) as farm:
        first, second = farm.masters
        first.settings["database.dsn"] = farm.servers.primary.dsn  # it knows no other server
        await first.start()
        await farm.servers.wait_for_replay()
        await farm.servers.promote()
        await second.start(standby=False)
        assert first.process is not None
        first.process.wait(WAIT_S)
        assert first.process.returncode == 1
        assert "a newer master has taken over" in first.log
        first.process = None
        with pytest.raises(AssertionError, match=r"is database\.dsn a former primary"):
            await first.start()
