"""Builders on demand on Slurm's own daemons: started for a queue, and gone when it is empty."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.endtoend.conftest import Farm, add_release, farm, tools, upstream, wait_until
from tests.fake_index import FakeIndex
from tests.requires import requires_program
from tests.scaling.slurm_cluster import SlurmCluster, slurm_cluster
from tests.scaling.small_pool import builders, set_pool

__all__ = ["farm", "tools", "upstream"]

pytestmark = [
    pytest.mark.slow,
    requires_program("slurmctld"),
    requires_program("munged"),
    pytest.mark.skipif(os.getuid() != 0, reason="slurmd starts jobs as root alone"),
]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    with slurm_cluster(tmp_path / "slurm") as found:
        for name, value in found.environ.items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.fixture
def script(farm: Farm, tmp_path: Path, cluster: SlurmCluster) -> Path:
    """The script for a farm that knows its target and has no builder any more."""
    farm.start("--no-tui")
    farm.wait_until_ready()
    wait_until(lambda: builders(farm).get("builder-1", {}).get("state") == "idle", "it is up")
    farm.piw("builder drain", "builder-1")
    wait_until(lambda: builders(farm)["builder-1"]["state"] == "ended", "it has ended")
    set_pool(farm, max_builders=2)
    config = tmp_path / "builder.toml"
    config.write_text(
        f'[builder]\nkey_dir = "keys"\nwork_dir = "work"\n[upstream]\nurl = "{farm.upstream}"\n'
    )
    invited = farm.piw("builder invite", "--authorize", "--uses", "9", "--master", "127.0.0.1")
    token = next(word for word in invited.stdout.split() if word.startswith("piw1_"))
    joiner = Farm(tmp_path, farm.upstream)
    (tmp_path / "piwheels.toml").write_text(config.read_text())
    joiner.piw("builder join", token, "--at-start")
    printed = farm.piw(
        *("config slurm", "--only", "script", "--idle", "5s"),
        *("--builder-config", str(tmp_path / "piwheels.toml")),
    )
    found = tmp_path / "slurm-builder.sh"
    found.write_text(printed.stdout.replace("/var/tmp", str(tmp_path)))
    return found


def scale(farm: Farm, script: Path, *options: str) -> dict[str, Any]:
    done = farm.piw("builder scale", str(script), "--json", *options)
    (plan,) = json.loads(done.stdout)
    return plan  # type: ignore[no-any-return]


def test_builders_are_started_for_a_queue_and_end_when_it_is_empty(
    farm: Farm, upstream: FakeIndex, cluster: SlurmCluster, script: Path, tmp_path: Path
) -> None:
    assert scale(farm, script)["start"] == []
    names = [f"project{number}" for number in range(4)]
    for name in names:
        add_release(upstream, name, "time.sleep(3)")
    farm.piw("add", *names)
    planned = scale(farm, script, "--dry-run")
    assert (planned["waiting"], planned["start"]) == (4, [1, 2])
    assert not cluster.tasks()
    assert scale(farm, script)["start"] == [1, 2]
    assert set(cluster.tasks()) == {"piwheels-small-1", "piwheels-small-2"}
    assert scale(farm, script)["start"] == [], "those that were started count"
    wait_until(lambda: set(farm.pages()) >= set(names), "everything is built")
    assert len(farm.check_web_root()) == 4
    views = wait_until(
        lambda: (
            (found := {label: view for label, view in builders(farm).items() if view["on_demand"]})
            and all(view["state"] == "ended" for view in found.values())
            and found
        ),
        "the builders have ended",
    )
    assert {label: view["reason"] for label, view in views.items()} == {
        "small-1": "no job for 5s",
        "small-2": "no job for 5s",
    }
    wait_until(lambda: not cluster.tasks(), "the node is free")
    assert len(list((tmp_path / "keys").glob("builder-small-*.secret"))) == 2


def test_a_canceled_builder_gives_its_job_back_and_a_smaller_pool_is_drained(
    farm: Farm, upstream: FakeIndex, cluster: SlurmCluster, script: Path
) -> None:
    for name in ("first", "second", "third"):
        add_release(upstream, name, "time.sleep(15)")
    farm.piw("add", "first", "second", "third")
    scale(farm, script)
    wait_until(lambda: building(farm) == {"small-1", "small-2"}, "both build")
    cluster.run("scancel", "--name=piwheels-small")
    wait_until(lambda: not building(farm) and not cluster.tasks(), "both have ended")
    assert {builders(farm)[label]["state"] for label in ("small-1", "small-2")} == {"ended"}
    assert json.loads(farm.piw("builds", "--json").stdout)["builds"] == [], "nothing failed"
    # Their slots are used again, by the same keys; and then the pool has to become smaller.
    assert scale(farm, script)["start"] == [1, 2]
    wait_until(lambda: building(farm) == {"small-1", "small-2"}, "both build again")
    set_pool(farm, max_builders=1)
    assert scale(farm, script)["drain"] == ["small-2"]
    wait_until(lambda: builders(farm)["small-2"]["state"] == "ended", "it has ended")
    wait_until(lambda: len(farm.pages()) >= 1, "it finished its build")
    wait_until(lambda: len(farm.check_web_root()) == 3, "the other one builds the rest")
    assert scale(farm, script)["drain"] == []


def building(farm: Farm) -> set[str]:
    return {label for label, view in builders(farm).items() if view["build"] is not None}
