"""When the parts of a log arrived: kept with the log, bounded, and read by nothing that does not ask."""

import gzip
import zlib
from pathlib import Path

import pytest

from piwheels.protocol.messages import LogTail
from piwheels.scheduler.build_logs import LogSpool
from piwheels.scheduler.log_arrivals import (
    MAX_ARRIVALS,
    LogArrivals,
    compress_log,
    decode_arrivals,
    encode_arrivals,
    read_arrivals,
)
from piwheels.webroot import Webroot


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def logs(tmp_path: Path, clock: Clock) -> LogSpool:
    return LogSpool(tmp_path / "logs", Webroot(tmp_path / "www"), clock)


def write_log(logs: LogSpool, clock: Clock) -> None:
    logs.create(7)
    for at, offset, line in ((0.4, 0, b"first\n"), (0.42, 6, b"again\n"), (40.2, 12, b"last\n")):
        clock.now = 1000.0 + at
        logs.append(7, offset, line)


def test_times_are_kept_with_the_log_of_a_running_and_of_an_ended_build(
    logs: LogSpool, clock: Clock
) -> None:
    write_log(logs, clock)
    expected = ((0, 0.4), (12, 40.2))
    running = logs.arrivals(7)
    assert running is not None
    assert running.between(0, 99) == expected
    assert running.between(6, 12) == expected[:1]
    assert logs.tail(7, 12) == LogTail(offset=12, data=b"last\n", running=True)
    logs.archive(7)
    assert (logs.tail(7, 12), logs.archived_tail(8, 0)) == (None, None)
    assert logs.archived_tail(7, 12) == LogTail(offset=12, data=b"last\n")
    kept = logs.arrivals(7)
    assert kept is not None
    assert kept.between(0, 99) == expected
    assert logs.read_archived(7) == b"first\nagain\nlast\n"


async def test_a_restart_of_the_master_loses_no_times(
    logs: LogSpool, clock: Clock, tmp_path: Path
) -> None:
    write_log(logs, clock)
    await logs.sync()
    again = LogSpool(tmp_path / "logs", Webroot(tmp_path / "www"), clock)
    clock.now += 20
    again.append(7, 17, b"after\n")
    kept = again.arrivals(7)
    assert kept is not None
    assert kept.between(0, 99) == ((0, 0.4), (12, 40.2), (17, 60.2))
    again.archive(7)
    assert list((tmp_path / "logs").iterdir()) == []


def test_a_log_whose_begin_is_not_known_has_no_times(logs: LogSpool, tmp_path: Path) -> None:
    logs.append(7, 0, b"first\n")
    assert logs.arrivals(7) is None
    logs.archive(7)
    assert logs.arrivals(7) is None
    assert logs.arrivals(8) is None
    logs.create(9)
    logs.discard(9)
    assert list((tmp_path / "logs").iterdir()) == []


def test_times_are_bounded_and_become_coarser() -> None:
    arrivals = LogArrivals(0.0)
    for number in range(20 * MAX_ARRIVALS):
        arrivals.add(number * 2**20, number / 10)
    assert MAX_ARRIVALS / 2 <= len(arrivals.offsets) <= MAX_ARRIVALS
    assert arrivals.seconds == sorted(arrivals.seconds)
    assert len(encode_arrivals(arrivals)) < 0xFFFF
    packed = compress_log(b"text\n", arrivals)
    kept = read_arrivals(packed[:0x1_0010])
    assert kept is not None
    assert kept.offsets == arrivals.offsets
    assert kept.seconds == pytest.approx(arrivals.seconds)


def test_other_readers_pass_over_the_times() -> None:
    packed = compress_log(b"text\n" * 1000, LogArrivals(0.0, offsets=[0, 5], seconds=[0.1, 2.0]))
    assert gzip.decompress(packed) == b"text\n" * 1000
    assert zlib.decompress(packed, wbits=31) == b"text\n" * 1000


@pytest.mark.parametrize(
    "stored",
    [
        gzip.compress(b"text", mtime=0),
        b"",
        b"\x1f\x8b\x08\x04",
        compress_log(b"text", None),
        compress_log(b"text", LogArrivals(0.0, offsets=[0], seconds=[1.0]))[:20],
    ],
)
def test_a_log_without_whole_times_has_none(stored: bytes) -> None:
    assert read_arrivals(stored) is None


def test_wrong_times_are_none() -> None:
    assert decode_arrivals(b"\xc0") is None
    uneven = LogArrivals(0.0, offsets=[0, 5], seconds=[1.0])
    assert decode_arrivals(encode_arrivals(uneven)) is None
