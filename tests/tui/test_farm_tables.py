"""Rows, facts and problems: marked, sorted, filtered and sanitized."""

import itertools
import random
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from piwheels.model import (
    Alert,
    AlertRule,
    AuditEvent,
    BuildSummary,
    HostMetrics,
    LiveDownloads,
    NamedCount,
    Outcome,
    QueueStatus,
    RefusedKey,
    Severity,
)
from piwheels.protocol.messages import (
    AlertsChanged,
    BuilderState,
    BuilderView,
    Snapshot,
    StatusChanged,
)
from piwheels.tui.model import glyphs
from piwheels.tui.model.alert_rows import alert_rows
from piwheels.tui.model.alerts import Place, active_alerts, alert_line, alert_place, next_alert
from piwheels.tui.model.command_status import CommandState
from piwheels.tui.model.metrics import (
    NO_ACCESS_LOG,
    breakdowns,
    download_metrics,
    host_metrics,
    outcome_summary,
)
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.queue_lengths import drain_s
from piwheels.tui.model.state import FarmState, from_snapshot
from piwheels.tui.model.tables import builders as builders_table
from piwheels.tui.model.tables import builds as builds_table
from piwheels.tui.model.tables import events as events_table
from piwheels.tui.model.tables import queues as queues_table
from piwheels.tui.model.tables.builders import BUILDER_COLUMNS
from piwheels.tui.model.tables.builds import BUILD_COLUMNS
from piwheels.tui.model.tables.events import EVENT_COLUMNS
from piwheels.tui.model.tables.queues import QUEUE_COLUMNS
from piwheels.tui.model.tables.row_filter import row_filter
from piwheels.tui.model.tables.table_model import (
    Cell,
    Column,
    Row,
    filter_and_sort,
    natural_sort_key,
)
from tests.simfarm import FarmModel
from tests.tui.test_state import status

NOW = 1_700_000_000.0
GIB = 1024**3


def sorted_rows(
    make: Callable[..., list[Row]], columns: tuple[Column, ...]
) -> Callable[..., list[Row]]:
    """Rows as a screen shows them."""

    def rows(
        *of: object, sort: str = "", reverse: bool = False, text_filter: str = "", **how: object
    ) -> list[Row]:
        found = make(*of, **how)
        return filter_and_sort(
            found, columns, sort=sort, reverse=reverse, keep=row_filter(text_filter, columns)
        )

    return rows


builder_rows = sorted_rows(builders_table.builder_rows, BUILDER_COLUMNS)
queue_rows = sorted_rows(queues_table.queue_rows, QUEUE_COLUMNS)
build_rows = sorted_rows(builds_table.build_rows, BUILD_COLUMNS)
event_rows = sorted_rows(events_table.event_rows, EVENT_COLUMNS)


def farm(*builders: BuilderView, **changes: object) -> FarmState:
    return from_snapshot(Snapshot(status=status(builders=builders, **changes)), NOW)


def build_finished(build: int, outcome: str = "built", **changes: object) -> BuildSummary:
    bare = BuildSummary(
        ended_at=datetime.fromtimestamp(NOW + build, UTC), builder="pi1", build_id=build, project="numpy",
        version="2.1", target="cp313-trixie-aarch64", outcome=Outcome(outcome), duration_s=5.0,
    )  # fmt: skip
    return msgspec.structs.replace(bare, **changes)


def builds(*of: BuildSummary) -> FarmState:
    return from_snapshot(Snapshot(status=status(), builds=of[::-1]), NOW)


def cell(row: Row, columns: tuple[Column, ...], key: str) -> Cell:
    return row.cells[[column.key for column in columns].index(key)]


def keys(rows: list[Row]) -> list[str]:
    return [row.key for row in rows]


# --- looks ---


def test_every_state_and_phase_has_a_unique_word_and_glyph() -> None:
    for ascii_only in (False, True):
        looks = [glyphs.glyph(state, ascii_only=ascii_only) for state in BuilderState]
        assert len(set(looks)) == len(looks)
        assert all(len(look) == 1 for look in looks)
        assert not ascii_only or all(look.isascii() for look in looks)
    assert set(glyphs.STATE_ORDER) == set(glyphs.STATE_STYLE) == set(BuilderState)
    assert set(glyphs.COMMAND_STYLE) == set(CommandState)


@given(st.sampled_from(sorted(glyphs._GLYPHS)))
def test_every_glyph_is_one_cell_wide(name: str) -> None:
    wide, plain = glyphs._GLYPHS[name]
    assert unicodedata.east_asian_width(wide) not in {"W", "F"}
    assert plain.isascii()
    assert len(wide) == len(plain) == 1


def test_a_sparkline_has_an_ascii_form() -> None:
    loads = (0.0, 1.0, 2.0, 4.0, 9.0)
    assert glyphs.sparkline(loads, 3, 4.0, ascii_only=False) == "▄██"
    assert glyphs.sparkline(loads, 9, 4.0, ascii_only=True) == " :=##"
    assert glyphs.sparkline((), 5, 4.0, ascii_only=False) == ""


# --- builders ---


def test_problems_come_first_then_labels_in_natural_order() -> None:
    rows = builder_rows(
        farm(
            BuilderView(label="pi10", state=BuilderState.IDLE),
            BuilderView(label="pi2", state=BuilderState.IDLE),
            BuilderView(label="pi1", state=BuilderState.BUILDING, build=1),
            BuilderView(label="pi9", state=BuilderState.SILENT),
            BuilderView(label="pi8", state=BuilderState.LOST),
            BuilderView(label="pi3", state=BuilderState.OVERDUE, build=2),
            BuilderView(label="pi4", state=BuilderState.QUARANTINED, reason="bwrap is missing"),
        ),
        NOW,
    )
    assert keys(rows) == ["pi8", "pi4", "pi3", "pi9", "pi1", "pi2", "pi10"]
    assert [row.has_alert for row in rows] == [True] * 4 + [False] * 3
    assert cell(rows[1], BUILDER_COLUMNS, "release").text == "bwrap is missing"


def test_a_builder_that_has_ended_comes_last_and_does_not_count() -> None:
    state = farm(
        BuilderView(label="pi1", state=BuilderState.ENDED, reason="drained by ada@here"),
        BuilderView(label="pi2", state=BuilderState.IDLE),
    )
    rows = builder_rows(state, NOW)
    assert keys(rows) == ["pi2", "pi1"]
    assert not rows[1].has_alert
    looks = {name: cell(rows[1], BUILDER_COLUMNS, name) for name in ("state", "release", "load")}
    assert (looks["state"].shown, looks["state"].style) == ("■ ended", "muted")
    assert (looks["release"].text, looks["release"].style) == ("drained by ada@here", "muted")
    assert looks["load"].text == "", "nothing is measured any more"
    assert [it.view.label for it in state.present_builders] == ["pi2"]


def test_an_alert_about_a_machine_ranks_after_overdue_and_is_its_state() -> None:
    hot = BuilderState.BUILDING
    state = farm(
        BuilderView(label="pi1", state=hot, build=1, host=HostMetrics(temperature=90.0)),
        BuilderView(label="pi2", state=BuilderState.SILENT),
        BuilderView(label="pi3", state=hot, build=2, host=HostMetrics(temperature=70.0)),
        BuilderView(label="pi4", state=BuilderState.OVERDUE, build=3),
        BuilderView(label="pi5", state=BuilderState.DRAINING, build=4),
        BuilderView(label="pi6", state=BuilderState.IDLE),
        alerts=(
            alert("slow:pi6"),
            alert("hot:pi3"),
            alert("hot:pi5"),
            alert("hot:pi1", acknowledged_by="ada@here"),
        ),
    )
    rows = builder_rows(state, NOW)
    states = [(row.key, cell(row, BUILDER_COLUMNS, "state").shown) for row in rows]
    assert states[:5] == [
        ("pi4", "▲ overdue"), ("pi3", "▲ hot"), ("pi6", "▲ slow"), ("pi2", "? silent"),
        ("pi5", "▼ draining"),
    ]  # fmt: skip
    assert [row.has_alert for row in rows] == [True] * 4 + [False] * 2
    for word in ("hot", "building"):
        assert "pi3" in keys(builder_rows(state, NOW, text_filter=word))


def test_a_row_keeps_its_position_through_a_build_unless_sorted_by_state() -> None:
    at_work = (BuilderState.FINISHING, BuilderState.BUILDING, BuilderState.UPLOADING)
    for states in itertools.permutations(at_work):
        views = [BuilderView(label=f"pi{n}", state=state) for n, state in enumerate(states)]
        rows = builder_rows(farm(*views), NOW)
        assert keys(rows) == ["pi0", "pi1", "pi2"]
        by_state = builder_rows(farm(*views), NOW, sort="state")
        words = [cell(row, BUILDER_COLUMNS, "state").text for row in by_state]
        assert words == ["uploading", "building", "finishing"]


def test_the_time_of_a_build_is_shown_with_the_usual_one_and_marked_beyond_it() -> None:
    view = BuilderView(
        label="pi1", state=BuilderState.BUILDING, build=1, project="numpy", release_version="2.1",
        phase="building", phase_s=100.0, build_s=130.0, expected_s=150.0, limit_s=3600.0,
    )  # fmt: skip
    state = farm(view)
    first, late = (cell(builder_rows(state, NOW + s)[0], BUILDER_COLUMNS, "time") for s in (0, 30))
    assert (first.text, first.style) == ("2m10/2m30", "")
    assert (late.text, late.style) == ("2m40/2m30", "warning")
    [row] = builder_rows(
        farm(msgspec.structs.replace(view, build_s=55_980.0, expected_s=34_380.0)), NOW
    )
    long = cell(row, BUILDER_COLUMNS, "time")
    assert (long.text, long.style) == ("15h33", "warning")  # both do not fit


def test_full_disks_low_memory_and_heat_are_marked_by_more_than_color() -> None:
    def row(disk: int, memory: int, degrees: float | None) -> Row:
        host = HostMetrics(
            disk_total=100 * GIB, disk_free=disk * GIB, memory_total=100, memory_free=memory,
            temperature=degrees,
        )  # fmt: skip
        return builder_rows(farm(BuilderView(label="p", state=BuilderState.IDLE, host=host)), NOW)[
            0
        ]

    looks = [
        tuple(
            cell(row(*values), BUILDER_COLUMNS, key)[1:3]
            for key in ("disk", "memory", "temperature")
        )
        for values in ((50, 50, 40.0), (8, 5, 77.0), (3, 5, 90.0))
    ]
    assert looks[0] == (("", ""), ("", ""), ("", ""))
    assert looks[1] == (("warning", "▲"), ("warning", ""), ("warning", "▲"))
    assert looks[2] == (("error", "▲"), ("warning", ""), ("error", "▲"))
    assert cell(row(3, 5, None), BUILDER_COLUMNS, "temperature").text == "-"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", {"pi1", "pi2"}),
        ("PI1", {"pi1"}),
        ("trixie", {"pi1"}),
        ("numpy", {"pi2"}),
        ("overdue", {"pi2"}),
        ("pi -overdue", {"pi1"}),
        ("numpy idle", set()),
        ("-", {"pi1", "pi2"}),
    ],
)
def test_a_filter_searches_label_targets_project_and_state(words: str, expected: set[str]) -> None:
    state = farm(
        BuilderView(label="pi1", state=BuilderState.IDLE, targets=("cp313-trixie-aarch64",)),
        BuilderView(
            label="pi2", state=BuilderState.OVERDUE, build=3, project="numpy", release_version="2"
        ),
    )
    assert set(keys(builder_rows(state, NOW, text_filter=words))) == expected


@pytest.mark.parametrize(
    ("names", "called"),
    [
        (["cp311-trixie-aarch64", "cp313-trixie-aarch64"], "cp313"),
        (["cp311-bookworm-armv7l", "cp313-trixie-aarch64"], "cp313-trixie-aarch64"),
    ],
)
def test_targets_are_named_by_their_abi_if_all_share_a_platform(
    names: list[str], called: str
) -> None:
    queues = tuple(QueueStatus(target=name, pending=0, claimed=0, deferred=0) for name in names)
    builder = BuilderView(
        label="pi1", state=BuilderState.BUILDING, targets=(names[1],), build=2, project="numpy",
        release_version="2", target=names[1],
    )  # fmt: skip
    state = farm(builder, queues=queues)
    state.builds[1] = build_finished(1, target=names[1])
    for rows, columns, column in (
        (builder_rows(state, NOW), BUILDER_COLUMNS, "targets"),
        (queue_rows(state, sort="target", reverse=True), QUEUE_COLUMNS, "target"),
        (build_rows(state, NOW), BUILD_COLUMNS, "target"),
    ):
        assert cell(rows[0], columns, column).text == called
        assert cell(rows[-1], columns, column).text in {called, "cp311", names[0]}
    assert keys(builder_rows(state, NOW, text_filter="trixie")) == ["pi1"]
    assert keys(build_rows(state, NOW, text_filter=names[1])) == ["2", "1"]


@given(st.sampled_from([column.key for column in BUILDER_COLUMNS]), st.booleans(), st.integers())
def test_any_column_sorts_stably_both_ways(column: str, reverse: bool, seed: int) -> None:
    world = FarmModel(builders=25, seed=seed)
    state = from_snapshot(world.snapshot(), NOW)
    rows = builder_rows(state, NOW, sort=column, reverse=reverse)
    unsorted = keys(builder_rows(state, NOW))
    orders = [cell(row, BUILDER_COLUMNS, column).sort_value for row in rows]
    valued = [order for order in orders if order is not None]
    assert orders == valued + [None] * (len(orders) - len(valued))
    assert valued == sorted(valued, reverse=reverse)
    for one, other in itertools.pairwise(rows):
        if (
            cell(one, BUILDER_COLUMNS, column).sort_value
            == cell(other, BUILDER_COLUMNS, column).sort_value
        ):
            assert unsorted.index(one.key) < unsorted.index(other.key)
    # The order of the rows that came in does not matter.
    shuffled = list(state.builders.items())
    random.Random(seed).shuffle(shuffled)
    state.builders = dict(shuffled)
    assert builder_rows(state, NOW, sort=column, reverse=reverse) == rows


@given(st.text(), st.text())
def test_natural_order_is_total_and_distinguishes_texts(one: str, other: str) -> None:
    assert (natural_sort_key(one) == natural_sort_key(other)) == (one == other)
    assert (natural_sort_key(one) < natural_sort_key(other)) != (
        natural_sort_key(one) >= natural_sort_key(other)
    )


def test_numbers_in_names_are_sorted_as_numbers() -> None:
    names = ["cp39", "cp311", "cp313t", "cp313", "pi2", "pi10", "pi", "10", "9"]
    assert sorted(names, key=natural_sort_key) == [
        "9", "10", "cp39", "cp311", "cp313", "cp313t", "pi", "pi2", "pi10",
    ]  # fmt: skip


# --- queues ---


def queue(target: str, pending: int, *, served: bool = True, **changes: object) -> QueueStatus:
    bare = QueueStatus(target=target, pending=pending, claimed=0, deferred=0, has_builder=served)
    return msgspec.structs.replace(bare, **changes)


def test_targets_without_a_builder_come_first() -> None:
    state = farm(
        queues=(
            queue("a", 5),
            queue("b", 1234, has_builder=False),
            queue("c", 0, has_builder=False),
        ),
    )
    rows = queue_rows(state)
    assert keys(rows) == ["b", "a", "c"]
    assert cell(rows[0], QUEUE_COLUMNS, "note").text == "no builder"
    assert [cell(row, QUEUE_COLUMNS, "state").text for row in rows] == [
        "unserved", "waiting", "empty",
    ]  # fmt: skip


def test_a_queue_drains_at_the_rate_of_the_last_hour() -> None:
    assert drain_s(queue("a", 90, built_last_hour=60)) == 5400
    assert drain_s(queue("a", 90)) is None
    assert drain_s(queue("a", 0)) == 0
    two = (queue("a", 60, built_last_hour=60), queue("b", 30))
    assert drain_s(*two) == 5400
    [row] = queue_rows(farm(queues=(queue("a", 90, built_last_hour=60),)))
    assert cell(row, QUEUE_COLUMNS, "drain").text == "1h30"
    assert cell(row, QUEUE_COLUMNS, "rate").text == "1.0"


# --- builds and events ---


def test_running_builds_come_first_then_the_newest() -> None:
    state = builds(
        build_finished(1), build_finished(2, "failed", reason="boom"), build_finished(3, "lost")
    )
    view = BuilderView(
        label="pi1", state=BuilderState.BUILDING, build=4, project="lxml", release_version="6"
    )
    state.builders = farm(view).builders
    rows = build_rows(state, NOW, zone=UTC)
    assert keys(rows) == ["4", "3", "2", "1"]
    looks = [cell(row, BUILD_COLUMNS, "outcome")[:3] for row in rows]
    assert looks == [
        ("building", "success", "●"),
        ("lost", "warning", "r"),
        ("failed", "error", "×"),
        ("built", "success", "+"),
    ]
    assert cell(rows[2], BUILD_COLUMNS, "detail").text == "boom"
    state.apply_update(build_finished(4), NOW)  # told before its builder is another
    assert keys(build_rows(state, NOW))[0] == "4"
    assert len(build_rows(state, NOW)) == 4


def test_builds_are_filtered_by_failure_slowness_and_project() -> None:
    state = builds(
        build_finished(1),
        build_finished(2, "failed"),
        build_finished(3, duration_s=700.0),
        build_finished(4, project="lxml"),
        build_finished(5, "canceled", project="lxml"),
    )
    assert keys(build_rows(state, NOW, failed=True)) == ["5", "2"]
    assert keys(build_rows(state, NOW, slow=True)) == ["3"]
    assert keys(build_rows(state, NOW, project="lxml")) == ["5", "4"]
    assert keys(build_rows(state, NOW, project="lxml", failed=True)) == ["5"]
    assert keys(build_rows(state, NOW, text_filter="failed")) == ["2"]


def test_every_outcome_has_a_style() -> None:
    rows = build_rows(
        builds(*(build_finished(n, outcome) for n, outcome in enumerate(Outcome, 1))), NOW
    )
    assert {cell(row, BUILD_COLUMNS, "outcome").glyph for row in rows} == {"+", "×", "r"}


def test_rejected_events_are_distinguished_from_applied_ones() -> None:
    message = [
        AuditEvent(
            event_id=n, at=datetime.fromtimestamp(NOW, UTC), who=who, text="w", outcome=outcome
        )
        for n, (who, outcome) in enumerate(
            [("master", ""), ("ada@here", "applied"), ("ada@here", "refused: no")], 1
        )
    ]
    state = from_snapshot(Snapshot(status=status(), events=tuple(reversed(message))), NOW)
    rows = event_rows(state, NOW, zone=UTC)
    assert keys(rows) == ["3", "2", "1"]
    assert [cell(row, EVENT_COLUMNS, "outcome")[1:3] for row in rows] == [
        ("error", "×"), ("success", "+"), ("muted", "·"),
    ]  # fmt: skip


@given(st.text(), st.booleans())
def test_untrusted_text_is_sanitized_in_every_cell(text: str, ascii_only: bool) -> None:
    view = BuilderView(
        label=text, state=BuilderState.BUILDING, reason=text, targets=(text,), platform=text, board=text,
        build=1, project=text, release_version=text, target=text, phase=text,
    )  # fmt: skip
    state = farm(view, msgspec.structs.replace(view, label=text + "2", build=None))
    state.status = status(
        queues=(queue(text, 1, abi=text, platform=text, has_builder=False),), upstream_status_text=text,
        instance=text, version=text, last_hour={text: 1},
        downloads=LiveDownloads(
            connected=True, top=(NamedCount(name=text, count=1),), record_day=9,
            record_date=text,
        ),
    )  # fmt: skip
    state.alerts = (alert("hot", subject=text, text=text, note=text, acknowledged_by=text),)
    message = build_finished(7, project=text, version=text, target=text, builder=text, reason=text)
    state.apply_update(message, NOW)
    state.apply_update(
        AuditEvent(at=datetime.fromtimestamp(NOW, UTC), who=text, text=text, outcome=text),
        NOW,
    )
    tables = (
        builder_rows(state, NOW, ascii_only=ascii_only),
        queue_rows(state, ascii_only=ascii_only),
        build_rows(state, NOW, ascii_only=ascii_only),
        event_rows(state, NOW, ascii_only=ascii_only),
    )
    shown = [cell.text for table in tables for row in table for cell in row.cells]
    shown += [fact.text for fact in host_metrics(state, NOW) + download_metrics(state)]
    shown += [fact.label for split in breakdowns(state).values() for fact in split]
    shown += [alert_line(trouble) for trouble in state.alerts]
    shown += [cell.text for row in alert_rows(state, NOW) for cell in row.cells]
    categories = {unicodedata.category(char) for line in shown for char in line}
    assert not categories & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


# --- facts ---


def test_problems_of_the_host_are_named() -> None:
    host = HostMetrics(
        load=1.5, memory_total=8 * GIB, memory_free=2 * GIB, disk_total=100 * GIB,
        disk_free=2 * GIB, temperature=83.0,
    )  # fmt: skip
    state = farm(host=host, upstream_lag_s=90_000.0, last_hour={"built": 12, "failed": 3})
    facts = {fact.key: fact for fact in host_metrics(state, NOW + 10)}
    assert facts["disk"].text == "98.0 GiB of 100.0 GiB (98%), nearly full"
    assert (facts["disk"].style, facts["disk"].glyph) == ("error", "▲")
    assert facts["temperature"].text == "83C, too hot"
    assert facts["lag"].text == "1d01 ago, late"
    assert facts["hour"].text == "12 built, 3 failed"
    assert facts["uptime"].text == "15s"
    assert facts["memory"].share == 0.75
    assert "swap" not in facts
    assert host_metrics(FarmState(), NOW) == []
    assert outcome_summary({}) == "no builds"


def test_downloads_say_when_no_access_log_is_connected() -> None:
    assert [fact.text for fact in download_metrics(farm())] == [NO_ACCESS_LOG]
    counts = tuple(NamedCount(name=name, count=n) for name, n in (("a", 200), ("b", 50)))
    downloads = LiveDownloads(
        connected=True, today=500, record_day=1000, record_date="2026-01-01", rate_per_s=2.5,
        per_minute=(1, 2, 3), top=counts,
    )  # fmt: skip
    state = farm(downloads=downloads)
    facts = {fact.key: fact.text for fact in download_metrics(state, ascii_only=True)}
    assert facts["today"] == "500, 50% of the record 1,000 (2026-01-01)"
    compared = farm(downloads=msgspec.structs.replace(downloads, yesterday_by_now=400))
    facts = {fact.key: fact.text for fact in download_metrics(compared, ascii_only=True)}
    assert facts["today"].startswith("500, +25% on 400 yesterday by now, 50% of the record")
    assert facts["hour"].endswith("6, peak 3 per minute -+#")
    assert all(text.isascii() for text in facts.values())
    assert [(fact.label, fact.text, fact.share) for fact in breakdowns(state)["projects"]] == [
        ("a", "200", 1.0), ("b", "50", 0.25),
    ]  # fmt: skip
    record = farm(downloads=msgspec.structs.replace(downloads, today=1000))
    assert "a record" in {f.key: f.text for f in download_metrics(record)}["today"]


# --- alerts ---


def alert(alert_id: str, **facts: object) -> Alert:
    rule, _, subject = alert_id.partition(":")
    known = {
        "severity": Severity.WARNING,
        "since": datetime.fromtimestamp(NOW - 400, UTC),
        "text": "it broke",
        "subject": subject or "master",
    }
    return Alert(alert_id=alert_id, rule=AlertRule(rule), **(known | facts))  # type: ignore[arg-type]


def test_each_place_with_an_alert_is_visited_once_and_the_first_follows_the_last() -> None:
    found = [alert(it) for it in ("lost:pi1", "unserved:cp315", "tree", "hot:pi1", "silent:pi2")]
    place: Place | None = None
    visited = []
    for _ in range(5):
        found_next = next_alert(found, place)
        assert found_next is not None
        place = alert_place(found_next)
        visited.append((place.screen, place.key))
    assert visited == [
        ("builders", "pi1"), ("queues", "cp315"), ("host", "disk"), ("builders", "pi2"),
        ("builders", "pi1"),
    ]  # fmt: skip
    assert next_alert(found, Place(ScreenName.BUILDERS, "pi0")) == found[0]
    assert next_alert([], None) is None


def test_every_rule_leads_to_a_screen() -> None:
    for rule in AlertRule:
        for subject in ("", ":pi1"):
            assert alert_place(alert(f"{rule}{subject}")).screen in ScreenName


def test_alerts_are_in_groups_and_only_the_active_ones_count() -> None:
    later = datetime.fromtimestamp(NOW + 3600, UTC)
    state = farm(
        alerts=(
            alert("lost:pi1", severity=Severity.CRITICAL),
            alert("hot:pi2", acknowledged_by="ada@here", note="new fan"),
            alert("disk:pi3", muted_by="ben@there", muted_until=later),
            alert("tree", cleared_at=datetime.fromtimestamp(NOW - 100, UTC)),
        )
    )
    rows = alert_rows(state, NOW, ascii_only=True)
    assert [[cell.text for cell in row.cells][:3] for row in rows] == [
        ["lost", "6m", "pi1"],
        ["Acknowledged 1, muted 1", "", ""],
        ["hot", "6m", "pi2"],
        ["disk", "6m", "pi3"],
        ["Cleared in 24h 1", "", ""],
        ["tree", "1m", "master"],
    ]
    details = [row.cells[3].text for row in rows if row.cells[3].text]
    assert details[:2] == ["it broke", "seen by ada@here: new fan"]
    assert details[2].startswith("muted until ")
    assert details[2].endswith(" by ben@there")
    assert details[3] == "lasted 5m: it broke"
    assert [row.has_alert for row in rows] == [True] + [False] * 5
    assert [it.alert_id for it in active_alerts(state)] == ["lost:pi1"]
    assert len(alert_rows(state, NOW, headings=False)) == 4


def test_a_status_without_alerts_keeps_them_and_a_change_replaces_them() -> None:
    state = farm(alerts=(alert("tree"),))
    state.apply_update(StatusChanged(status=status(builders=())), NOW)
    assert [it.alert_id for it in state.alerts] == ["tree"]
    state.apply_update(AlertsChanged(alerts=(alert("hot"),)), NOW)
    assert [it.alert_id for it in state.alerts] == ["hot"]


def test_builders_that_wait_are_rows_before_the_others() -> None:
    at = datetime.fromtimestamp(NOW, UTC)
    refused = (
        RefusedKey("builder", "1f" * 32, at, "192.0.2.7"),
        RefusedKey("builder", "2e" * 32, at, "192.0.2.8", "attic\x1b[31m"),
        RefusedKey("console", "3d" * 32, at, "192.0.2.9"),
    )
    state = from_snapshot(FarmModel(builders=3).snapshot(), NOW)
    assert state.status is not None
    state.status = msgspec.structs.replace(state.status, refused_keys=refused)
    nameless, named = builders_table.waiting_rows(state)
    assert [cell.text for cell in nameless.cells[:3]] == [
        "waiting",
        "1f1f1f1f",
        "not authorized: key 1f1f1f1f at 192.0.2.7",
    ]
    assert named.cells[1].text.startswith("attic")
    assert "\x1b" not in named.cells[1].text
    rows = builders_table.builder_rows(state, NOW)
    assert len(nameless.cells) == len(rows[0].cells)
    assert all(nameless.default_sort_key < row.default_sort_key for row in rows)
