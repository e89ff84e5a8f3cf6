"""A status is current in what the master has in memory, and has the age of the rest."""

import asyncio
from datetime import date

import pytest
from msgspec.structs import replace

from piwheels.cli.remote.status import _print_totals
from piwheels.db.exported_accesses import record_waiting
from piwheels.protocol import messages as m
from tests.control.conftest import Master
from tests.timeouts import WAIT_S


@pytest.mark.slow
async def test_a_pause_is_published_immediately_while_counts_are_unavailable(
    master: Master,
) -> None:
    await master.release("demo")
    async with master.watch() as watcher:
        counted = (await master.ask(m.Status(), m.StatusReply)).queues
        async with master.db.transaction():
            await master.db.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
            async with asyncio.timeout(WAIT_S / 4):
                # Longer than a status waits for its counts, less than a lock's timeout.
                await master.ask(m.Pause(), m.CommandSucceeded)
                await watcher.wait_for_event(m.StatusChanged, lambda pulse: pulse.status.paused)
                status = await master.ask(m.Status(), m.StatusReply)
            assert status.paused
            assert status.queues == counted
            old = await watcher.wait_for_event(
                m.StatusChanged, lambda pulse: pulse.status.counts_age_s > m.STALE_COUNTS_S
            )
            assert old.status.paused
        await watcher.wait_for_event(
            m.StatusChanged, lambda pulse: pulse.status.counts_age_s < m.STALE_COUNTS_S
        )


async def test_changes_by_commands_are_counted_immediately(master: Master) -> None:
    await master.release("demo")
    async with master.watch() as watcher:
        await master.ask(m.Skip(project="demo", reason="broken"), m.CommandSucceeded)
        gone = await watcher.wait_for_event(
            m.StatusChanged, lambda pulse: all(queue.pending == 0 for queue in pulse.status.queues)
        )
        assert gone.status.counts_age_s < m.STALE_COUNTS_S


async def test_rarely_counted_totals_are_shown_with_their_age(
    master: Master, capsys: pytest.CaptureFixture[str]
) -> None:
    status = await master.ask(m.Status(), m.StatusReply)
    assert 0 <= status.totals_age_s < WAIT_S
    _print_totals(replace(status, totals_age_s=0.0))
    assert "counted" not in capsys.readouterr().out
    _print_totals(replace(status, totals_age_s=300.0))
    assert "; counted 5m ago" in capsys.readouterr().out


async def test_accesses_that_cannot_be_moved_are_shown_with_the_reason(
    master: Master, capsys: pytest.CaptureFixture[str]
) -> None:
    await record_waiting(master.db, "the object storage cannot be reached", date(2026, 1, 1))
    await master.ask(m.Pause(), m.CommandSucceeded)  # after a command all is counted again
    status = await master.ask(m.Status(), m.StatusReply)
    assert status.waiting_accesses is not None
    _print_totals(status)
    assert "to be moved to files; the object storage cannot be" in capsys.readouterr().out
