"""Whether a machine throttles itself, from fake sysfs trees and a fake vcgencmd."""

import time
from pathlib import Path

import pytest

from piwheels.system.throttling import Throttled, ThrottleHistory, ThrottleMonitor


@pytest.fixture(autouse=True)
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty tree of devices, and no vcgencmd."""
    folder = tmp_path / "platform"
    folder.mkdir()
    monkeypatch.setattr("piwheels.system.throttling._PLATFORM", folder)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return folder


def firmware(platform: Path, text: str, bus: str = "soc") -> None:
    file = platform / bus / f"{bus}:firmware" / "get_throttled"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def vcgencmd(tmp_path: Path, body: str) -> Path:
    """A vcgencmd that counts its runs; returns the file with the count."""
    folder, runs = tmp_path / "bin", tmp_path / "runs"
    folder.mkdir(exist_ok=True)
    program = folder / "vcgencmd"
    program.write_text(f'#!/bin/sh\necho "$@" >> {runs}\n{body}\n')
    program.chmod(0o755)
    return runs


# --- the readers ---


@pytest.mark.parametrize(
    ("text", "throttled"),
    [
        ("0\n", False),
        ("50000\n", False),  # it was, since it booted
        ("50005\n", True),
        ("4\n", True),
        ("2", True),  # its frequency is capped
        ("8", True),  # the soft temperature limit
        ("1\n", False),  # too low a voltage alone
        ("", None),
        ("on\n", None),
    ],
)
def test_the_firmware_of_a_raspberry_pi_is_read(
    text: str, throttled: bool | None, platform: Path
) -> None:
    firmware(platform, text)
    assert ThrottleMonitor().read().now is throttled


def test_a_raspberry_pi_5_has_another_bus(platform: Path) -> None:
    firmware(platform, "4", "soc@107c000000")
    assert ThrottleMonitor().read() == Throttled(True, 0.0)


def test_elsewhere_it_is_unknown() -> None:
    assert ThrottleMonitor().read() == Throttled(None, None)


def test_without_the_file_vcgencmd_is_asked_now_and_then(tmp_path: Path) -> None:
    runs = vcgencmd(tmp_path, "echo throttled=0x50004")
    now = [0.0]
    monitor = ThrottleMonitor(clock=lambda: now[0])
    for now[0] in (0.0, 5.0, 11.0):
        assert monitor.read().now is True
    assert runs.read_text().splitlines() == ["get_throttled"] * 2


@pytest.mark.parametrize("body", ["echo VCHI initialization failed >&2; exit 255", "echo what"])
def test_a_vcgencmd_that_fails_is_not_run_again(body: str, tmp_path: Path) -> None:
    runs = vcgencmd(tmp_path, body)
    now = [0.0]
    monitor = ThrottleMonitor(clock=lambda: now[0])
    for now[0] in (0.0, 60.0):
        assert monitor.read() == Throttled(None, None)
    assert len(runs.read_text().splitlines()) == 1


def test_a_vcgencmd_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("piwheels.system.throttling._VCGENCMD_TIMEOUT_S", 0.2)
    vcgencmd(tmp_path, "exec /bin/sleep 600")
    before_s = time.monotonic()
    assert ThrottleMonitor().read() == Throttled(None, None)
    assert time.monotonic() - before_s < 300


# --- the last hour ---


def observe(history: ThrottleHistory, until_s: float, *, throttled: bool, since_s: float) -> float:
    """Samples every five seconds; returns what is known of the last hour."""
    known: float | None = None
    at_s = since_s
    while at_s < until_s:
        at_s += 5.0
        known = history.observe(at_s, throttled).last_hour_s
    assert known is not None
    return known


def test_the_throttled_time_of_the_last_hour_is_summed() -> None:
    history = ThrottleHistory()
    assert history.observe(0.0, False) == Throttled(False, 0.0)
    assert observe(history, 600.0, throttled=True, since_s=0.0) == 600.0
    assert observe(history, 1800.0, throttled=False, since_s=600.0) == 605.0
    assert observe(history, 4000.0, throttled=False, since_s=1800.0) == 205.0
    assert observe(history, 5000.0, throttled=False, since_s=4000.0) == 0.0
    assert observe(history, 9000.0, throttled=True, since_s=5000.0) == 3600.0


def test_it_is_throttled_for_a_minute_after_the_last_time() -> None:
    history = ThrottleHistory()
    history.observe(0.0, True)
    assert [history.observe(at_s, False).now for at_s in (30.0, 60.0, 100.0)] == [True, True, False]


def test_a_pause_and_an_unknown_sample_count_for_nothing() -> None:
    history = ThrottleHistory()
    history.observe(0.0, True)
    assert history.observe(600.0, True) == Throttled(True, 0.0)
    assert history.observe(605.0, None) == Throttled(None, None)
    assert history.observe(610.0, True) == Throttled(True, 0.0)


def test_what_is_kept_has_a_limit() -> None:
    history = ThrottleHistory()
    for second in range(0, 40_000, 30):
        history.observe(second, second % 120 == 0)
    assert len(history._periods) < 100
