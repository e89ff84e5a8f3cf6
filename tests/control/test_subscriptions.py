"""What a real master publishes to consoles, and that it publishes only changes."""

import asyncio

from piwheels.model import AuditEvent, BuildSummary, HostMetrics, Outcome
from piwheels.protocol import messages as m
from tests.control.conftest import TARGET, Master
from tests.timeouts import WAIT_S


async def fail(master: Master, project: str, reason: str) -> None:
    await master.release(project)
    async with master.builder() as pi1:
        await pi1.take_job()
        await pi1.finish_build(Outcome.FAILED, reason)


async def test_a_subscription_starts_with_recent_builds_and_events(shared: Master) -> None:
    await fail(shared, "demo", "frob.h: no such file")
    await shared.ask(m.Pause(), m.CommandSucceeded)
    async with shared.watch() as watcher:
        snapshot = watcher.snapshot
    (build,) = snapshot.builds
    assert (build.project, build.outcome, build.detail) == (
        "demo", "failed", "frob.h: no such file",
    )  # fmt: skip
    assert ("ann@desk", "pause the farm", "applied") in [
        (event.who, event.what, event.outcome) for event in snapshot.events
    ]
    assert any("builder pi1 joined" in event.what for event in snapshot.events)
    assert snapshot.status.paused
    assert snapshot.status.instance
    assert snapshot.status.last_hour == {"failed": 1}


async def test_queues_have_a_platform_and_whether_a_builder_serves_them(shared: Master) -> None:
    await shared.release("demo")
    async with asyncio.timeout(WAIT_S):  # counts are kept in memory for some seconds
        while True:
            (queue,) = (await shared.ask(m.Status(), m.StatusReply)).queues
            if queue.pending:
                break
    assert (queue.target, queue.abi, queue.platform) == (TARGET.name, "cp311", "bookworm aarch64")
    assert (queue.pending, queue.has_builder) == (1, False)
    async with shared.builder():
        (queue,) = (await shared.ask(m.Status(), m.StatusReply)).queues
    assert queue.has_builder


async def test_builds_can_be_filtered(shared: Master) -> None:
    await fail(shared, "one", "it broke")
    await fail(shared, "two", "it broke")
    await shared.db.execute(
        "UPDATE builds SET outcome = 'built', duration_s = 500 WHERE project = 'two'"
    )

    async def projects(**how: object) -> list[str]:
        question = m.ListBuilds(**how)  # type: ignore[arg-type]
        return [build.project for build in (await shared.ask(question, m.BuildsReply)).builds]

    assert await projects() == ["two", "one"]
    assert await projects(limit=1) == ["two"]
    assert await projects(failed=True) == ["one"]
    assert await projects(slower_than_s=100.0) == ["two"]
    assert await projects(project="one") == ["one"]
    assert await projects(project="two", failed=True) == []
    assert await projects(builder="pi1") == ["two", "one"]
    assert await projects(builder="pi9") == []
    await shared.db.execute(
        "UPDATE builds SET ended_at = now() - interval '8 days' WHERE project = 'one'"
    )
    assert await projects(builder="pi1") == ["two"]


async def test_a_log_can_be_followed_from_start_to_failure(shared: Master) -> None:
    async with shared.watch() as watcher:
        await fail(shared, "demo", "frob.h: no such file")
        started = await watcher.wait_for_event(
            m.BuilderChanged, lambda event: event.builder.build is not None
        )
        ended = await watcher.wait_for_event(BuildSummary)
    assert (started.builder.project, started.builder.label) == ("demo", "pi1")
    assert (ended.build_id, ended.detail) == (started.builder.build, "frob.h: no such file")


async def test_a_changed_farm_is_published(shared: Master) -> None:
    async with shared.watch() as watcher:
        await shared.release("demo")
        await watcher.wait_for_event(
            m.StatusChanged, lambda pulse: pulse.status.queues[0].pending == 1
        )
        await shared.ask(m.Pause(), m.CommandSucceeded)
        pulse = await watcher.wait_for_event(m.StatusChanged, lambda pulse: pulse.status.paused)
        assert pulse.status.builders == ()


async def test_heartbeats_without_changes_are_not_published(shared: Master) -> None:
    host = HostMetrics(load=1.0, memory_total=1 << 30, memory_free=1 << 29)
    async with shared.builder() as pi1:
        await pi1.send_idle(host)
        await pi1.receive_type(m.NoJobAvailable)
        async with shared.watch() as watcher:
            for number in range(20):
                noisy = HostMetrics(
                    load=1.0 + number / 100, memory_total=1 << 30, memory_free=(1 << 29) + number
                )
                await pi1.send_idle(noisy)
                await pi1.receive_type(m.NoJobAvailable)
            await shared.ask(m.RegeneratePages(), m.CommandSucceeded)
            message = await watcher.events_until(
                lambda event: isinstance(event, AuditEvent) and event.who == "ann@desk"
            )
            assert not [event for event in message if isinstance(event, m.BuilderChanged)]
            await pi1.send_idle(HostMetrics(load=3.0, memory_total=1 << 30, memory_free=1 << 29))
            changed = await watcher.wait_for_event(m.BuilderChanged)
            assert changed.builder.host.load == 3.0


async def test_a_slow_database_delays_neither_claims_nor_heartbeats(shared: Master) -> None:
    await shared.release("demo")
    async with shared.builder() as pi1, shared.watch() as watcher, shared.db.transaction():
        # Whatever counts builds waits from here on: estimates, pulses, lists.
        await shared.db.execute("LOCK TABLE builds IN ACCESS EXCLUSIVE MODE")
        job = await pi1.take_job()
        await pi1.send_progress("building")
        await pi1.receive_type(m.Ack)
        view = await watcher.wait_for_state("pi1", m.BuilderState.BUILDING)
        assert view.build == job.build_id
        await shared.command_builders(m.BuilderCommand.SLEEP, "pi1", immediately=True)
        await pi1.receive_type(m.CancelBuild)
