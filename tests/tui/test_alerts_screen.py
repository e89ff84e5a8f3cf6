"""The alerts screen: its cursor, where Enter leads, and the sentences about an alert."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from piwheels.model import Alert, AlertRule, Severity
from piwheels.tui.model.alert_rows import alert_rows, overview_alert_rows
from piwheels.tui.model.alerts import AlertPage, alert_page, alert_place
from piwheels.tui.model.navigation import ScreenFilter, ScreenName
from piwheels.tui.model.state import from_snapshot
from tests.tui.app_harness import run_console
from tests.tui.sample_farm import BUILDERS, snapshot
from tests.tui.static_source import NOON, StaticSource

pytestmark = pytest.mark.farm  # each runs the whole console

HOT = Alert(
    alert_id="hot:pi4-attic",
    rule=AlertRule.HOT,
    severity=Severity.WARNING,
    subject="pi4-attic",
    since=datetime.fromtimestamp(NOON, UTC) - timedelta(minutes=38),
    text="83C, throttled 38 of the last 60 min",
    value=83.0,
    worst=84.0,
)


async def test_the_cursor_is_never_on_a_heading_and_enter_goes_to_the_subject() -> None:
    async with run_console(StaticSource(snapshot()), first_screen=ScreenName.ALERTS) as stage:
        await stage.wait_for_text("Acknowledged 1, muted 1")
        visited = []
        for _ in range(7):
            visited.append(stage.table.table.cursor)
            await stage.press("down")
        assert [key for key in visited if key and key.startswith("heading")] == []
        assert visited[4:] == ["hot:pi5-roof", "disk:pi3-shed", "upstream"]
        await stage.press("up", "enter")
        assert stage.console.current_screen.screen_name is ScreenName.BUILDER
        assert stage.console.current_screen.screen_filter.builder == "pi3-shed"


async def test_two_sentences_say_since_when_by_which_rule_and_what_to_do() -> None:
    builders = tuple(
        replace(view, peer_ratio=1.9) if view.label == "pi4-attic" else view for view in BUILDERS
    )
    source = StaticSource(snapshot(alerts=(HOT,), builders=builders))
    async with run_console(source, size=(40, 20), first_screen=ScreenName.ALERTS) as stage:
        await stage.wait_for_text("hot since")
        words = " ".join(stage.text.split())
        assert "83C now, 84C at most; alert from 80C or throttled for 5 min, clears under" in words
        assert "Builds take 1.9x its peers' time. A hot board builds slowly." in words
        assert "Look at its fan and its case." in words


@pytest.mark.parametrize("size", [(40, 20), (80, 24)])
async def test_the_whole_text_of_the_alert_under_the_cursor_is_shown(size: tuple[int, int]) -> None:
    text = "3 consecutive builds failed because of the builder: no space left on its disk, twice"
    held = replace(HOT, alert_id="quarantined:pi1", rule=AlertRule.QUARANTINED, text=text)
    others = replace(HOT, text="81C")
    source = StaticSource(snapshot(alerts=(held, others)))
    async with run_console(source, size=size, first_screen=ScreenName.ALERTS) as stage:

        def is_told(alert: Alert) -> bool:
            told = f"{alert.text} pi4-attic {alert.rule} since"
            return told in " ".join(stage.text.split())

        await stage.wait_until(lambda: is_told(held), "all of it is shown")
        await stage.press("down")
        await stage.wait_until(lambda: is_told(others), "the other one is shown")


@pytest.mark.parametrize(
    ("alert_id", "screen", "row"),
    [
        ("pages", ScreenName.HOST, "pages"),
        ("tree", ScreenName.HOST, "disk"),
        ("failing", ScreenName.FAILURES, ""),
        ("failing:cp39-bullseye-armv7l", ScreenName.QUEUES, "cp39-bullseye-armv7l"),
        ("all-failed:pi1", ScreenName.BUILDERS, "pi1"),
    ],
)
def test_an_alert_leads_to_its_subject(alert_id: str, screen: ScreenName, row: str) -> None:
    rule, _, subject = alert_id.partition(":")
    alert = replace(HOT, alert_id=alert_id, rule=AlertRule(rule), subject=subject or "farm")
    assert alert_place(alert) == (screen, row)


@pytest.mark.parametrize(
    ("alert_id", "page"),
    [
        ("hot:pi1", AlertPage(ScreenName.BUILDER, ScreenFilter(builder="pi1"))),
        (
            "growing:cp39-bullseye-armv7l",
            AlertPage(
                ScreenName.QUEUE,
                ScreenFilter(target="cp39-bullseye-armv7l", title="cp39-bullseye-armv7l"),
            ),
        ),
        ("tree", AlertPage(ScreenName.HOST, row="disk")),
        ("paused", AlertPage(ScreenName.EVENTS)),
        ("keys", None),
    ],
)
def test_an_alert_opens_the_page_of_its_subject(alert_id: str, page: AlertPage | None) -> None:
    rule, _, subject = alert_id.partition(":")
    alert = replace(HOT, alert_id=alert_id, rule=AlertRule(rule), subject=subject or "farm")
    assert alert_page(alert) == page


async def test_an_alert_without_a_page_says_so() -> None:
    keys = replace(HOT, alert_id="keys", rule=AlertRule.KEYS, subject="keys")
    source = StaticSource(snapshot(alerts=(keys,)))
    async with run_console(source, first_screen=ScreenName.ALERTS) as stage:
        await stage.wait_for_text("keys since")
        await stage.press("enter")
        await stage.wait_for_text("keys has no page: piw key list")
        assert stage.console.current_screen.screen_name is ScreenName.ALERTS


def test_who_has_seen_an_alert_stands_beside_it_where_there_is_room() -> None:
    seen = replace(
        HOT,
        acknowledged_by="ada@desk",
        acknowledged_at=datetime.fromtimestamp(NOON, UTC) - timedelta(hours=2),
        note="new fan on Monday",
    )
    state = from_snapshot(snapshot(alerts=(seen,)), NOON)
    (row,) = alert_rows(state, NOON, headings=False, seen=True)
    assert [it.text for it in row.cells[-2:]] == [
        "83C, throttled 38 of the last 60 min",
        "ada@desk 2h ago: new fan on Monday",
    ]
    (narrow,) = alert_rows(state, NOON, headings=False)
    assert narrow.cells[-2].text == "seen by ada@desk: new fan on Monday"
    assert overview_alert_rows(state, NOON) == []
    assert [it.key for it in overview_alert_rows(state, NOON, seen=True)] == ["hot:pi4-attic"]
