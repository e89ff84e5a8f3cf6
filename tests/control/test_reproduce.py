"""The command that has published wheels built again, by the control socket of a real master."""

import signal

import pytest

from piwheels.db import job_queue
from piwheels.errors import RejectedError
from piwheels.model import AuditEvent, Outcome, Reproduction
from piwheels.protocol import messages as m
from tests.control.conftest import TARGET, Master
from tests.db.scenario import complete_as_built, make_wheel

_QUERY = m.ListReproductions(project="demo", version="1.0")


async def publish(master: Master) -> None:
    """A wheel that a builder built that is gone."""
    await master.release("demo")
    job = await job_queue.claim(master.db, "pi0", [TARGET.name])
    assert job is not None
    assert await complete_as_built(
        master.db, job, "pi0", make_wheel(job, "cp311-cp311-linux_aarch64")
    )


async def newest(master: Master) -> Reproduction:
    (found,) = (await master.ask(_QUERY, m.ReproductionsReply)).reproductions
    return found


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (m.Reproduce(project="demo"), "name one version, as in demo==1.0"),
        (m.Reproduce(project="demo", version="2.0"), "demo 2.0 has no published wheel"),
        (m.Reproduce(project="demo", version="1.0", target="cp399"), "has no published wheel"),
    ],
)
async def test_what_cannot_be_built_again_is_rejected(
    shared: Master, command: m.Reproduce, reason: str
) -> None:
    await publish(shared)
    with pytest.raises(RejectedError, match=reason):
        await shared.ask(command, m.CommandSucceeded)
    assert (await shared.ask(_QUERY, m.ReproductionsReply)).reproductions == ()


async def test_wheels_from_elsewhere_and_of_a_replaced_sdist_are_rejected(shared: Master) -> None:
    await publish(shared)
    command = m.Reproduce(project="demo", version="1.0")
    await shared.db.execute("UPDATE releases SET sdist_replaced_build_id = 1000000")
    with pytest.raises(RejectedError, match="its sdist was replaced upstream after it was built"):
        await shared.ask(command, m.CommandSucceeded)
    await shared.db.execute("UPDATE files SET mirrored_from = 'https://upstream/demo.whl'")
    with pytest.raises(RejectedError, match="taken from the upstream index, and not built here"):
        await shared.ask(command, m.CommandSucceeded)


@pytest.mark.slow
async def test_a_reproduction_survives_a_killed_master_and_fails_without_harm(
    master: Master,
) -> None:
    await publish(master)
    command = m.Reproduce(project="demo", version="1.0", target="cp311")
    async with master.watch() as watcher, master.builder() as builder:
        reply = await master.ask(command, m.CommandSucceeded)
        assert (
            reply.text == f"1 wheel of demo 1.0 for {TARGET.name} will be built again and compared"
        )
        await watcher.wait_for_event(
            AuditEvent, lambda event: event.text == "reproduce demo 1.0 for cp311"
        )
        job = await builder.take_job()
        assert (job.project, job.version, job.target) == ("demo", "1.0", TARGET.name)
    assert (await newest(master)).summary == "pi1 is building it again"
    master.stop(signal.SIGKILL)
    await master.start()
    builds, files = await master.builds(), await master.db.rows("SELECT * FROM files")
    async with master.watch() as watcher, master.builder(job=job, last_build=job.build_id) as back:
        await back.send_progress("building")
        await back.finish_build(Outcome.FAILED, "no such header")
        await watcher.wait_for_event(
            AuditEvent,
            lambda event: event.text.endswith("it could not be reproduced: no such header"),
        )
    found = await newest(master)
    assert (found.result, found.reason, found.attempts) == ("failed", "no such header", 1)
    assert await master.builds() == builds
    assert await master.db.rows("SELECT * FROM files") == files
    assert await master.jobs() == {}
