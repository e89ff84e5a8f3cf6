"""Commands to real builders during a real build."""

import json
from typing import Any

import pytest

from tests.endtoend.conftest import Farm, add_release, wait_until
from tests.fake_index import FakeIndex
from tests.local.processes import cmdline, descendants, is_alive


def _status(farm: Farm) -> dict[str, Any]:
    return json.loads(farm.piw("status", "--json").stdout)  # type: ignore[no-any-return]


def _builder(farm: Farm) -> dict[str, Any]:
    builders = _status(farm)["builders"]
    return builders[0] if builders else {}


def _builds(farm: Farm) -> list[dict[str, Any]]:
    return json.loads(farm.piw("builds", "--json").stdout)["builds"]  # type: ignore[no-any-return]


def _has_event(farm: Farm, start: str) -> bool:
    return any(event["what"].startswith(start) for event in _status(farm)["recent_events"])


def _building(farm: Farm) -> list[int]:
    """The processes of the running build."""
    assert farm.process is not None
    return [pid for pid in descendants(farm.process.pid) if "bwrap" in cmdline(pid)]


@pytest.mark.slow
def test_a_canceled_build_ends_and_starts_again(farm: Farm, upstream: FakeIndex) -> None:
    add_release(upstream, "slow", "time.sleep(600)")
    farm.environ |= {"PIWHEELS_MASTER_RETRY_DELAY_S": "0"}
    farm.start("slow")
    wait_until(lambda: ": building" in farm.output and _building(farm), "the build has begun")
    first = _building(farm)
    assert farm.piw("builder sleep", "--now", "--yes", "builder-1").stdout == "sleep: builder-1\n"
    wait_until(lambda: not any(map(is_alive, first)), "its processes are gone")
    wait_until(lambda: _builder(farm).get("state") == "asleep", "the builder sleeps")
    assert _status(farm)["builds"] == 0, "nothing was recorded"
    farm.piw("builder wake", "builder-1")
    wait_until(lambda: _building(farm), "it builds again")
    # Now the builder itself: its process ends, and stays ended.
    second = _building(farm)
    build = wait_until(lambda: _builder(farm).get("build"), "the status names the build")
    farm.piw("builder kill", "--all", "--yes")
    wait_until(lambda: not any(map(is_alive, second)), "its processes are gone")
    wait_until(lambda: _builder(farm).get("state") == "ended", "it left")
    (killed,) = wait_until(lambda: _builds(farm), "the build is recorded")
    assert (killed["build"], killed["outcome"]) == (build, "canceled")
    assert killed["detail"].startswith("killed by ")
    wait_until(lambda: _has_event(farm, "builder builder-1 left: killed by "), "an event says why")


@pytest.mark.slow
def test_a_restarted_builder_finishes_its_build_and_reconnects(
    farm: Farm, upstream: FakeIndex
) -> None:
    add_release(upstream, "brief", "time.sleep(30)")
    farm.start("brief")
    wait_until(lambda: ": building" in farm.output, "the build has begun")
    farm.piw("builder restart", "--all", "--max-parallel", "1")
    wait_until(lambda: _builder(farm).get("state") == "draining", "it accepts no further job")
    wait_until(lambda: "brief" in farm.pages(), "its build was finished")
    wait_until(lambda: _has_event(farm, "builder builder-1 left: restarted by "), "it left")
    wait_until(lambda: _builder(farm).get("state") == "idle", "it is back")
    wait_until(lambda: _builder(farm).get("limit_s", 0) > 0, "its time limit is known")
