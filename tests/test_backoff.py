"""Growing delays between attempts."""

from piwheels.backoff import Backoff


def test_each_delay_is_twice_the_previous_one_up_to_the_maximum() -> None:
    backoff = Backoff(0.5, 3.0)
    assert [backoff.next_s() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_a_success_resets_the_delay() -> None:
    backoff = Backoff(0.5, 3.0)
    backoff.next_s()
    backoff.next_s()
    backoff.reset()
    assert backoff.next_s() == 0.5


def test_jitter_spreads_the_delays_within_its_range() -> None:
    delays = [Backoff(10.0, 10.0, jitter=(0.8, 1.2)).next_s() for _ in range(50)]
    assert all(8.0 <= delay <= 12.0 for delay in delays)
    assert len(set(delays)) > 1
