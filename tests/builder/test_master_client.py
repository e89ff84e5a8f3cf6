"""A builder's conversation, with a scripted master over real sockets."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import pytest

from piwheels.builder import connection_state_machine
from piwheels.builder.build_log import OnPhase
from piwheels.builder.connection_instructions import Exit
from piwheels.builder.connection_state_machine import LOG_WINDOW_BYTES
from piwheels.builder.job_dir import JobDir
from piwheels.builder.master_client import (
    MasterAddresses,
    MasterClient,
    RejectedByMasterError,
)
from piwheels.model import HostMetrics, Job, Outcome
from piwheels.protocol import messages as m
from piwheels.protocol.keys import MASTER, KeyStore, Role
from piwheels.protocol.sockets import CurveGate, Envelope, Peer, Router
from tests.scheduler.message_factories import hello, job, offer
from tests.timeouts import WAIT_S

_M = TypeVar("_M")

JOB = job(7)
WHEEL = "a-1-py3-none-any.whl"


@dataclass
class FakeBuild:
    """Writes a log; writes a wheel when `go` is set."""

    content: bytes = b"wheel"
    first_line: bytes = b"first line\n"
    go: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: bool = False
    builds: int = 0

    async def __call__(self, job: Job, job_dir: JobDir, phase: OnPhase) -> m.BuildFinished:
        self.builds += 1
        phase("building")
        job_dir.append_log(self.first_line)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        job_dir.append_log(b"last line\n")
        wheel = job_dir.wheel_path(WHEEL)
        wheel.write_bytes(self.content)
        return m.BuildFinished(
            build=job.build_id, outcome=Outcome.BUILT, duration_s=1.0, files=(offer(wheel),)
        )


@dataclass
class ScriptedMaster:
    """The master's two sockets; `expect` waits for a message of a kind."""

    builders: Router[m.FromBuilder, m.ToBuilder]
    files: Router[m.FromUploader, m.ToUploader]
    peer: Peer | None = None

    async def expect(self, kind: type[_M]) -> _M:
        async with asyncio.timeout(WAIT_S):
            while True:
                envelope = await self.builders.receive()
                self.peer = envelope.peer
                if isinstance(envelope.message, kind):
                    return envelope.message

    async def send(self, message: m.ToBuilder) -> None:
        assert self.peer is not None
        await self.builders.send(self.peer, message)

    async def welcome(self, log_offset: int = 0) -> m.Hello:
        greeting = await self.expect(m.Hello)
        await self.send(m.Welcome(label="pi", log_offset=log_offset))
        return greeting

    async def fetch(self) -> bytes:
        async with asyncio.timeout(WAIT_S):
            envelope: Envelope[m.FromUploader] = await self.files.receive()
            offer = envelope.message
            assert isinstance(offer, m.UploadOffer)
            content = b""
            while len(content) < offer.size_bytes:
                length = min(m.CHUNK_BYTES, offer.size_bytes - len(content))
                fetch = m.ChunkRequest(
                    build=offer.build, filename=offer.filename, offset=len(content), length=length
                )
                await self.files.send(envelope.peer, fetch)
                envelope = await self.files.receive()
                content += envelope.frames[0]
            done = m.UploadComplete(build=offer.build, filename=offer.filename)
            await self.files.send(envelope.peer, done)
            return content


@dataclass
class MasterAndBuilder:
    master: ScriptedMaster
    endpoints: MasterAddresses
    folder: Path

    def client(self, build: FakeBuild) -> MasterClient:
        return MasterClient(
            addresses=self.endpoints,
            describe=hello,
            host_metrics=HostMetrics,
            build=build,
            job_dir=JobDir(self.folder / "job"),
        )

    async def with_running_build(self, build: FakeBuild) -> asyncio.Task[Exit]:
        """A builder that was given the job."""
        task = asyncio.create_task(self.client(build).run())
        await self.master.welcome()
        await self.master.expect(m.IdleHeartbeat)
        await self.master.send(m.StartBuild(job=JOB))
        return task


@pytest.fixture
async def farm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MasterAndBuilder]:
    monkeypatch.setattr(connection_state_machine, "HEARTBEAT_S", 0.1)
    keys = KeyStore(tmp_path / "keys")
    pair, own = keys.generate(MASTER), keys.generate("builder")
    keys.authorize(Role.BUILDER, "pi", own.public)
    async with CurveGate(lambda role, key: keys.name_of(Role(role), key) is not None) as gate:
        gate.protect(Role.BUILDER)
        builders: Router[m.FromBuilder, m.ToBuilder] = Router(
            m.FromBuilder, lambda reason, _: m.Rejected(reason=reason)
        )
        files: Router[m.FromUploader, m.ToUploader] = Router(
            m.FromUploader, lambda reason, _: m.Rejected(reason=reason)
        )
        endpoints = MasterAddresses(
            builder_address=builders.bind("tcp://127.0.0.1:*", key=pair, domain=Role.BUILDER),
            upload_address=files.bind("tcp://127.0.0.1:*", key=pair, domain=Role.BUILDER),
            key=own,
            master_key=pair.public,
        )
        yield MasterAndBuilder(ScriptedMaster(builders, files), endpoints, tmp_path)
        builders.close()
        files.close()


async def stop(task: asyncio.Task[Exit]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_build_streams_its_log_and_uploads_its_wheel(
    farm: MasterAndBuilder,
) -> None:
    build = FakeBuild(content=os.urandom(600_000))
    task = asyncio.create_task(farm.client(build).run())
    master = farm.master
    assert (await master.welcome()).current_build is None
    assert (await master.expect(m.IdleHeartbeat)).last_build == 0
    await master.send(m.StartBuild(job=JOB))
    assert (await master.expect(m.LogChunk)).data == b"first line\n"
    assert (await master.expect(m.BuildHeartbeat)).build == 7
    build.go.set()
    rest = await master.expect(m.LogChunk)
    assert (rest.offset, rest.data) == (11, b"last line\n")
    built = await master.expect(m.BuildFinished)
    assert built.outcome is Outcome.BUILT
    await master.send(m.UploadFiles(build=7))
    assert await master.fetch() == build.content
    await master.send(m.BuildAcknowledged(build=7))
    assert (await master.expect(m.IdleHeartbeat)).last_build == 7
    assert not (farm.folder / "job").exists()
    await stop(task)


async def test_a_finished_build_is_kept_across_a_restart_of_the_builder(
    farm: MasterAndBuilder,
) -> None:
    build = FakeBuild()
    build.go.set()
    task = await farm.with_running_build(build)
    await farm.master.expect(m.BuildFinished)
    await stop(task)

    again = FakeBuild()
    task = asyncio.create_task(farm.client(again).run())
    assert (await farm.master.welcome()).current_build == 7
    assert (await farm.master.expect(m.LogChunk)).data == b"first line\nlast line\n"
    assert (await farm.master.expect(m.BuildFinished)).build == 7
    await farm.master.send(m.UploadFiles(build=7))
    assert await farm.master.fetch() == build.content
    assert again.builds == 0
    await stop(task)


async def test_an_unfinished_build_is_dropped_by_a_restart(farm: MasterAndBuilder) -> None:
    task = await farm.with_running_build(FakeBuild())
    await farm.master.expect(m.LogChunk)
    await stop(task)
    task = asyncio.create_task(farm.client(FakeBuild()).run())
    assert (await farm.master.welcome()).current_build is None
    await stop(task)


async def test_the_log_is_resumed_at_the_offset_of_the_master(farm: MasterAndBuilder) -> None:
    build = FakeBuild()
    task = await farm.with_running_build(build)
    await farm.master.expect(m.LogChunk)
    await farm.master.send(m.Rejected(reason="say Hello first"))  # a new master
    greeting = await farm.master.welcome(log_offset=6)
    assert greeting.current_build == 7
    lines = await farm.master.expect(m.LogChunk)
    assert (lines.offset, lines.data) == (6, b"line\n")
    await stop(task)


async def test_a_long_log_waits_for_the_answers_of_the_master_and_the_result_for_the_log(
    farm: MasterAndBuilder,
) -> None:
    log_bytes = 3 * LOG_WINDOW_BYTES
    build = FakeBuild(first_line=b"x" * log_bytes)
    build.go.set()
    task = await farm.with_running_build(build)
    received = 0
    acknowledged = 0
    async with asyncio.timeout(WAIT_S):
        while True:
            message = (await farm.master.builders.receive()).message
            match message:
                case m.LogChunk(offset=offset, data=data):
                    assert offset == received
                    received += len(data)
                    assert received - acknowledged <= LOG_WINDOW_BYTES
                case m.BuildHeartbeat():
                    acknowledged = received
                    await farm.master.send(m.Ack())
                case m.BuildFinished():
                    break
                case _:
                    pass
    assert received == log_bytes + len(b"last line\n")
    await stop(task)


async def test_cancel_ends_the_build_and_the_builder_is_idle(farm: MasterAndBuilder) -> None:
    build = FakeBuild()
    task = await farm.with_running_build(build)
    await farm.master.expect(m.BuildHeartbeat)
    await farm.master.send(m.CancelBuild(build=7, reason="skipped"))
    await farm.master.expect(m.IdleHeartbeat)
    assert build.cancelled
    await stop(task)


async def test_a_shutdown_after_the_build_waits_for_its_acknowledgment(
    farm: MasterAndBuilder,
) -> None:
    build = FakeBuild()
    task = await farm.with_running_build(build)
    await farm.master.expect(m.BuildHeartbeat)
    await farm.master.send(m.Shutdown(reason="drained", after_build=True))
    build.go.set()
    await farm.master.expect(m.BuildFinished)
    assert not task.done()
    await farm.master.send(m.BuildAcknowledged(build=7))
    async with asyncio.timeout(WAIT_S):
        assert (await task).reason == "drained"


async def test_a_shutdown_ends_an_idle_builder_immediately(farm: MasterAndBuilder) -> None:
    task = asyncio.create_task(farm.client(FakeBuild()).run())
    await farm.master.welcome()
    await farm.master.send(m.Shutdown(reason="bye"))
    async with asyncio.timeout(WAIT_S):
        assert (await task).reason == "bye"


async def test_a_builder_sends_goodbye_after_a_shutdown(farm: MasterAndBuilder) -> None:
    task = asyncio.create_task(farm.client(FakeBuild()).run())
    await farm.master.welcome()
    await farm.master.send(m.Shutdown(reason="drained by ann"))
    assert (await farm.master.expect(m.Goodbye)).reason == "drained by ann"
    async with asyncio.timeout(WAIT_S):
        await task


async def test_a_builder_sends_goodbye_when_it_is_stopped(farm: MasterAndBuilder) -> None:
    task = asyncio.create_task(farm.client(FakeBuild()).run())
    await farm.master.welcome()
    await stop(task)
    await farm.master.expect(m.Goodbye)


async def test_a_permanent_rejection_ends_the_builder_with_its_reason(
    farm: MasterAndBuilder,
) -> None:
    task = asyncio.create_task(farm.client(FakeBuild()).run())
    await farm.master.expect(m.Hello)
    await farm.master.send(m.Rejected(reason="protocol 2, please", permanent=True))
    with pytest.raises(RejectedByMasterError, match="protocol 2, please"):
        async with asyncio.timeout(WAIT_S):
            await task


async def test_a_builder_that_waits_says_so_and_connects_once_its_key_is_authorized(
    farm: MasterAndBuilder, caplog: pytest.LogCaptureFixture
) -> None:
    keys = KeyStore(farm.folder / "keys")
    pair = keys.generate("late")
    late = replace(farm, endpoints=replace(farm.endpoints, key=pair))
    task = asyncio.create_task(late.client(FakeBuild()).run())
    async with asyncio.timeout(WAIT_S):
        while "it has to be authorized there; retrying" not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    keys.authorize(Role.BUILDER, "late", pair.public)
    await farm.master.welcome()
    await stop(task)


async def test_an_internal_error_ends_the_build_and_not_the_builder(farm: MasterAndBuilder) -> None:
    class Broken(FakeBuild):
        async def __call__(self, job: Job, job_dir: JobDir, phase: OnPhase) -> m.BuildFinished:
            raise ValueError("what\nis this")

    task = await farm.with_running_build(Broken())
    built = await farm.master.expect(m.BuildFinished)
    assert built.outcome is Outcome.BUILDER_FAILED
    assert built.reason == "the builder: ValueError: what?is this"
    await farm.master.send(m.BuildAcknowledged(build=7))
    assert (await farm.master.expect(m.IdleHeartbeat)).last_build == 7
    await stop(task)


async def test_a_missing_wheel_is_not_uploaded(farm: MasterAndBuilder) -> None:
    build = FakeBuild()
    build.go.set()
    task = await farm.with_running_build(build)
    await farm.master.expect(m.BuildFinished)
    (farm.folder / "job" / "wheels" / WHEEL).unlink()
    await farm.master.send(m.UploadFiles(build=7))
    assert (await farm.master.welcome()).current_build is None
    await farm.master.expect(m.IdleHeartbeat)
    await farm.master.send(m.StartBuild(job=JOB))
    assert (await farm.master.expect(m.BuildFinished)).build == 7
    await stop(task)


async def test_a_builder_that_cannot_store_its_build_reports_it(farm: MasterAndBuilder) -> None:
    class FullDisk(FakeBuild):
        async def __call__(self, job: Job, job_dir: JobDir, phase: OnPhase) -> m.BuildFinished:
            raise OSError(28, "No space left on device")

    task = await farm.with_running_build(FullDisk())
    assert (await farm.master.expect(m.BuildFinished)).outcome is Outcome.DISK_FULL
    await stop(task)


async def test_a_builder_with_changed_facts_sends_hello_between_builds(
    farm: MasterAndBuilder,
) -> None:
    session = farm.client(FakeBuild())
    task = asyncio.create_task(session.run())
    await farm.master.welcome()
    await farm.master.expect(m.IdleHeartbeat)
    session.announce_again()
    assert (await farm.master.welcome()).current_build is None
    await farm.master.expect(m.IdleHeartbeat)
    await farm.master.send(m.StartBuild(job=JOB))
    await farm.master.expect(m.BuildHeartbeat)
    await stop(task)
