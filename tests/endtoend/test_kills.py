"""SIGKILL of any process at any moment: no reported wheel is lost, and the queue is finished."""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

import piwheels
from tests.endtoend.conftest import Farm, add_release, wait_until
from tests.fake_index import FakeIndex
from tests.local.processes import descendants, is_alive
from tests.timeouts import WAIT_S

#: A few kills sample what a long run finds; CONTRIBUTING.md names the long one.
_KILLS = int(os.environ.get("TEST_KILLS", "12"))
_RELEASES = max(12, _KILLS * 2 // 5)
_MUST_HIT = frozenset({"up", "master", "builder", "serve", "postgres"})
#: A build is long enough to be hit, at any of its steps.
_BUILD_BODY = "time.sleep(0.4); return os.urandom(8).hex()"


def _name(pid: int) -> str:
    """What a process is, for the account of what was hit."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "gone"
    if "piwheels" in words:
        return words[words.index("piwheels") + 1]
    return Path(words[0]).name.split(":")[0] or "kernel"


def _kill_one(farm: Farm, chance: random.Random, preferred: frozenset[str]) -> str:
    """Kill a process of the farm: of a preferred kind if there is one, else of any."""
    process = farm.process
    assert process is not None
    kinds: dict[str, list[int]] = {}
    for pid in [process.pid, *descendants(process.pid)]:
        kinds.setdefault(_name(pid), []).append(pid)
    name = chance.choice(sorted(kinds.keys() & preferred or kinds))
    try:
        os.kill(chance.choice(kinds[name]), signal.SIGKILL)
    except ProcessLookupError:
        return "gone"
    if name == "up":
        _restart(farm, process, chance)
    return name


def _restart(farm: Farm, process: "subprocess.Popen[bytes]", chance: random.Random) -> None:
    process.wait(WAIT_S)
    farm.start("--builders", "2")
    # Now and then the next kill comes while it is still starting.
    if chance.random() < 0.7:
        farm.wait_until_ready()


def _reported_wheels(farm: Farm) -> set[str]:
    """The projects that any run reported as built."""
    message = [path.read_text() for path in farm.folder.parent.glob("out-*")]
    lines = "\n".join(message).splitlines()
    return {line.split()[1] for line in lines if ": built in" in line}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_killed_processes_lose_no_wheel_and_build_none_twice(
    farm: Farm, upstream: FakeIndex, seed: int
) -> None:
    chance = random.Random(seed)
    names = [f"project{number}" for number in range(_RELEASES)]
    for name in names:
        add_release(upstream, name, _BUILD_BODY)
    # A build that was hit counts as a try that failed: here each is tried again at once.
    farm.environ |= {"PIWHEELS_MASTER_RETRY_DELAY_S": "1", "PIWHEELS_MASTER_MAX_ATTEMPTS": "50"}
    farm.start(*names, "--builders", "2")
    wait_until(lambda: ": built in" in farm.output, "the first is built")
    hit: Counter[str] = Counter()
    while hit.total() - hit["gone"] < _KILLS:
        # The moment is the point: anywhere between two steps of any of the processes.
        time.sleep(chance.uniform(0.0, 0.4))
        assert farm.process is not None
        if farm.process.poll() is not None:
            _restart(farm, farm.process, chance)
        hit[_kill_one(farm, chance, _MUST_HIT - hit.keys())] += 1
        farm.check_web_root()
    print(hit)
    assert hit.keys() >= _MUST_HIT
    reported = _reported_wheels(farm)
    farm.stop()
    assert farm.run(*names, "--builders", "2", "--exit-when-idle", timeout_s=1800) == 0, farm.output
    files = farm.check_web_root()
    assert files == sorted(f"{name}-1.0-py3-none-any.whl" for name in names), "each once"
    assert reported <= {file.partition("-")[0] for file in files}
    # multiprocessing's resource tracker prints tracebacks of its own when it is killed.
    ours = f'File "{Path(piwheels.__file__).parent}'
    for log in farm.folder.glob("logs/*.log"):
        assert ours not in log.read_text(errors="replace"), log.name
    farm.start("--builders", "1")
    farm.wait_until_ready()
    assert farm.piw("db recount", "--dry-run", check=False).stdout == "all counts are right\n"


@pytest.mark.slow
def test_every_process_ends_with_a_killed_farm(farm: Farm, upstream: FakeIndex) -> None:
    add_release(upstream, "slow", "time.sleep(600)")
    for _ in range(2):
        process = farm.start("slow", "--builders", "2")
        wait_until(lambda: ": building" in farm.output, "the build has begun")
        everything = descendants(process.pid)
        process.kill()
        process.wait()
        wait_until(lambda: not any(map(is_alive, everything)), "its children died with it")  # noqa: B023
