"""Metrics, names, interpreters and systemd notifications of this machine."""

import asyncio
import contextlib
import json
import os
import platform
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from piwheels.errors import ConfigError
from piwheels.model import Interpreter
from piwheels.system import sdnotify
from piwheels.system.board import board_model
from piwheels.system.interpreters import missing_toolchain, probe_interpreter
from piwheels.system.metrics import cpu_temperature, read_metrics
from piwheels.system.os_release import os_codename, os_name
from piwheels.system.sdnotify import sd_notify, slow_start, watchdog_interval_s
from tests.fake_systemd import Notifications, systemd, wait_for_notification
from tests.requires import PYTHON_VERSIONS, find_python
from tests.timeouts import WAIT_S

__all__ = ["systemd"]

PROBED = {
    "version": "3.13.1",
    "implementation": "cpython",
    "soabi": "cpython-313-aarch64-linux-gnu",
    "platform": "linux-aarch64",
    "bits": 64,
    "libc": "glibc 2.41",
    "executable": "/usr/bin/python3.13",
    "prefix": "/usr",
    "base_prefix": "/usr",
    "compiler": "gcc -pthread",
    "headers": True,
}


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def pretending(folder: Path, **facts: object) -> Interpreter:
    """What is made of an interpreter that answers so."""
    answer = json.dumps({**PROBED, **facts})
    return probe_interpreter(script(folder / "python", f"cat >/dev/null; echo '{answer}'"))


# --- its state ---


def test_memory_and_disk_match_the_system(tmp_path: Path) -> None:
    stats = read_metrics(tmp_path)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert stats.memory_total == pytest.approx(memory, rel=0.05)
    assert 0 < stats.memory_free <= stats.memory_total
    assert 0 <= stats.swap_free <= stats.swap_total
    space = os.statvfs(tmp_path)
    assert stats.disk_total == space.f_blocks * space.f_frsize
    assert 0 < stats.disk_free < stats.disk_total
    assert stats.load >= 0


def test_the_disk_of_a_missing_directory_is_that_of_its_parent(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "a" / "b").disk_total == read_metrics(tmp_path).disk_total


def zone(folder: Path, number: int, kind: str, temperature: str) -> None:
    place = folder / f"thermal_zone{number}"
    place.mkdir(parents=True)
    (place / "type").write_text(f"{kind}\n")
    (place / "temp").write_text(temperature)


def test_the_temperature_is_that_of_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone(tmp_path, 0, "iwlwifi_1", "31000\n")
    zone(tmp_path, 1, "broken", "warm\n")
    zone(tmp_path, 2, "cpu-thermal", "48312\n")
    monkeypatch.setattr("piwheels.system.metrics._THERMAL", tmp_path)
    assert cpu_temperature() == pytest.approx(48.312)


def test_without_a_sensor_there_is_no_temperature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piwheels.system.metrics._THERMAL", tmp_path / "none")
    assert cpu_temperature() is None


@pytest.mark.parametrize(
    ("files", "current_hz", "max_hz"),
    [
        ({}, None, None),
        (
            {"scaling_cur_freq": "900000\n", "cpuinfo_max_freq": "1500000\n"},
            900_000_000.0,
            1_500_000_000.0,
        ),
        ({"scaling_cur_freq": "1500000", "cpuinfo_cur_freq": "600000"}, 600_000_000.0, None),
        ({"scaling_cur_freq": "<unknown>\n", "cpuinfo_max_freq": ""}, None, None),
    ],
)
def test_the_frequency_is_that_of_the_fastest_core(
    files: dict[str, str],
    current_hz: float | None,
    max_hz: float | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for policy, text in (("policy0", "400000"), ("policy2", "")):
        (tmp_path / policy).mkdir()
        for name, content in files.items():
            (tmp_path / policy / name).write_text(content if policy == "policy0" else text)
    monkeypatch.setattr("piwheels.system.metrics._CPUFREQ", tmp_path)
    stats = read_metrics(tmp_path)
    assert (stats.cpu_hz, stats.max_cpu_hz) == (current_hz, max_hz)


def test_uptime_cores_and_clock_match_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_s = time.time()
    stats = read_metrics(tmp_path)
    assert stats.cores == os.cpu_count()
    assert stats.clock_s is not None
    assert before_s <= stats.clock_s <= time.time()
    assert stats.uptime_s is not None
    assert stats.uptime_s > 0
    monkeypatch.setattr("piwheels.system.metrics._UPTIME", tmp_path / "none")
    assert read_metrics(tmp_path).uptime_s is None


# --- its name and system ---


def test_the_board_is_read_from_the_firmware(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    monkeypatch.setattr("piwheels.system.board._BOARD_FILES", (tmp_path / "none", model))
    assert board_model() == platform.machine()
    model.write_bytes(b"Raspberry Pi 4 Model B Rev 1.4\0")
    assert board_model() == "Raspberry Pi 4 Model B Rev 1.4"


@pytest.mark.parametrize(
    ("release", "code_name", "name"),
    [
        (
            {"VERSION_CODENAME": "trixie", "PRETTY_NAME": "Debian GNU/Linux 13 (trixie)"},
            "trixie",
            "Debian GNU/Linux 13 (trixie)",
        ),
        ({"ID": "fedora", "VERSION_ID": "43", "PRETTY_NAME": "Fedora 43"}, "fedora43", "Fedora 43"),
        ({"ID": "../Odd Name", "VERSION_CODENAME": "", "PRETTY_NAME": "O"}, "oddname", "O"),
        ({}, "linux", f"{platform.system()} {platform.release()}"),
    ],
)
def test_the_system_has_a_code_name_and_a_name(
    release: dict[str, str], code_name: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: release)
    assert os_codename() == code_name
    assert os_name() == name


def test_a_system_without_os_release_is_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> dict[str, str]:
        raise OSError("no os-release")

    monkeypatch.setattr(platform, "freedesktop_os_release", missing)
    assert os_codename() == "linux"


# --- its interpreters ---


def test_the_running_interpreter_is_described() -> None:
    found = probe_interpreter(sys.executable)
    assert found.path == Path(sys.executable)
    assert found.executable == Path(sys.executable).resolve()
    assert found.version == ".".join(map(str, sys.version_info[:3]))
    assert found.base_prefix == Path(sys.base_prefix)
    assert found.abi.startswith(f"cp3{sys.version_info.minor}")
    assert found.glibc == os.confstr("CS_GNU_LIBC_VERSION").split()[1]  # type: ignore[union-attr]
    assert found.os == os_codename()


@pytest.mark.parametrize("version", PYTHON_VERSIONS)
def test_other_interpreters_are_probed(version: str) -> None:
    found = probe_interpreter(find_python(version))
    assert found.version.startswith(f"{version}.")
    assert found.implementation == "cp"
    assert found.abi == f"cp{version.replace('.', '')}"
    assert found.arch in {"x86_64", "aarch64", "armv7l", "armv6l", "i686", "riscv64"}


def test_a_virtual_environment_has_its_base_prefix(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    found = probe_interpreter(tmp_path / "env" / "bin" / "python")
    assert found.prefix == tmp_path / "env"
    assert found.base_prefix == Path(sys.base_prefix)
    assert found.path == tmp_path / "env" / "bin" / "python"


def test_a_name_is_searched_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python3.77").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert probe_interpreter("python3.77").path == tmp_path / "python3.77"


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").symlink_to(sys.executable)
    monkeypatch.chdir(tmp_path)
    assert probe_interpreter("./mine").path == tmp_path / "mine"


def test_the_environment_does_not_change_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')")
    before = probe_interpreter(sys.executable)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    monkeypatch.setenv("_PYTHON_HOST_PLATFORM", "linux-m68k")
    assert probe_interpreter(sys.executable) == before


@pytest.mark.parametrize(
    ("platform_name", "bits", "arch"),
    [
        ("linux-aarch64", 64, "aarch64"),
        ("linux-aarch64", 32, "armv7l"),
        ("linux-armv8l", 32, "armv7l"),
        ("linux-armv7l", 32, "armv7l"),
        ("linux-armv6l", 32, "armv6l"),
        ("linux-x86_64", 64, "x86_64"),
        ("linux-x86_64", 32, "i686"),
        ("linux-riscv64", 64, "riscv64"),
    ],
)
def test_the_architecture_is_that_of_the_interpreter_and_not_of_the_kernel(
    tmp_path: Path, platform_name: str, bits: int, arch: str
) -> None:
    assert pretending(tmp_path, platform=platform_name, bits=bits).arch == arch


@pytest.mark.parametrize(
    ("soabi", "implementation", "abi", "short"),
    [
        ("cpython-313-aarch64-linux-gnu", "cpython", "cp313", "cp"),
        ("cpython-313t-aarch64-linux-gnu", "cpython", "cp313t", "cp"),
        ("cpython-311d-x86_64-linux-gnu", "cpython", "cp311d", "cp"),
        ("pypy310-pp73-x86_64-linux-gnu", "pypy", "pypy310_pp73", "pp"),
    ],
)
def test_the_abi_is_read_from_the_extension_suffix(
    tmp_path: Path, soabi: str, implementation: str, abi: str, short: str
) -> None:
    found = pretending(tmp_path, soabi=soabi, implementation=implementation)
    assert (found.abi, found.implementation) == (abi, short)


def test_another_c_library_has_no_glibc_version(tmp_path: Path) -> None:
    assert pretending(tmp_path, libc="").glibc == ""


@pytest.mark.parametrize("name", ["/nowhere/python", "python-of-nowhere", "/etc/passwd"])
def test_a_missing_interpreter_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"the interpreter {name} is .*--python"):
        probe_interpreter(name)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo broken >&2; exit 3", "broken"),
        ("exit 3", "ended with status 3"),
        ("echo '{}'", "{}"),
        ("echo Python 2.7 knows no -I >&2; exit 2", "knows no -I"),
        ("kill -9 $$", "ended with status -9"),
    ],
)
def test_an_invalid_answer_of_an_interpreter_is_reported(
    tmp_path: Path, body: str, reason: str
) -> None:
    path = script(tmp_path / "python", body)
    with pytest.raises(ConfigError) as error:
        probe_interpreter(path)
    assert str(path) in str(error.value)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_executed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "python"
    path.write_bytes(b"\x7fELF for another machine")
    path.chmod(0o755)
    with pytest.raises(ConfigError, match="does not run: "):
        probe_interpreter(path)


def test_a_hanging_interpreter_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("piwheels.system.interpreters._PROBE_TIMEOUT_S", 0.2)
    path = script(tmp_path / "python", "exec sleep 60")
    with pytest.raises(ConfigError, match="did not answer"):
        probe_interpreter(path)


def test_a_missing_compiler_and_missing_headers_are_reported_with_a_solution(
    tmp_path: Path,
) -> None:
    found = probe_interpreter(sys.executable)
    whole = msgspec.structs.replace(found, headers=True)
    script(tmp_path / "cc", "")
    assert missing_toolchain(whole, str(tmp_path)) == ""
    assert "this machine has no C compiler:" in missing_toolchain(whole, "/nowhere")
    bare = msgspec.structs.replace(found, headers=False)
    message = missing_toolchain(bare, "/nowhere")
    assert f"no C compiler and no C headers of {found.executable}" in message
    assert "apt install build-essential python3-dev" in message


def test_an_unknown_abi_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has an unknown ABI: 'graalpy'"):
        pretending(tmp_path, soabi="graalpy")


# --- its service manager ---


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_notified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, abstract: bool
) -> None:
    name = f"piwheels-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}" if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if abstract else name)
        assert sd_notify("READY=1\nSTATUS=3 builders, all är well")
        assert listener.recv(4096).decode() == "READY=1\nSTATUS=3 builders, all är well"


def test_sd_notify_does_not_poll_while_systemd_does_not_receive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setattr(sdnotify, "_NOTIFY_TIMEOUT_S", 0.3)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    other.sendto(b"x", str(tmp_path / "notify"))
        used_s, began = time.thread_time(), time.monotonic()
        assert not sd_notify("WATCHDOG=1")
        used_s, waited_s = time.thread_time() - used_s, time.monotonic() - began
        assert used_s / waited_s < 0.2


async def test_a_start_that_takes_long_is_reported_until_it_ends(systemd: Notifications) -> None:
    going_on = "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=90000000"
    async with slow_start():
        for _ in range(3):
            assert await asyncio.to_thread(systemd.get, timeout=WAIT_S) == going_on
    sd_notify("READY=1")
    sd_notify("STATUS=after it")
    received = await asyncio.to_thread(wait_for_notification, systemd, "STATUS=after it")
    assert received[-2:] == ["READY=1", "STATUS=after it"]


async def test_a_start_without_an_end_is_not_reported_without_an_end(
    systemd: Notifications,
) -> None:
    async with slow_start(limit_s=0.3):
        await asyncio.sleep(1.0)
        reported = systemd.qsize()
        await asyncio.sleep(0.5)
        assert systemd.qsize() == reported > 0


@pytest.mark.parametrize("address", [None, "", "/nowhere/notify", "relative", "vsock:2:1234"])
def test_without_systemd_nothing_happens(
    monkeypatch: pytest.MonkeyPatch, address: str | None
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not sd_notify("READY=1")


@pytest.mark.parametrize(
    ("limit", "process", "expected"),
    [
        ("30000000", None, 15.0),
        ("30000000", "mine", 15.0),
        ("30000000", "1", None),
        (None, None, None),
        ("0", None, None),
        ("soon", None, None),
    ],
)
def test_the_watchdog_interval_is_half_of_its_limit(
    monkeypatch: pytest.MonkeyPatch,
    limit: str | None,
    process: str | None,
    expected: float | None,
) -> None:
    process = str(os.getpid()) if process == "mine" else process
    for name, value in (("WATCHDOG_USEC", limit), ("WATCHDOG_PID", process)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert watchdog_interval_s() == expected
