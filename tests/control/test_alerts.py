"""Alerts of a real master: raised by what builders report, changed by operators, kept by it."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from piwheels.errors import RejectedError
from piwheels.model import Alert, AlertState, HostMetrics
from piwheels.protocol import messages as m
from piwheels.protocol.keys import Role
from tests.control.conftest import Builder, Master
from tests.control.test_cli_commands import piw
from tests.timeouts import WAIT_S

FULL = HostMetrics(disk_total=100 * 2**30, disk_free=2**30)
EMPTY = HostMetrics(disk_total=100 * 2**30, disk_free=50 * 2**30)


async def alerts(master: Master) -> dict[str, Alert]:
    status = await master.ask(m.Status(), m.StatusReply)
    return {alert.alert_id: alert for alert in status.alerts}


async def fill_disk(master: Master, builder: Builder) -> Alert:
    """Raise an alert, and wait until it is published."""
    async with master.watch() as watcher:
        await builder.send_idle(FULL)
        event = await watcher.wait_for_event(
            m.AlertsChanged, lambda it: any(a.alert_id == "disk:pi1" for a in it.alerts)
        )
    return next(alert for alert in event.alerts if alert.alert_id == "disk:pi1")


async def test_an_alert_is_published_when_it_is_raised_and_when_it_clears(master: Master) -> None:
    async with master.builder("pi1") as pi1:
        raised = await fill_disk(master, pi1)
        assert raised.text == "99% used, 1.0 GiB free"
        assert abs(datetime.now(UTC) - raised.since) < timedelta(minutes=1)
        async with master.watch() as watcher:
            assert "disk:pi1" in {it.alert_id for it in watcher.snapshot.status.alerts}
            await pi1.send_idle(EMPTY)
            await watcher.wait_for_event(
                m.AlertsChanged,
                lambda it: any(
                    alert.alert_id == "disk:pi1" and alert.state is AlertState.CLEARED
                    for alert in it.alerts
                ),
            )


@pytest.mark.slow
async def test_operators_acknowledge_mute_and_unmute_at_a_shell(master: Master) -> None:
    async with master.builder("pi1") as pi1:
        await fill_disk(master, pi1)
        note = ("--note", "card ordered")
        done = await piw(master, "alerts ack", "disk:pi1", *note)
        assert done.stdout == "disk:pi1 is acknowledged\n"
        alert = (await alerts(master))["disk:pi1"]
        assert (alert.state, alert.note) == (AlertState.ACKNOWLEDGED, "card ordered")
        listed = (await piw(master, "alerts")).stdout
        assert "acknowledged:" in listed
        assert f"seen by {alert.acknowledged_by}: card ordered" in listed
        assert "disk" not in (await piw(master, "status")).stdout.split("builder")[0]

        await piw(master, "alerts mute", "disk:pi1", "--for", "2h")
        alert = (await alerts(master))["disk:pi1"]
        assert alert.muted_until is not None
        assert abs(alert.muted_until - datetime.now(UTC) - timedelta(hours=2)) < timedelta(
            minutes=1
        )

        await piw(master, "alerts unmute", "disk:pi1")
        (found,) = json.loads((await piw(master, "alerts", "--json")).stdout)
        assert (found["alert_id"], found["state"]) == ("disk:pi1", "active")
        assert "99% used" in (await piw(master, "status")).stdout
        snapshot = json.loads((await piw(master, "status", "--json")).stdout)
        assert [it["alert_id"] for it in snapshot["alerts"]] == ["disk:pi1"]
    events = (await master.ask(m.ListEvents(), m.EventsReply)).events
    said = {event.what for event in events}
    assert {
        "acknowledge disk:pi1: card ordered", "mute disk:pi1 for 2h", "unmute disk:pi1",
    } <= said  # fmt: skip


async def test_what_does_not_stand_cannot_be_acknowledged(master: Master) -> None:
    with pytest.raises(RejectedError, match=r"there is no alert hot:pi7; see `piw alerts`"):
        await master.ask(m.AcknowledgeAlerts(alerts=("hot:pi7",)), m.CommandSucceeded)
    done = await piw(master, "alerts mute", "hot:pi7", code=2)
    assert "--for 2h" in done.stderr


@pytest.mark.slow
async def test_a_restarted_master_goes_on_with_its_alerts(master: Master) -> None:
    async with master.builder("pi1") as pi1:
        raised = await fill_disk(master, pi1)
        command = m.AcknowledgeAlerts(alerts=("disk:pi1",), note="card ordered")
        await master.ask(command, m.CommandSucceeded)
    master.stop()
    await master.start()
    kept = (await alerts(master))["disk:pi1"]
    assert (kept.since, kept.note) == (raised.since, "card ordered")
    assert kept.state is AlertState.ACKNOWLEDGED


async def test_who_paused_the_farm_is_known_after_a_restart(master: Master) -> None:
    await master.ask(m.Pause(), m.CommandSucceeded, user="ada@desk")
    paused = await master.ask(m.Status(), m.StatusReply)
    assert paused.paused_by == "ada@desk"
    assert paused.paused_at is not None
    master.stop()
    await master.start()
    again = await master.ask(m.Status(), m.StatusReply)
    assert (again.paused, again.paused_by, again.paused_at) == (True, "ada@desk", paused.paused_at)
    await master.ask(m.Resume(), m.CommandSucceeded)
    resumed = await master.ask(m.Status(), m.StatusReply)
    assert (resumed.paused, resumed.paused_by, resumed.paused_at) == (False, "", None)


@pytest.mark.slow
async def test_a_builder_whose_key_is_not_authorized_is_an_alert(master: Master) -> None:
    pair = master.keys.load_or_generate("key-of-pi9")
    master.keys.authorize(Role.BUILDER, "pi9", pair.public)
    master.keys.revoke("pi9")
    public = pair.public
    async with master.watch() as watcher:
        dealer = master._dealer(pair)  # connects now, after it was revoked
        connecting = asyncio.create_task(dealer.send(m.Goodbye(), timeout_s=WAIT_S))
        try:
            event = await watcher.wait_for_event(
                m.AlertsChanged, lambda it: any(a.alert_id == "keys" for a in it.alerts)
            )
        finally:
            connecting.cancel()
            dealer.close()
    alert = next(alert for alert in event.alerts if alert.alert_id == "keys")
    assert alert.text == f"builder key {public[:16]} is unknown and was refused"
    (refused,) = (await master.ask(m.Status(), m.StatusReply)).refused_keys
    assert (refused.role, refused.public, refused.address) == ("builder", public, "127.0.0.1")
    listed = (await piw(master, "alerts")).stdout
    assert public[:16] in listed
    assert 'piwheels_alert{rule="keys"' in (await piw(master, "metrics")).stdout
