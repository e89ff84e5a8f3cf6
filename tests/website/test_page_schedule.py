"""When the home page, the lists and the feeds are written again."""

import time

import pytest

from piwheels.website.page_schedule import PageSchedule


@pytest.mark.parametrize(
    ("took_s", "pause_s"),
    [
        (0.01, 10.0),  # the interval
        (0.5, 25.0),
        (1.2, 60.0),
        (5.0, 60.0),  # a slow machine: no later than after a minute,
        (15.0, 60.0),
        (30.0, 120.0),  # unless it would write nothing else
    ],
)
async def test_lists_are_a_minute_late_at_most_while_writing_takes_seconds(
    took_s: float, pause_s: float
) -> None:
    async def write() -> None:
        pass

    schedule, began = PageSchedule(10.0, write), time.monotonic()
    schedule.mark_written(took_s)
    assert began + pause_s <= schedule.due_at <= time.monotonic() + pause_s
