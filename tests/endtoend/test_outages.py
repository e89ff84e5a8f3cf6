"""Faults of real file systems and of an index: nothing fails or is lost."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from piwheels.scheduler.builder_record import WAITING_FOR_WEB_ROOT
from tests import requires
from tests.endtoend.conftest import Farm, add_release, wait_until
from tests.fake_index import FakeIndex

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    """A file system of its own at a place."""
    place.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        requires.skip_or_fail("this account may not mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def remount(place: Path, options: str) -> None:
    """Remount a file system, as soon as no process writes to it."""

    def done() -> bool:
        command = ["mount", "-o", f"remount,{options}", str(place)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    wait_until(done, f"{place} is {options}")


def status(farm: Farm) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(farm.piw("status", "--json").stdout)
    return found


def only_builder(farm: Farm) -> dict[str, Any]:
    """The farm's builder, with empty texts for as long as it has not connected."""
    builders = status(farm)["builders"]
    return builders[0] if builders else {"state": "", "phase": "", "reason": ""}


def check_only_the_last_build_succeeded(farm: Farm, builds: int) -> None:
    """There were so many builds, and none but the last failed or quarantined anything."""
    wait_until(lambda: only_builder(farm)["state"] == "idle", "the builder is idle")
    wait_until(lambda: status(farm)["builds"] >= builds, f"{builds} builds are counted")
    found = status(farm)
    assert found["builds"] == builds, found
    assert len(found["builders"]) == 1, found["builders"]


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_a_web_root_that_rejects_files_for_a_while_loses_no_wheel(
    farm: Farm, upstream: FakeIndex, fault: str
) -> None:
    tree = farm.folder / "www"
    add_release(upstream, "alpha", "time.sleep(12)")
    with small_disk(tree, "8m"):
        farm.start("alpha", "--no-tui")
        farm.wait_until_ready()
        wait_until(lambda: only_builder(farm)["phase"] == "building", "alpha is being built")
        if fault == "full":
            with contextlib.suppress(OSError), (tree / "filler").open("wb", buffering=0) as file:
                while True:
                    os.write(file.fileno(), bytes(1 << 16))
        else:
            remount(tree, "ro")
        wait_until(lambda: "web root does not accept files" in status(farm)["waits"], "it says so")
        wait_until(
            lambda: only_builder(farm)["phase"] == WAITING_FOR_WEB_ROOT,
            "the wheel waits with its builder",
        )
        assert status(farm)["builds"] == 0
        if fault == "full":
            (tree / "filler").unlink()
        else:
            remount(tree, "rw")
        wait_until(lambda: "alpha" in farm.pages(), "the wheel is published")
        assert farm.check_web_root() == ["alpha-1.0-py3-none-any.whl"]
        wait_until(lambda: only_builder(farm)["state"] == "idle", "it waits for a job again")
        check_only_the_last_build_succeeded(farm, builds=1)
        farm.stop()


def test_a_builder_with_a_full_disk_gets_no_job(farm: Farm, upstream: FakeIndex) -> None:
    work = farm.folder / "builders" / "builder-1"
    farm.environ["PIWHEELS_BUILDER_WORK_DIR"] = str(farm.folder / "builders")
    add_release(upstream, "alpha")
    with small_disk(work, "300m"):
        farm.start("alpha", "--no-tui")
        farm.wait_until_ready()
        wait_until(
            lambda: "its disk has less than" in only_builder(farm)["reason"],
            "it says why it gets no job",
        )
        assert status(farm)["builds"] == 0
        remount(work, "size=2g")
        wait_until(lambda: "alpha" in farm.pages(), "alpha is built")
        check_only_the_last_build_succeeded(farm, builds=1)
        farm.stop()


def test_an_index_outage_of_a_minute_fails_nothing(farm: Farm, upstream: FakeIndex) -> None:
    add_release(upstream, "alpha")
    (path,) = (path for path in upstream.files if "alpha" in path)
    upstream.faults[path] = 503
    upstream.headers["Retry-After"] = "61"
    farm.start("alpha", "--no-tui")
    farm.wait_until_ready()
    wait_until(lambda: status(farm)["builds"] == 1, "it was tried")
    wait_until(lambda: status(farm)["last_hour"] == {"fetch-failed": 1}, "the outcome is counted")
    wait_until(lambda: "index fault" in only_builder(farm)["reason"], "the builder waits")
    upstream.faults.clear()
    wait_until(lambda: "alpha" in farm.pages(), "alpha is built")
    check_only_the_last_build_succeeded(farm, builds=2)
