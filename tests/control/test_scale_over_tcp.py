"""A scaler on another machine: over TCP, with a key that operates."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from piwheels.protocol.keys import MASTER, Role
from tests.control.conftest import Master
from tests.ports import free_port
from tests.timeouts import WAIT_S


async def test_a_scaler_with_an_authorized_key_is_answered(
    idle_master: Master, tmp_path: Path
) -> None:
    master, address = idle_master, f"tcp://127.0.0.1:{free_port()}"
    await master.start(control_tcp_bind=address)
    pair = master.keys.load_or_generate("scaler")
    master.keys.authorize(Role.OPERATE, "scaler", pair.public)
    program = tmp_path / "kubectl"
    program.write_text("#!/bin/sh\necho '{\"items\": []}'\n")
    program.chmod(0o755)
    config = tmp_path / "piwheels.toml"
    config.write_text(
        f'[builder]\nmaster_key = "{master.keys.require(MASTER).public}"\n'
        f'key_dir = "{master.keys.key_dir}"\n[pool.arm64]\n'
    )

    def scale(*options: str) -> "subprocess.CompletedProcess[str]":
        words = ["builder", "scale", "--kubernetes", str(tmp_path), "--connect", address]
        return subprocess.run(
            [sys.executable, "-m", "piwheels", *words, "--config", str(config), *options],
            env={**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=4 * WAIT_S,
        )

    done = await asyncio.to_thread(scale, "--json")
    assert done.returncode == 0, done.stderr
    (plan,) = json.loads(done.stdout)
    assert (plan["pool"], plan["running"], plan["start"]) == ("arm64", 0, [])
    refused = await asyncio.to_thread(scale, "--key", "none")
    assert refused.returncode == 1
    assert "generate it with `piw key generate none`" in refused.stderr
