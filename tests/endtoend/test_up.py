"""`piw up` as a new user runs it, with real processes, a real sandbox and a real pip."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from piwheels.local.ports import local_ip
from piwheels.scheduler.reasons import FARM_PAUSED
from tests import requires
from tests.endtoend.conftest import Farm, add_release, wait_until
from tests.fake_index import FakeIndex
from tests.local.processes import cmdline, descendants, is_alive
from tests.timeouts import WAIT_S


def test_requested_projects_are_built_and_can_be_installed(
    farm: Farm, upstream: FakeIndex, tmp_path: Path
) -> None:
    add_release(upstream, "alpha")
    add_release(upstream, "beta", tag="cpXY-cpXY-linux_x86_64")
    farm.start("alpha", "beta")
    index = farm.index()
    wait_until(lambda: len(farm.pages()) == 2, "both projects have a page")
    target = tmp_path / "target"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--isolated", "--no-cache-dir", "--quiet"),
            *("--index-url", index, "--target", str(target), "alpha", "beta"),
        ],
        check=True,
        env={**os.environ, "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""},
    )
    assert (target / "alpha.py").exists()
    assert (target / "beta.py").exists()

    def status() -> Any:
        return json.loads(farm.piw("status", "--json").stdout)

    wait_until(lambda: status()["last_hour"] == {"built": 2}, "both builds are counted")
    assert [builder["label"] for builder in status()["builders"]] == ["builder-1"]
    log = farm.folder / "logs" / "access.log"
    wait_until(lambda: "alpha-1.0-py3-none-any.whl" in log.read_text(), "the download is logged")
    wait_until(lambda: status()["downloads"]["today"] == 2, "both downloads are counted")
    counted = status()["downloads"]
    assert (counted["connected"], counted["total"], counted["last_30_days"]) == (True, 2, 2)
    assert {share["name"]: share["count"] for share in counted["top"]} == {"alpha": 1, "beta": 1}
    assert [share["name"].split()[0] for share in counted["installers"]] == ["pip"]


@pytest.mark.slow
def test_printed_command_lines_work(tmp_path: Path, upstream: FakeIndex) -> None:
    farm = Farm(tmp_path / "a farm's \u00fc", upstream.simple)
    add_release(upstream, "alpha")
    farm.start("alpha", "--host", "0.0.0.0")
    try:
        farm.wait_until_ready()
        wait_until(farm.pages, "the project has a page")
        message = dict(line.split(":", 1) for line in farm.output.splitlines() if ": " in line)
        assert local_ip() in message["index"]
        _run_typed(message["status"])
        target = tmp_path / "target"
        install = f"--isolated install --no-cache-dir --target {target}"
        _run_typed(message["pip"].replace("install", install, 1).replace("PROJECT", "alpha"))
        assert (target / "alpha.py").exists()
    finally:
        farm.stop()


def _run_typed(line: str) -> None:
    """Run a printed command line."""
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        shlex.split(line),
        env={**os.environ, "PATH": programs, "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


@pytest.mark.slow
def test_the_table_and_the_exit_code_report_the_results(farm: Farm, upstream: FakeIndex) -> None:
    add_release(upstream, "good")
    add_release(upstream, "bad", "raise SystemExit('error: no such header: frob.h')")
    upstream.add("wheelonly", "wheelonly-1.0-py3-none-any.whl", b"x")
    code = farm.run("good", "bad", "wheelonly", "nowhere", "--exit-when-idle")
    assert code == 1
    table = [line.split() for line in farm.output.splitlines()]
    good = next(line for line in table if line[:2] == ["good", "1.0"])
    assert (good[3], good[5]) == ("built", "good-1.0-py3-none-any.whl")
    abi = f"cp{sys.version_info.major}{sys.version_info.minor}"
    assert good[2] == abi, "a farm with one platform needs no more words"
    assert f"good 1.0 for {abi}: started" in farm.output
    bad = next(line for line in table if line[:2] == ["bad", "1.0"])
    assert bad[3] == "failed"
    assert "no such header: frob.h" in farm.output
    assert "wheelonly: the upstream index has no sdist of release 1.0" in farm.output
    assert "has no project nowhere" in farm.output
    assert "Traceback" not in farm.output


@pytest.mark.slow
def test_a_skipped_release_is_final_and_has_no_wheel(farm: Farm, upstream: FakeIndex) -> None:
    for name in ("kept", "out", "half"):
        add_release(upstream, name)
    farm.start()
    farm.wait_until_ready()
    farm.piw("pause")
    farm.piw("add", "kept", "out", "half")
    farm.piw("skip", "out", "--reason", "it asked to be left out")
    farm.piw("skip", "half==1.0", "--reason", "this one is known to hang")

    def counted() -> tuple[int, int]:
        status = json.loads(farm.piw("status", "--json").stdout)
        return status["projects"], status["releases"]

    wait_until(lambda: counted() == (3, 3), "what was added is counted")
    farm.stop()
    farm.start()
    wait_until(lambda: FARM_PAUSED in farm.output, "a farm that was paused says so")
    farm.piw("resume")
    farm.stop()
    assert farm.run("kept", "out", "half", "--exit-when-idle") == 1
    rows = {line.split()[0]: line for line in farm.output.splitlines() if " 1.0 " in line}
    assert "built" in rows["kept"]
    assert "skipped" in rows["out"]
    assert "it asked to be left out" in rows["out"]
    assert "this one is known to hang" in rows["half"]


@pytest.mark.slow
def test_a_release_removed_during_its_build_is_reported_and_exits_1(
    farm: Farm, upstream: FakeIndex
) -> None:
    add_release(upstream, "slow", "time.sleep(600)")
    process = farm.start("slow", "--exit-when-idle")
    wait_until(lambda: ": building" in farm.output, "the build has begun")
    farm.piw("remove", "slow", "--yes")
    assert process.wait(WAIT_S) == 1
    row = next(line.split() for line in farm.output.splitlines() if line.startswith("slow  "))
    assert row[:4] == ["slow", "1.0", "-", "removed"]


@pytest.mark.slow
def test_a_second_run_resumes_and_builds_nothing_twice(farm: Farm, upstream: FakeIndex) -> None:
    add_release(upstream, "alpha")
    assert farm.run("alpha", "--exit-when-idle") == 0
    add_release(upstream, "beta")
    assert farm.run("alpha", "beta", "--exit-when-idle") == 0
    assert "alpha 1.0 for" not in farm.output.split("seconds")[0].split("started")[0]
    assert sorted(farm.pages()) == ["alpha", "beta"]
    assert len(list(farm.folder.glob("www/logs/*/*/*.txt.gz"))) == 2


@pytest.mark.slow
def test_pure_wheels_are_built_once_and_others_for_each_interpreter(
    farm: Farm, upstream: FakeIndex
) -> None:
    add_release(upstream, "pure")
    add_release(upstream, "native", tag="cpXY-cpXY-linux_x86_64")
    add_release(upstream, "stable", tag="cp39-abi3-linux_x86_64")
    pythons = [str(requires.find_python(version)) for version in ("3.13", "3.9")]
    code = farm.run(
        "pure", "native", "stable", "--exit-when-idle", "--builders", "2",
        *(word for python in pythons for word in ("--python", python)),
    )  # fmt: skip
    assert code == 0, farm.output
    assert farm.check_web_root() == [
        "native-1.0-cp313-cp313-linux_x86_64.whl",
        "native-1.0-cp39-cp39-linux_x86_64.whl",
        "pure-1.0-py3-none-any.whl",
        "stable-1.0-cp39-abi3-linux_x86_64.whl",
    ]


def test_a_directory_in_use_is_named(farm: Farm) -> None:
    farm.start()
    farm.wait_until_ready()
    second = subprocess.run(
        [sys.executable, "-m", "piwheels", "up", "--dir", str(farm.folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert second.returncode == 1
    assert second.stderr.startswith(f"piw: a farm is already running in {farm.folder}")


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupt_stops_every_process(
    farm: Farm, upstream: FakeIndex, number: signal.Signals
) -> None:
    add_release(upstream, "slow", "time.sleep(600)")
    process = farm.start("slow")
    wait_until(lambda: ": building" in farm.output, "the build has begun")
    everything = descendants(process.pid)
    assert len(everything) > 5
    process.send_signal(number)
    assert process.wait(WAIT_S) == 128 + number
    wait_until(lambda: not any(map(is_alive, everything)), "nothing is left")
    assert "Traceback" not in farm.output


def test_a_killed_farm_leaves_no_processes_and_can_be_resumed(
    farm: Farm, upstream: FakeIndex
) -> None:
    add_release(upstream, "slow", "time.sleep(3)")
    process = farm.start("slow")
    wait_until(lambda: ": building" in farm.output, "the build has begun")
    everything = descendants(process.pid)
    process.kill()
    process.wait()
    wait_until(lambda: not any(map(is_alive, everything)), "its children died with it")
    assert farm.run("slow", "--exit-when-idle") == 0


@pytest.mark.slow
def test_operator_commands_work_on_a_farm_of_piw_up(farm: Farm, upstream: FakeIndex) -> None:
    add_release(upstream, "alpha")
    add_release(upstream, "bad", "raise SystemExit('error: it is broken')")
    farm.start()
    farm.wait_until_ready()
    assert farm.piw("pause").stdout.startswith("no more jobs")
    assert farm.piw("add", "alpha", "bad").stdout == "alpha: 1.0\nbad: 1.0\n"
    wait_until(lambda: FARM_PAUSED in farm.piw("explain", "alpha").stdout, "the pause is named")
    farm.piw("resume")
    wait_until(lambda: "installs there" in farm.piw("explain", "alpha").stdout, "alpha is built")
    wait_until(lambda: "piw retry" in farm.piw("explain", "bad").stdout, "bad has failed")
    failed = json.loads(farm.piw("explain", "bad", "--json").stdout)["answers"][0]
    assert failed["state"] == "failed"
    assert "it is broken" in failed["text"]
    assert "error: it is broken" in farm.piw("log", str(failed["build"])).stdout
    lines = farm.piw("log", str(failed["build"]), "--json").stdout.splitlines()
    assert "error: it is broken" in "".join(json.loads(line)["text"] for line in lines)
    assert json.loads(lines[-1])["finished"]
    assert "queued again" in farm.piw("retry", "bad").stdout
    assert farm.piw("pages rebuild", "--kind", "simple").stdout.endswith(
        "pages will be written again\n"
    )
    assert json.loads(farm.piw("pages rebuild", "--json").stdout)["count"] > 1
    assert farm.piw("pages rebuild", "--kind", "home").stdout == "1 page will be written again\n"
    assert farm.piw("alias", "Old.Alpha", "alpha").stdout == "Old.Alpha now redirects to alpha\n"
    leads = farm.folder / "www" / "project" / "Old.Alpha" / "index.html"
    wait_until(leads.exists, "the old name leads to it")
    nobody = farm.piw("explain", "nobody").stdout
    assert "piw add nobody" in nobody
    gone = farm.piw("remove", "alpha", "--yes")
    assert gone.stdout.startswith("alpha was removed")
    wait_until(lambda: "alpha" not in farm.pages(), "its page is gone")


@pytest.mark.slow
def test_a_rebuilt_wheel_gets_a_build_number(farm: Farm, upstream: FakeIndex) -> None:
    add_release(upstream, "stamp", "return time.time()")
    farm.start("stamp")
    farm.wait_until_ready()
    wait_until(lambda: farm.check_web_root() == ["stamp-1.0-py3-none-any.whl"], "it is built")
    farm.piw("rebuild", "stamp")
    both = ["stamp-1.0-1-py3-none-any.whl", "stamp-1.0-py3-none-any.whl"]
    wait_until(lambda: farm.check_web_root() == both, "it is built again under another name")


@pytest.mark.slow
def test_a_killed_page_renderer_is_restarted(farm: Farm, upstream: FakeIndex) -> None:
    add_release(upstream, "alpha")
    add_release(upstream, "beta")
    process = farm.start("alpha")
    farm.wait_until_ready()
    wait_until(lambda: "alpha" in farm.pages(), "the first page is written")
    renderers = [pid for pid in descendants(process.pid) if "spawn_main" in cmdline(pid)]
    assert renderers
    for pid in renderers:
        os.kill(pid, signal.SIGKILL)
    farm.piw("add", "beta")
    wait_until(lambda: "beta" in farm.pages(), "the second page is written")
    assert "internal error" not in (farm.folder / "logs" / "master.log").read_text()


class StallingDict(dict[str, Any]):
    """Projects whose pages come only when they may."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked, self.may = threading.Event(), threading.Event()

    def __contains__(self, key: object) -> bool:
        if key == "alpha":
            self.asked.set()
            self.may.wait(WAIT_S)
        return super().__contains__(key)


@pytest.mark.slow
def test_a_master_killed_during_the_first_request_is_restarted(
    farm: Farm, upstream: FakeIndex
) -> None:
    add_release(upstream, "alpha")
    pages = StallingDict(upstream.projects)
    upstream.projects = pages
    process = farm.start("alpha", "--exit-when-idle", "--no-tui")
    try:
        assert pages.asked.wait(WAIT_S)
        (master,) = (pid for pid in descendants(process.pid) if " piwheels master " in cmdline(pid))
        os.kill(master, signal.SIGKILL)
    finally:
        pages.may.set()
    assert process.wait(2 * WAIT_S) == 0, farm.output
    assert "is `piw master` or `piw up` running" not in farm.output
    assert "alpha" in farm.pages()


def test_a_builder_that_cannot_start_is_reported_immediately(
    farm: Farm, upstream: FakeIndex
) -> None:
    add_release(upstream, "alpha")
    farm.environ["PIWHEELS_BUILDER_EXTRA_READONLY_PATHS"] = "/no/such/folder"
    assert farm.run("alpha", "--no-tui") == 1
    log = (farm.folder / "logs" / "builder-1.log").read_text()
    assert "/no/such/folder" in farm.output
    assert log.count("/no/such/folder") == 1, "one start was enough"
