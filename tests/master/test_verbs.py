"""The operators' verbs at a shell, against a real master: what they do, ask and print."""

import asyncio
import json
import subprocess
import sys
from typing import Any

from piwheels.model import Outcome
from piwheels.protocol import messages as m
from tests.master.conftest import WAIT_S, Master

Done = subprocess.CompletedProcess[str]


async def piw(master: Master, verb: str, *arguments: str, answer: str = "", code: int = 0) -> Done:
    """Run a verb, and expect an exit code."""
    command = [sys.executable, "-m", "piwheels", verb, "--config", str(master.config), *arguments]
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


async def test_killing_asks_first_and_names_what_would_be_lost(shared: Master) -> None:
    await shared.release("demo")
    async with shared.builder("pi1") as pi1, shared.builder("pi2"):
        await pi1.take()
        no = await piw(shared, "kill", "pi1", "pi2", answer="n\n", code=130)
        assert "pi1 builds demo 1.0 for cp311-bookworm-aarch64, for " in no.stderr
        assert "Kill these 2 builders (pi1, pi2)?" in no.stderr
        assert (await shared.jobs())["demo"]["claimed_by"] == "pi1"
        yes = await piw(shared, "kill", "--all", "--yes")
        assert yes.stdout == "kill: pi1, pi2\n"
        await pi1.hear(m.Stop)
        await shared.until("SELECT count(*) = 1 FROM builds WHERE outcome = 'killed'")


async def test_sleep_and_wake_and_abandon(shared: Master) -> None:
    await shared.release("demo")
    async with shared.builder() as pi1:
        await pi1.take()
        await piw(shared, "sleep", "pi1", "--now", answer="n\n", code=130)
        assert (await piw(shared, "sleep", "pi1")).stdout == "sleep: pi1\n"
        assert (await shared.jobs())["demo"]["claimed_by"] == "pi1"
        await piw(shared, "sleep", "pi1", "--now", "--yes")
        await pi1.hear(m.Abandon)
        await piw(shared, "wake", "--all")
        assert (await pi1.take()).attempt == 1
        await piw(shared, "abandon", "pi1", "-y")
        await pi1.hear(m.Abandon)
        gone = await piw(shared, "abandon", "pi1", "-y", code=1)
        assert gone.stderr == "piw: pi1 has no build in hand\n"


async def test_draining_those_of_whom_one_is_not_there_exits_1(shared: Master) -> None:
    async with shared.builder("pi5") as pi5:
        done = await piw(shared, "drain", "pi5", "pi9", "--rolling", "1", code=1)
        assert done.stdout == "drain: pi5; pi9 is not connected\n"
        await pi5.hear(m.Stop)
        await pi5.bye()
        await shared.until("SELECT count(*) = 1 FROM events WHERE action LIKE 'builder pi5 left%'")
        none = await piw(shared, "drain", "--all", code=1)
        assert none.stderr == "piw: no builder is connected\n"


async def test_prioritise_moves_a_job_and_says_so(shared: Master) -> None:
    await shared.release("demo")
    done = await piw(shared, "prioritise", "Demo==1.0", "--by", "2h")
    assert done.stdout == "1 jobs of demo are due 7200 s earlier\n"
    assert await shared.db.value("SELECT queued_at - due = '2 hours' FROM jobs")
    await piw(shared, "prioritise", "demo", "--by", "-30m")
    assert await shared.db.value("SELECT due - queued_at = '30 minutes' FROM jobs")


async def test_builds_and_events_are_listed_without_what_garbles_a_terminal(shared: Master) -> None:
    await shared.release("demo")
    async with shared.builder() as pi1:
        await pi1.take()
        await pi1.end(Outcome.FAILED, "error: \x1b[2Jfrob.h")
    await piw(shared, "pause")
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


async def test_the_status_as_json_is_all_that_a_console_shows(shared: Master) -> None:
    await shared.release("demo")
    async with shared.builder("pi7") as pi7:
        await pi7.take()
        await pi7.end(Outcome.FAILED)
        await piw(shared, "sleep", "pi7")
        told: dict[str, Any] = json.loads((await piw(shared, "status", "--json")).stdout)
        text = (await piw(shared, "status")).stdout
        await piw(shared, "wake", "pi7")
    (builder,) = told["builders"]
    assert builder["label"] == "pi7"
    assert {
        "state",
        "reason",
        "limit_s",
        "expected_s",
        "built_last_hour",
        "loads",
    } <= builder.keys()
    assert told["recent_builds"][0]["detail"] == "it broke"
    assert "put to sleep pi7" in [event["what"] for event in told["recent_events"]]
    assert told["queues"][0]["platform"] == "bookworm aarch64"
    assert told["instance"]
    (line,) = [line for line in text.splitlines() if line.startswith("pi7")]
    assert line.endswith("0/1")


async def test_quit_asks_first(master: Master) -> None:
    await piw(master, "quit", answer="n\n", code=130)
    assert (await master.ask(m.Status(), m.StatusReply)).instance
    await piw(master, "quit", "--yes")
    assert master.process is not None
    assert await asyncio.to_thread(master.process.wait, WAIT_S) == 0
    master.process = None
