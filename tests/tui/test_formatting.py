"""Text from outside: nothing that a terminal would act upon gets through."""

import unicodedata
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from piwheels.formatting import (
    format_coarse_duration,
    format_count,
    format_datetime,
    format_duration,
    format_needs,
    format_percent,
    format_short_duration,
    format_size,
    format_time,
)
from piwheels.tui.model.terminal_text import terminal_safe

_UNWANTED = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(st.text())
@example("\x1b[31mred\x1b[0m")
@example("\x1b]52;c;ZXZpbA==\x07")
@example("\u202egnorw\u202c \u2066x\u2069 \ufeff\u200b")
@example("e" + "\u0301" * 50)
@example("\udc80 \U000e0041 \U0010ffff \ue000")
@example("日本語 \U0001f469\u200d\U0001f4bb")
def test_no_control_characters_are_left(text: str) -> None:
    shown = terminal_safe(text)
    assert not {unicodedata.category(char) for char in shown} & _UNWANTED
    assert all(char == " " or not char.isspace() for char in shown)
    assert terminal_safe(shown) == shown
    run = 0
    for char in shown:
        run = run + 1 if unicodedata.category(char) in {"Mn", "Me"} else 0
        assert run <= 2
    shown.encode()


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_ascii_is_unchanged(text: str) -> None:
    assert terminal_safe(text) == text


@pytest.mark.parametrize(
    "text", ["naïve café", "Ünïcode", "日本語", "한국어", "[red]no[/red]", "🙂"]
)
def test_harmless_text_is_unchanged(text: str) -> None:
    assert terminal_safe(text) == text


def test_line_endings_become_spaces_and_escapes_are_visible() -> None:
    assert terminal_safe("a\tb\r\nc\x1b[2Jd") == "a b  c?[2Jd"


@given(st.floats(min_value=0, max_value=1e12))
def test_a_duration_is_short(seconds: float) -> None:
    assert len(format_duration(seconds)) <= 9
    assert len(format_short_duration(seconds)) <= (5 if seconds < 9999 * 86400 else 9)
    assert set("smhd") & set(format_short_duration(seconds))


def test_durations_sizes_counts_and_shares_as_people_read_them() -> None:
    assert [format_duration(s) for s in (0, 59.9, 61, 3600, 90061, -5, float("inf"))] == [
        "0s", "59s", "1m 1s", "1h", "1d 1h", "0s", "-",
    ]  # fmt: skip
    seconds = (0, 59.9, 61, 300, 599, 600, 3600, 11_700, 55_980, -5, float("inf"))
    assert [format_short_duration(s) for s in seconds] == [
        "0s", "59s", "1m01", "5m", "9m59", "10m", "1h", "3h15", "15h33", "0s", "-",
    ]  # fmt: skip
    days = (86_400, 90_061, 169_200, 190_800, 863_999, 864_000, 1e6)
    assert [format_short_duration(s) for s in days] == [
        "1d", "1d01", "1d23", "2d05", "9d23", "10d", "11d",
    ]  # fmt: skip
    assert [format_coarse_duration(s) for s in (3, 47, 119, 700)] == [
        "a few seconds", "40s", "1m", "11m",
    ]  # fmt: skip
    assert (format_size(1536), format_count(1234567)) == ("1.5 KiB", "1,234,567")
    assert (format_percent(1, 3), format_percent(1, 0)) == ("33%", "-")


def test_a_time_is_shown_in_the_local_time_zone() -> None:
    at = datetime(2026, 1, 1, 23, 30, tzinfo=UTC)
    assert format_time(at, UTC) == "23:30:00"
    assert format_time(at, timezone(timedelta(hours=1))) == "00:30:00"
    assert format_time(datetime.max.replace(tzinfo=UTC), timezone(timedelta(hours=1))) == "-"


def test_a_time_on_another_day_has_its_date() -> None:
    now = datetime(2026, 11, 25, 3, 0, tzinfo=UTC).timestamp()
    assert format_datetime(datetime(2026, 11, 25, 2, 59, 1, tzinfo=UTC), now, UTC) == "02:59:01"
    late = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)
    assert format_datetime(late, now, UTC) == "Nov 24 23:30"
    assert format_datetime(late, now, timezone(timedelta(hours=1))) == "00:30:00"
    assert (
        format_datetime(datetime.max.replace(tzinfo=UTC), now, timezone(timedelta(hours=1))) == "-"
    )


@pytest.mark.parametrize(
    ("memory", "disk", "duration_s", "text"),
    [
        (0, 0, 0.0, ""),
        (0, 0, 0.4, "about 1s"),
        (1 << 30, 0, 59.0, "about 1.0 GiB of memory, 59s"),
        (5 << 28, 3 << 30, 2719.0, "about 1.2 GiB of memory, 3.0 GiB of disk, 45m"),
    ],
)
def test_what_a_build_needs_is_told_as_far_as_it_is_known(
    memory: int, disk: int, duration_s: float, text: str
) -> None:
    assert format_needs(memory, disk, duration_s) == text
