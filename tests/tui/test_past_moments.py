"""Past moments on the screen: what is shown, what goes on underneath, what is refused."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from piwheels.model import Alert, AlertRule, Severity
from piwheels.protocol.messages import AlertsChanged, BuilderChanged
from piwheels.tui.model.actions import TABS, all_actions
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.settings import RingSettings
from piwheels.tui.terminal.alert_signals import BELL, AlertSignals
from tests.tui.app_harness import AppHarness, run_console
from tests.tui.sample_farm import builder, snapshot
from tests.tui.static_source import NOON, StaticSource

pytestmark = pytest.mark.farm  # each runs the whole console

MINUTE = NOON // 60 * 60
CHANGING = [it for it in all_actions() if it.changes_farm and it.keys and not it.screens]


class PastFarm:
    """A console whose farm changes its only builder once a minute: idle, lost, asleep."""

    def __init__(self, stage: AppHarness, source: StaticSource) -> None:
        self.stage, self.source = stage, source

    async def at_minute(self, minute: int, state: str) -> None:
        """The builder changes in this minute."""
        self.source.time = MINUTE + 60 * minute + 20
        self.source.emit_update(BuilderChanged(builder=builder("pi1", state)))
        farm = self.stage.console.session.live_farm
        await self.stage.wait_until(
            lambda: farm.builders["pi1"].view.state == state, f"it is {state}"
        )
        self.source.time += 5

    @property
    def header(self) -> str:
        return self.stage.text.splitlines()[0]

    @property
    def state(self) -> str:
        return str(self.stage.console.farm.builders["pi1"].view.state)

    def clock(self, minute: int) -> str:
        return f"{datetime.fromtimestamp(MINUTE + 60 * minute, UTC).astimezone():%H:%M}"


@pytest.fixture
async def past() -> AsyncIterator[PastFarm]:
    source = StaticSource(snapshot(builders=(builder("pi1", "idle"),)))
    source.time = MINUTE
    async with run_console(source, size=(120, 40)) as stage:
        await stage.wait_for_text("pi1")
        farm = PastFarm(stage, source)
        await farm.at_minute(1, "lost")
        await farm.at_minute(2, "asleep")
        await stage.wait_for_text("asleep")
        yield farm


async def test_back_and_forward_step_through_the_minutes_and_then_it_is_now(
    past: PastFarm,
) -> None:
    stage = past.stage
    await stage.press("less_than_sign")
    assert past.state == "lost"
    await stage.wait_for_text("lost")
    assert f"RECORDED {past.clock(2)}" in past.header
    await stage.press("less_than_sign")
    assert past.state == "idle"
    assert f"RECORDED {past.clock(1)}" in past.header
    await stage.press("less_than_sign")
    await stage.wait_for_text("Nothing earlier was kept.")
    assert past.state == "idle"
    await stage.press("greater_than_sign", "greater_than_sign")
    assert past.state == "asleep"
    await stage.wait_until(lambda: "RECORDED" not in past.header, "it is now")
    await stage.press("greater_than_sign")
    await stage.wait_for_text("This is now")


async def test_escape_returns_to_now_with_what_has_happened_meanwhile(past: PastFarm) -> None:
    stage = past.stage
    await stage.press("less_than_sign", "less_than_sign")
    await past.at_minute(3, "quarantined")
    assert past.state == "idle"
    assert "quarantined" not in stage.text
    await stage.press("escape")
    assert past.state == "quarantined"
    await stage.wait_for_text("quarantined")
    assert stage.console.current_screen.screen_name is ScreenName.BUILDERS


async def test_freeze_holds_the_screen_until_it_is_pressed_again(past: PastFarm) -> None:
    stage = past.stage
    await stage.press("0")
    assert f"RECORDED {past.clock(2)}" in past.header
    frozen = stage.text
    await past.at_minute(3, "draining")
    await stage.pilot.pause()
    assert stage.text == frozen
    await stage.press("0")
    await stage.wait_for_text("draining")


async def test_no_command_is_sent_while_a_past_moment_is_shown_and_each_key_says_why(
    past: PastFarm,
) -> None:
    stage = past.stage
    await stage.press("less_than_sign")
    refused = [action for action in CHANGING if stage.console.is_available(action) is None]
    assert {"pause", "kill", "sleep"} <= {action.name for action in refused}
    for action in refused:
        stage.console.clear_notifications()
        await stage.press(action.keys.split(",")[0])
        await stage.wait_for_text(f"{action.label} changes the farm, and {past.clock(2)} is shown")
    assert past.source.commands == []
    await stage.press("escape", "escape", "p")  # the first one ends the notice
    assert len(past.source.commands) == 1


@pytest.mark.parametrize("tab", TABS, ids=lambda tab: tab.name)
async def test_every_screen_shows_a_past_moment(past: PastFarm, tab: object) -> None:
    stage = past.stage
    await stage.press("less_than_sign", "less_than_sign", str(TABS.index(tab) + 1))
    assert f"RECORDED {past.clock(1)}" in past.header
    await stage.press("greater_than_sign")
    assert f"RECORDED {past.clock(2)}" in past.header
    asked = len(past.source.sent)
    stage.console.current_screen.on_shown()
    await stage.pilot.pause()
    assert len(past.source.sent) == asked


async def test_alerts_ring_and_a_lost_link_is_told_while_a_past_moment_is_shown(
    past: PastFarm,
) -> None:
    stage, written = past.stage, list[str]()
    write: Callable[[str], None] = written.append
    stage.console.alert_signals = AlertSignals(RingSettings(), write, {"TERM": "xterm"})
    stage.console.alert_signals.update(())
    await stage.press("less_than_sign")
    alert = Alert(
        alert_id="lost:pi1",
        rule=AlertRule.LOST,
        subject="pi1",
        severity=Severity.CRITICAL,
        since=datetime.fromtimestamp(NOON, UTC),
        text="no signal",
    )
    past.source.emit_update(AlertsChanged(alerts=(alert,)))
    await stage.wait_until(lambda: BELL in written, "it rings")
    assert "no signal" not in stage.text
    past.source.disconnect()
    await stage.wait_for_text("link lost")
    assert not stage.console.has_class("-stale")
    await stage.press("escape")
    await stage.wait_for_text("LINK LOST")
    assert stage.console.has_class("-stale")
