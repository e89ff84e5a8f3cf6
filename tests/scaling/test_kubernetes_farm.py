"""Builders on demand by kubectl: an API server of the tests, whose Jobs run as processes here."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from piwheels.protocol.keys import KeyStore
from tests.endtoend.conftest import Farm, add_release, farm, tools, upstream, wait_until
from tests.fake_index import FakeIndex
from tests.requires import requires_kubectl
from tests.scaling.kubernetes_api import KubernetesApi, kubernetes_api
from tests.scaling.small_pool import builders, set_pool
from tests.timeouts import WAIT_S

__all__ = ["farm", "tools", "upstream"]

pytestmark = [pytest.mark.slow, requires_kubectl()]


@dataclass
class Node:
    """Runs the pods of Jobs, and reports as the controller of Jobs does."""

    api: KubernetesApi
    folder: Path
    environ: dict[str, str]
    pods: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.ended.wait(0.1):
            for name, job in list(self.api.jobs.items()):
                if name not in self.pods:
                    self.pods[name] = self._start(job)
                    self.api.change(name, ready=1)
                elif self.pods[name].poll() is not None and job["status"].get("ready"):
                    code = self.pods[name].returncode
                    kind = "Failed" if code else "Complete"
                    self.api.change(name, ready=0, conditions=[{"type": kind, "status": "True"}])
        for pod in self.pods.values():
            pod.kill()
            pod.wait(WAIT_S)

    def _start(self, job: dict[str, Any]) -> "subprocess.Popen[bytes]":
        (container,) = job["spec"]["template"]["spec"]["containers"]
        given = {it["name"]: it["value"] for it in container["env"] if "value" in it}
        config = str(self.folder / "piwheels.toml")
        words = [*container["command"][1:], *container["args"]]
        words = [config if word == "/etc/piwheels/piwheels.toml" else word for word in words]
        with (self.folder / "pods.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "piwheels", *words],
                env={**os.environ, **self.environ, **given},
                stdout=log,
                stderr=log,
            )


@contextmanager
def running_node(node: Node) -> Iterator[None]:
    thread = threading.Thread(target=node.run)
    thread.start()
    try:
        yield
    finally:
        node.ended.set()
        thread.join(2 * WAIT_S)


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesApi]:
    with kubernetes_api(tmp_path) as (found, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        yield found


@pytest.fixture
def node(farm: Farm, api: KubernetesApi, tmp_path: Path) -> Iterator[Node]:
    """The node for a farm that knows its target and has no builder any more."""
    farm.start("--no-tui")
    farm.wait_until_ready()
    wait_until(lambda: builders(farm).get("builder-1", {}).get("state") == "idle", "it is up")
    farm.piw("builder drain", "builder-1")
    wait_until(lambda: builders(farm)["builder-1"]["state"] == "ended", "it has ended")
    set_pool(farm, max_builders=2)
    invited = farm.piw("builder invite", "--authorize", "--uses", "9", "--json")
    environ = {
        "PIWHEELS_UPSTREAM_URL": farm.upstream,
        "PIWHEELS_BUILDER_JOIN_TOKEN": json.loads(invited.stdout)["token"],
        "PIWHEELS_BUILDER_METRICS_BIND": "",
    }
    folder = tmp_path / "node"
    (folder / "jobs").mkdir(parents=True)
    for document in printed(farm):
        name = document["metadata"]["name"]
        if name == "piwheels-builder":
            text = document["data"]["piwheels.toml"]
            text = text.replace('"/keys"', '"keys"').replace('"/work"', '"work"')
            (folder / "piwheels.toml").write_text(text)
        if name == "piwheels-jobs":
            for file, job in document["data"].items():
                (folder / "jobs" / file).write_text(job)
    found = Node(api, folder, environ)
    with running_node(found):
        yield found


def printed(farm: Farm) -> list[Any]:
    """What `piw config kubernetes` prints for a farm."""
    key = KeyStore(farm.folder / "keys").require("master").public
    done = subprocess.run(
        [
            *(sys.executable, "-m", "piwheels", "config", "kubernetes", "--image", "builder:1"),
            *("--idle", "5s", "--config", str(farm.config)),
        ],
        env={**os.environ, "PIWHEELS_BUILDER_MASTER_KEY": key},
        check=True,
        capture_output=True,
        text=True,
    )
    return list(yaml.safe_load_all(done.stdout))


def scale(farm: Farm, node: Node, *options: str) -> dict[str, Any]:
    jobs = str(node.folder / "jobs")
    done = farm.piw("builder scale", "--kubernetes", jobs, "--json", *options)
    (plan,) = json.loads(done.stdout)
    return plan  # type: ignore[no-any-return]


def test_builders_are_started_for_a_queue_and_end_when_it_is_empty(
    farm: Farm, upstream: FakeIndex, api: KubernetesApi, node: Node
) -> None:
    assert scale(farm, node)["start"] == []
    names = [f"project{number}" for number in range(4)]
    for name in names:
        add_release(upstream, name, "time.sleep(3)")
    farm.piw("add", *names)
    planned = scale(farm, node, "--dry-run")
    assert (planned["waiting"], planned["start"]) == (4, [1, 2])
    assert not api.jobs
    assert scale(farm, node)["start"] == [1, 2]
    assert not api.wrong
    assert scale(farm, node)["start"] == [], "those that were started count"
    wait_until(lambda: set(farm.pages()) >= set(names), "everything is built")
    assert len(farm.check_web_root()) == 4

    def all_ended() -> bool:
        jobs = list(api.jobs.values())
        return all(job["status"].get("conditions") for job in jobs)

    wait_until(all_ended, "the builders have ended")
    kinds = {job["status"]["conditions"][0]["type"] for job in api.jobs.values()}
    assert kinds == {"Complete"}
    # Their slots are used again, and then the pool has to become smaller.
    for name in ("first", "second"):
        add_release(upstream, name, "time.sleep(15)")
    farm.piw("add", "first", "second")
    wait_until(lambda: scale(farm, node, "--dry-run")["waiting"] == 2, "they wait")
    set_pool(farm, max_builders=2, jobs_per_builder=1)
    assert scale(farm, node)["start"] == [1, 2]
    wait_until(lambda: building(farm) == {"small-1", "small-2"}, "both build")
    set_pool(farm, max_builders=1)
    assert scale(farm, node)["drain"] == ["small-2"]
    wait_until(lambda: builders(farm)["small-2"]["state"] == "ended", "it has ended")
    wait_until(lambda: len(farm.check_web_root()) == 6, "both finished their builds")


def building(farm: Farm) -> set[str]:
    return {label for label, view in builders(farm).items() if view["build"] is not None}
