"""Operator commands at a shell, against a real master: what they do, ask and print."""

import asyncio
import itertools
import json
import os
import pty
import subprocess
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from piwheels.cli.remote import commands, listings, projects
from piwheels.config import Config, load
from piwheels.db import target_queries
from piwheels.errors import UsageError
from piwheels.model import Outcome, target_words
from piwheels.protocol import messages as m
from piwheels.protocol.commands import definitions
from piwheels.requirements import parse_requirements
from piwheels.scheduler.reasons import NO_RUNNING_BUILD, NOT_CONNECTED
from piwheels.wheel.tags import make_target as tag_target
from tests.control.conftest import TARGET, Master
from tests.fake_index import FakeIndex
from tests.timeouts import WAIT_S
from tests.wheel.factories import make_wheel, wheel_members, write_zip

Done = subprocess.CompletedProcess[str]


async def piw(master: Master, verb: str, *arguments: str, answer: str = "", code: int = 0) -> Done:
    """Run a command ("builder kill"), and expect an exit code."""
    command = [
        *(sys.executable, "-m", "piwheels", *verb.split()),
        *("--config", str(master.config), *arguments),
    ]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        input=answer,
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S * 2,
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == code, done.stdout + done.stderr
    return done


async def test_kill_asks_for_confirmation_and_names_running_builds(shared: Master) -> None:
    await shared.release("demo")
    async with shared.builder("pi1") as pi1, shared.builder("pi2"):
        await pi1.take_job()
        no = await piw(shared, "builder kill", "pi1", "pi2", answer="n\n", code=130)
        assert "pi1 is building demo 1.0 for cp311-bookworm-aarch64 (for " in no.stderr
        assert "Kill these 2 builders (pi1, pi2)?" in no.stderr
        assert (await shared.jobs())["demo"]["claimed_by"] == "pi1"
        yes = await piw(shared, "builder kill", "--all", "--yes")
        assert yes.stdout == "kill: pi1, pi2\n"
        await pi1.receive_type(m.Shutdown)
        await shared.wait_for_query("SELECT count(*) = 1 FROM builds WHERE outcome = 'canceled'")


async def test_sleep_wake_and_cancel(shared: Master) -> None:
    await shared.release("demo")
    async with shared.builder() as pi1:
        await pi1.take_job()
        await piw(shared, "builder sleep", "pi1", "--now", answer="n\n", code=130)
        assert (await piw(shared, "builder sleep", "pi1")).stdout == "sleep: pi1\n"
        assert (await shared.jobs())["demo"]["claimed_by"] == "pi1"
        await piw(shared, "builder sleep", "pi1", "--now", "--yes")
        await pi1.receive_type(m.CancelBuild)
        await piw(shared, "builder wake", "--all")
        assert (await pi1.take_job()).attempt == 1
        await piw(shared, "builder cancel", "pi1", "-y")
        await pi1.receive_type(m.CancelBuild)
        gone = await piw(shared, "builder cancel", "pi1", "-y", code=1)
        assert gone.stderr == f"piw: pi1 {NO_RUNNING_BUILD}\n"


async def test_a_restart_that_includes_a_disconnected_builder_exits_1(shared: Master) -> None:
    async with shared.builder("pi5") as pi5:
        done = await piw(shared, "builder restart", "pi5", "pi9", "--max-parallel", "1", code=1)
        assert done.stdout == f"restart: pi5; pi9 {NOT_CONNECTED}\n"
        await pi5.receive_type(m.Shutdown)
        await pi5.say_goodbye()
        await shared.wait_for_query(
            "SELECT count(*) = 1 FROM events WHERE text LIKE 'builder pi5 left%'"
        )
        none = await piw(shared, "builder drain", "--all", code=1)
        assert none.stderr == "piw: no builder is connected\n"


async def test_prioritize_moves_a_job_and_prints_the_result(shared: Master) -> None:
    await shared.release("demo")
    done = await piw(shared, "prioritize", "Demo==1.0", "--by", "2h")
    assert done.stdout == "1 job of demo was moved ahead by 2h\n"
    assert await shared.db.value("SELECT queued_at - priority_time = '2 hours' FROM jobs")
    await piw(shared, "prioritize", "demo", "--by", "-30m")
    assert await shared.db.value("SELECT priority_time - queued_at = '30 minutes' FROM jobs")


async def test_a_log_has_no_control_characters_on_a_terminal_and_all_bytes_in_a_file(
    shared: Master,
) -> None:
    message = "caf\u00e9\t\x1b]52;c;ZXZpbA==\x07 \u202eend\r\n"
    await shared.release("demo")
    async with shared.builder() as pi1:
        job = await pi1.take_job()
        data = message.encode()
        await pi1.dealer.send(m.LogChunk(build=job.build_id, offset=0, data=data))
        await pi1.finish_build()
    assert (await piw(shared, "log", str(job.build_id))).stdout.encode() == data.replace(b"\r", b"")
    leader, follower = pty.openpty()
    command = ["-m", "piwheels", "log", "--config", str(shared.config), str(job.build_id)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=follower, env={**os.environ, "PYTHONUTF8": "1"}
    )
    assert await asyncio.wait_for(process.wait(), WAIT_S) == 0
    shown = os.read(leader, 4096).decode().expandtabs(1)
    for descriptor in (leader, follower):
        os.close(descriptor)
    assert shown.split() == ["caf\u00e9", "?]52;c;ZXZpbA==?", "?end"]


async def test_lists_of_builds_and_events_have_no_control_characters(shared: Master) -> None:
    await shared.release("demo")
    async with shared.builder() as pi1:
        await pi1.take_job()
        await pi1.finish_build(Outcome.FAILED, "error: \x1b[2Jfrob.h")
    await piw(shared, "pause")
    failures = (await piw(shared, "failures")).stdout.splitlines()
    assert failures[1].split()[:5] == ["unknown", "error:", "?[2Jfrob.h", "1", "1"]
    assert failures[-1] == "1 release failed and not built since, for 1 cause"
    groups = json.loads((await piw(shared, "failures", "--json")).stdout)["groups"]
    assert [group["releases"] for group in groups] == [1]
    builds = (await piw(shared, "builds", "--failed")).stdout.splitlines()
    assert builds[0].split() == [
        "ended", "build", "release", "target", "builder", "outcome", "took",
    ]  # fmt: skip
    assert builds[1].endswith("error: ?[2Jfrob.h")
    assert (await piw(shared, "builds", "--slower-than", "1h")).stdout == "no such builds\n"
    events = (await piw(shared, "events", "-n", "5")).stdout.splitlines()
    assert ["pause", "the", "farm", "applied"] in [line.split()[4:] for line in events]
    listed = json.loads((await piw(shared, "builds", "demo", "--json")).stdout)["builds"]
    assert [build["outcome"] for build in listed] == ["failed"]


async def test_the_json_status_has_everything_that_the_console_shows(shared: Master) -> None:
    await shared.release("demo")
    async with shared.builder("pi7") as pi7:
        await pi7.take_job()
        await pi7.finish_build(Outcome.FAILED)
        await piw(shared, "builder sleep", "pi7")
        json_output: dict[str, Any] = json.loads((await piw(shared, "status", "--json")).stdout)
        text = (await piw(shared, "status")).stdout
        await piw(shared, "builder wake", "pi7")
    (builder,) = json_output["builders"]
    assert builder["label"] == "pi7"
    assert {
        "state",
        "reason",
        "limit_s",
        "expected_s",
        "built_last_hour",
        "load_history",
    } <= builder.keys()
    assert json_output["recent_builds"][0]["detail"] == "it broke"
    assert "sleep pi7" in [event["what"] for event in json_output["recent_events"]]
    assert json_output["queues"][0]["platform"] == "bookworm aarch64"
    assert json_output["instance"]
    (line,) = [line for line in text.splitlines() if line.startswith("pi7")]
    assert line.endswith("0/1")


async def test_markers_in_a_requirements_file_are_evaluated_for_the_targets_of_the_farm(
    shared: Master, tmp_path: Path
) -> None:
    targets = await target_queries.targets(shared.db)
    file = tmp_path / "requirements.txt"
    file.write_text(
        f'here; python_version == "{targets[0].python}"\n'
        'nowhere; python_version < "3"\n'
        "https://files.example/a.tar.gz\n"
    )
    done = await piw(shared, "add", "-r", str(file), code=1)
    first, second, third = done.stderr.splitlines()
    assert first.startswith(
        f"note: {file}, line 3: https://files.example/a.tar.gz is not a release"
    )
    assert second.startswith(f"note: {file}, line 2: nowhere is ignored; no target matches")
    assert third.startswith("here: "), "it was asked for, and the upstream does not know it"
    file.write_text('nowhere; python_version < "3"\n')
    done = await piw(shared, "add", "-r", str(file))
    assert done.stderr.splitlines()[-1] == "Nothing to build."


async def test_remove_asks_for_confirmation(shared: Master) -> None:
    await shared.release("demo")
    no = await piw(shared, "remove", "demo==1.0", "--json", answer="n\n", code=130)
    assert (no.stdout, "Remove demo 1.0 and its wheels" in no.stderr) == ("", True)
    assert "demo" in await shared.jobs()
    yes = await piw(shared, "remove", "demo==1.0", answer="y\n")
    assert yes.stdout.startswith("demo 1.0 was removed")
    assert await shared.jobs() == {}
    gone = await piw(shared, "remove", "demo==1.0", "--yes", code=1)
    assert gone.stderr == "piw: this farm has no release 1.0 of demo\n"


async def test_an_imported_wheel_is_checked_and_published(shared: Master, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    done = await piw(shared, "import", str(wheel), "--json")
    assert json.loads(done.stdout)["text"] == f"{wheel.name} was published"
    page = shared.folder / "www" / "simple" / "demo" / "index.v1_json"
    await shared.wait_for_file(page)
    (file,) = json.loads(page.read_bytes())["files"]
    assert (page.parent / file["url"]).read_bytes() == wheel.read_bytes()
    for made, message in (
        (make_wheel(tmp_path, tags="cp39-cp39-win32"), "installs on none of this farm's targets"),
        (
            write_zip(tmp_path / "other-1.0-py3-none-any.whl", wheel_members()),
            "is not the .dist-info directory of",
        ),
    ):
        refused = await piw(shared, "import", str(made), code=1)
        assert message in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    assert await shared.db.value("SELECT count(*) = 1 FROM files")


def command(config: Config, name: str, /, **values: object) -> Awaitable[int]:
    """Send a command as the command line does."""
    (definition,) = (item for item in definitions() if item.name == name)
    return commands.run_command(config, definition, values | {"as_json": True})


async def test_every_command_can_print_json(
    shared: Master, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load(shared.config).config

    async def json_output(verb: Awaitable[int], code: int = 0) -> Any:
        capsys.readouterr()
        assert await verb == code
        return json.loads(capsys.readouterr().out)

    await shared.release("demo")
    requested = parse_requirements(["nobody"], [])
    added = await json_output(projects.add(config, requested, latest=1, as_json=True), code=1)
    assert "has no project nobody" in added["added"][0]["problem"]
    for name, values in (
        ("pause", {}),
        ("resume", {}),
        ("prioritize", {"release": "demo", "by": "1h"}),
        ("skip", {"release": "demo", "reason": "enough"}),
        ("unskip", {"release": "demo"}),
        ("alias", {"name": "dem.o", "project": "demo"}),
        ("policy", {"project": "demo", "policy": "default"}),
    ):
        assert (await json_output(command(config, name, **values)))["text"]
    async with shared.builder("pi8") as pi8:
        for name in ("builder sleep", "builder wake"):
            given = await json_output(command(config, name, labels=("pi8",)))
            assert given["count"] == 1
        await pi8.take_job()
        await pi8.finish_build(Outcome.FAILED)
        none = command(config, "builder wake", labels=("pi8", "pi9"))
        assert (await json_output(none, code=1))["text"]
    explained = await json_output(projects.explain(config, "demo", None, as_json=True))
    assert [answer["state"] for answer in explained["answers"]] == ["failed"]
    assert (await json_output(command(config, "retry", release="demo")))["count"]
    added = command(config, "recipe add", project="demo", packages=("libpq-dev",))
    assert "libpq-dev added to the builds of 1 project" in (await json_output(added))["text"]
    for wrong in (("Not_a_package",), ("libpq-dev",) * 0):
        with pytest.raises(UsageError, match="Debian packages"):
            await command(config, "recipe add", project="demo", packages=wrong)
    dropped = await json_output(command(config, "recipe drop", project="demo"))
    assert dropped["text"] == "the builds of demo no longer get libpq-dev"
    assert (await json_output(listings.events(config, limit=1, before=None, as_json=True)))[
        "events"
    ]
    removed = command(config, "remove", release="demo", yes=True)
    assert (await json_output(removed))["text"].startswith("demo was removed")


async def test_a_project_gets_a_policy_for_wheels_of_the_upstream(
    shared: Master, empty_upstream: FakeIndex
) -> None:
    wheel = "sample-1.0-py3-none-any.whl"
    empty_upstream.add("sample", "sample-1.0.tar.gz", b"sdist")
    empty_upstream.add("sample", wheel, b"wheel")
    await piw(shared, "add", "sample")
    begins = "the policy of sample for wheels of the upstream is now "
    done = await piw(shared, "policy", "sample", "missing")
    assert done.stdout == f"{begins}missing; now counting: 1 wheel\n"
    assert (
        f"upstream has {wheel}, which covers it" in (await piw(shared, "explain", "sample")).stdout
    )
    assert await shared.db.value("SELECT count(*) FROM jobs WHERE project = 'sample'") == 0
    done = await piw(shared, "policy", "sample", "default")
    assert done.stdout == f"{begins}the farm's (build); no longer counting: 1 wheel\n"
    assert await shared.db.value("SELECT count(*) FROM jobs WHERE project = 'sample'") == 1
    assert "policy of sample: missing" in (await piw(shared, "events")).stdout
    refused = await piw(shared, "policy", "nobody", "missing", code=1)
    assert refused.stderr == "piw: this farm has no project nobody\n"
    refused = await piw(shared, "policy", "sample", "borrow", code=2)
    assert "'borrow' is not one of 'build', 'missing', 'mirror', 'default'" in refused.stderr
    empty_upstream.projects.clear()


async def test_a_target_is_named_by_its_abi_if_there_is_one_platform(master: Master) -> None:
    await master.release("demo")
    async with master.builder() as pi1:
        await pi1.take_job()
        building = (await piw(master, "status")).stdout
        await pi1.finish_build()
    assert "demo 1.0 for cp311: building" in building
    assert TARGET.name not in building
    assert " cp311 " in (await piw(master, "builds")).stdout
    explained = (await piw(master, "explain", "demo", "--target", "cp311")).stdout
    assert explained.startswith(f"demo 1.0 cp311 ({target_words(TARGET.name)}): ")
    json_output = json.loads(
        (await piw(master, "explain", "demo", "--target", "cp311", "--json")).stdout
    )
    assert json_output["answers"][0]["target"] == TARGET.name, "machines are told whole names"
    assert (
        await piw(master, "retry", "demo", "--target", "cp311")
    ).stdout == "1 build of demo was queued again\n"
    skipped = await piw(master, "skip", "--target", "cp311", "--reason", "enough")
    assert skipped.stdout == f"target {TARGET.name} is skipped: enough\n"
    await piw(master, "unskip", "--target", "cp311")
    trixie = [
        tag_target(
            python_full=f"3.{minor}.1",
            implementation="cp",
            abi=f"cp3{minor}",
            arch="aarch64",
            os="trixie",
            glibc="2.41",
        )
        for minor in (11, 13)
    ]
    await master.ask(m.AddTargets(targets=tuple(trixie)), m.CommandSucceeded)
    assert f" {TARGET.name} " in (await piw(master, "builds")).stdout
    explained = (await piw(master, "explain", "demo", "--target", "cp313")).stdout
    assert explained.startswith("demo 1.0 cp313-trixie-aarch64 (Raspberry Pi OS 13 (trixie), ")
    refused = await piw(master, "explain", "demo", "--target", "cp311", code=1)
    both = f"{TARGET.name} and cp311-trixie-aarch64"
    assert refused.stderr == f"piw: cp311 matches {both}; name one of them\n"


async def test_master_stop_asks_for_confirmation(master: Master) -> None:
    await piw(master, "master stop", answer="n\n", code=130)
    assert (await master.ask(m.Status(), m.StatusReply)).instance
    await piw(master, "master stop", "--yes")
    assert master.process is not None
    assert await asyncio.to_thread(master.process.wait, WAIT_S) == 0
    master.process = None


async def test_builder_list_shows_the_connected_builders(shared: Master) -> None:
    await shared.release("demo")
    async with (
        shared.builder("pi1") as pi1,
        shared.builder("pi2") as pi2,
        pi1.keep_alive(),  # or they are silent when a busy machine takes long for a command
        pi2.keep_alive(),
    ):
        await pi1.take_job()
        lines = (await piw(shared, "builder list")).stdout.splitlines()
        listed = json.loads((await piw(shared, "builder list", "--json")).stdout)
    assert [line.split()[0] for line in lines if line.startswith("pi")] == ["pi1", "pi2"]
    assert "demo 1.0" in next(line for line in lines if line.startswith("pi1"))
    assert [(builder["label"], builder["state"]) for builder in listed] == [
        ("pi1", "building"),
        ("pi2", "idle"),
    ]


async def test_builder_history_shows_each_transition_and_its_cause(shared: Master) -> None:
    await shared.release("demo")
    async with shared.builder("pi4") as pi4:
        job = await pi4.take_job()
        await shared.command_builders(m.BuilderCommand.SLEEP, "pi4")
        await pi4.finish_build()
        lines = (await piw(shared, "builder history", "pi4")).stdout.splitlines()
        history = json.loads((await piw(shared, "builder history", "pi4", "--json")).stdout)
        await shared.command_builders(m.BuilderCommand.WAKE, "pi4")
    assert lines[0].split() == ["time", "event", "before", "after", "build", "reason"]
    transitions = history["transitions"]
    assert len(lines) == 1 + len(transitions)
    assert transitions[0]["before"] == "disconnected"
    assert any(step["event"] == "sleep by ann@desk" for step in transitions)
    assert any((step["build"], step["after"]) == (job.build_id, "building") for step in transitions)
    for step, following in itertools.pairwise(transitions):
        assert step["after"] == following["before"]


async def test_builder_history_of_an_unknown_builder_is_one_line(shared: Master) -> None:
    unknown = await piw(shared, "builder history", "pi99", code=1)
    assert unknown.stdout == "pi99 has not connected since the master was started\n"
