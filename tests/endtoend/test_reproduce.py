"""`piw reproduce` on a farm with two builders, the real sandbox and a real pip."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.builder.sdists import extension_sdist
from tests.endtoend.conftest import Farm, add_release, wait_until
from tests.endtoend.test_kills import _name
from tests.fake_index import FakeIndex
from tests.local.processes import descendants
from tests.timeouts import WAIT_S


@pytest.fixture
def built(farm: Farm, upstream: FakeIndex) -> Farm:
    """A farm of two builders that built what is the same each time, and what is not."""
    upstream.add("fast", "fast-1.0.tar.gz", extension_sdist("fast"))
    add_release(upstream, "noisy", "time.sleep(1); return os.urandom(8).hex()")
    farm.start("fast", "noisy", "--builders", "2")
    farm.wait_until_ready()
    wait_until(lambda: len(farm.pages()) == 2, "both projects have a page")
    return farm


def reproduce(farm: Farm, release: str, code: int) -> dict[str, Any]:
    done = farm.piw("reproduce", release, "--json", check=False)
    assert done.returncode == code, done.stderr
    (found,) = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def shown(farm: Farm, project: str) -> Any:
    page = json.loads((farm.folder / "www" / "project" / project / "v1.json").read_text())
    return page["releases"][0]["files"][0]["reproduction"]


@pytest.mark.slow
def test_wheels_are_built_again_on_the_other_builder_and_compared(built: Farm) -> None:
    before = built.check_web_root()
    same = reproduce(built, "fast==1.0", 0)
    assert (same["result"], same["sha256"]) == ("same", same["rebuilt_sha256"])
    assert {same["builder"], same["original_builder"]} == {"builder-1", "builder-2"}
    assert same["changed_inputs"] == []
    other = reproduce(built, "noisy==1.0", 1)
    assert other["result"] == "differs"
    first = other["differences"][0]
    assert (first["member"], first["change"]) == ("noisy.py", "content")
    assert first["how"].startswith("line 1: 'answer, note = 42, ")
    wait_until(lambda: shown(built, "noisy"), "its page tells it")
    assert shown(built, "noisy")["text"] == other["text"]
    assert built.check_web_root() == before
    builds = json.loads(built.piw("builds", "--json").stdout)
    assert len(builds["builds"] if isinstance(builds, dict) else builds) == 2
    assert built.piw("db recount", "--dry-run").stdout == "all counts are right\n"


@pytest.mark.slow
def test_a_killed_master_and_a_killed_builder_end_no_reproduction(built: Farm) -> None:
    assert built.process is not None
    for victim in ("master", "builder"):
        waiting = subprocess.Popen(
            [
                *(sys.executable, "-m", "piwheels", "reproduce", "noisy==1.0", "--json"),
                *("--config", str(built.config)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: _building(built), "it is being built")
        pids = {_name(pid): pid for pid in descendants(built.process.pid)}
        os.kill(pids[victim], signal.SIGKILL)
        (found,) = json.loads(waiting.communicate(timeout=4 * WAIT_S)[0])
        assert found["result"] == "differs"
    assert len(built.check_web_root()) == 2


def _building(farm: Farm) -> bool:
    status = json.loads(farm.piw("status", "--json").stdout)
    return any(builder["project"] for builder in status["builders"])
