"""A queue that grows for three hours, as the master's samples show it."""

from piwheels.alerts.growth import Growth, QueueHistory
from tests.alerts.farm import TARGET, queue

HOUR_S = 3600


def watched(*hourly: int) -> tuple[QueueHistory, int]:
    """The history of a queue with these lengths, one for each hour; and the time."""
    history = QueueHistory()
    for minute in range(0, 60 * (len(hourly) - 1) + 1, 5):
        history.record([queue(pending=hourly[minute // 60])], minute * 60.0)
    return history, (len(hourly) - 1) * HOUR_S


def test_a_queue_grows_if_it_is_longer_each_hour() -> None:
    history, now_s = watched(10, 20, 30, 40)
    assert history.growth(TARGET, 40, now_s) == Growth(30, grew_each_hour=True, is_shorter=False)
    history, now_s = watched(10, 20, 15, 40)
    assert history.growth(TARGET, 40, now_s) == Growth(30, grew_each_hour=False, is_shorter=False)
    history, now_s = watched(10, 20, 30, 25)
    assert history.growth(TARGET, 25, now_s) == Growth(15, grew_each_hour=False, is_shorter=True)


def test_before_three_hours_nothing_is_known() -> None:
    history, now_s = watched(10, 20, 30)
    assert history.growth(TARGET, 30, now_s) is None
    assert history.growth("cp39", 30, now_s) is None


def test_the_samples_are_bounded_and_those_of_a_gone_queue_are_dropped() -> None:
    history, _ = watched(*range(48))
    assert len(history._samples[TARGET]) <= 38
    history.record([], 1e6)
    assert not history._samples
