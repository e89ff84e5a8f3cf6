"""The builder as a service: its notifications to systemd, and how it ends."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import cast

import msgspec
import pytest

from piwheels.builder import build_runner, build_system, daemon
from piwheels.builder.build import BuildOptions
from piwheels.builder.build_runner import IDLE_STATUS, BuildRunner
from piwheels.builder.build_system import HostSystem
from piwheels.builder.job_dir import JobDir
from piwheels.builder.root_systems import with_machine
from piwheels.config import BuilderSection
from piwheels.errors import EXIT_STAYS_ENDED, ConfigError
from piwheels.protocol import messages as m
from piwheels.protocol.keys import MASTER, KeyStore
from piwheels.system.interpreters import probe_interpreter
from piwheels.wheel.tags import target_of
from tests.builder.test_master_client import JOB, MasterAndBuilder, farm
from tests.fake_systemd import Notifications, systemd, wait_for_notification
from tests.timeouts import WAIT_S

__all__ = ["farm", "systemd"]


@pytest.mark.farm  # starts `piw builder`
def test_systemd_is_notified_by_an_idle_builder_and_stops_it_cleanly(
    systemd: Notifications, tmp_path: Path
) -> None:
    keys = KeyStore(tmp_path / "keys")
    for name in (MASTER, "builder"):
        keys.generate(name)
    config = tmp_path / "piwheels.toml"
    config.write_text(
        '[builder]\nmaster = "127.0.0.1"\nmaster_port = 1\nupload_port = 1\n'
        'key_dir = "keys"\nwork_dir = "work"\nsandbox = false\n'
    )
    command = [sys.executable, "-m", "piwheels", "builder", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for_notification(systemd, f"READY=1\nSTATUS={IDLE_STATUS}")
            wait_for_notification(systemd, "WATCHDOG=1")
            process.send_signal(signal.SIGTERM)
            wait_for_notification(systemd, "STOPPING=1")
            _, message = process.communicate(timeout=WAIT_S)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "Traceback" not in message


@pytest.mark.farm  # starts `piw builder`
@pytest.mark.parametrize(("restart", "status"), [(False, EXIT_STAYS_ENDED), (True, 0)])
async def test_the_exit_status_tells_systemd_whether_to_restart_a_builder(
    farm: MasterAndBuilder, restart: bool, status: int
) -> None:
    port = farm.endpoints.builder_address.rpartition(":")[2]
    config = farm.folder / "piwheels.toml"
    config.write_text(
        f'[builder]\nmaster = "127.0.0.1"\nmaster_port = {port}\nkey_dir = "keys"\n'
        'work_dir = "work"\nsandbox = false\n'
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "piwheels", "builder", "--config", str(config)),
        stderr=subprocess.DEVNULL,
    )
    try:
        await farm.master.welcome()
        await farm.master.send(m.Shutdown(reason="drained by ann", restart=restart))
        assert (await farm.master.expect(m.Goodbye)).reason == "drained by ann"
        async with asyncio.timeout(WAIT_S):
            assert await process.wait() == status
    finally:
        if process.returncode is None:
            process.kill()


async def test_systemd_is_notified_of_the_running_build(
    systemd: Notifications, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        assert systemd.get(timeout=WAIT_S) == f"STATUS=building a 1 for {JOB.target}"
        raise OSError("No space left on device")

    monkeypatch.setattr(build_runner, "build", broken)
    runner = BuildRunner(
        options=cast("BuildOptions", None),
        interpreters={JOB.target: probe_interpreter(sys.executable)},
        systems={JOB.target: HostSystem()},
        targets=(),
        work_dir=tmp_path,
        sandboxed=False,
    )
    with pytest.raises(OSError, match="No space"):
        await runner.run(JOB, JobDir(tmp_path / "job"), lambda _: None)
    assert systemd.get(timeout=WAIT_S) == f"STATUS={IDLE_STATUS}"


def test_a_compiler_that_is_installed_later_is_detected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = msgspec.structs.replace(probe_interpreter(sys.executable), headers=True)
    monkeypatch.setattr(build_runner, "probe_interpreter", lambda _: found)
    monkeypatch.setattr(build_system, "BUILD_PATH", str(tmp_path))
    runner = BuildRunner(
        options=cast("BuildOptions", None),
        interpreters={"here": msgspec.structs.replace(found, headers=False)},
        systems={"here": HostSystem()},
        targets=(),
        work_dir=tmp_path,
        sandboxed=False,
    )
    assert runner.recheck_compilers() == ("here",), "there are headers, and no compiler"
    (tmp_path / "cc").touch(mode=0o755)
    assert runner.targets_without_compiler() == ()


def test_a_32_bit_arm_system_can_be_set_to_build_for_armv6() -> None:
    found = msgspec.structs.replace(probe_interpreter(sys.executable), arch="armv7l")
    assert with_machine(found, "") == found
    six = with_machine(found, "armv6l")
    assert target_of(six).name.endswith("-armv6l")
    assert with_machine(six, "armv6l") == six
    with pytest.raises(ConfigError, match="only an interpreter of a 32-bit ARM system"):
        with_machine(msgspec.structs.replace(found, arch="aarch64"), "armv6l")


@pytest.mark.parametrize(
    ("master", "address"),
    [
        ("farm.local", "tcp://farm.local:5555"),
        ("192.0.2.7", "tcp://192.0.2.7:5555"),
        ("2001:db8::7", "tcp://[2001:db8::7]:5555"),
    ],
)
def test_the_master_can_be_a_host_name_or_an_ipv4_or_ipv6_address(
    tmp_path: Path, master: str, address: str
) -> None:
    keys = KeyStore(tmp_path)
    pair = keys.load_or_generate("builder")
    section = BuilderSection(master=master, master_key="0" * 64, key_dir=tmp_path)
    assert daemon._master_addresses(section, keys, pair)[0].builder_address == address


def test_a_truncated_key_of_the_master_is_reported_with_its_length(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    pair = keys.load_or_generate("builder")
    config = BuilderSection(key_dir=tmp_path, master_key="ab" * 20)
    with pytest.raises(
        ConfigError, match=r"builder\.master_key has 40 characters: a public key is 64"
    ):
        daemon._master_addresses(config, keys, pair)
