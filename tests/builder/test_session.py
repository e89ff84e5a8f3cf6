"""A builder's conversation, with a scripted master over real sockets."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from piwheels.builder import session as room
from piwheels.builder.outbox import Outbox
from piwheels.builder.session import BuilderSession, Endpoints, Phase, RefusedByMasterError
from piwheels.model import Job, Outcome, Sdist, Target
from piwheels.protocol import messages as m
from piwheels.protocol.channels import Envelope, Gate, Peer, Router
from piwheels.protocol.keys import MASTER, KeyStore, Role
from tests.patience import WAIT_S

_M = TypeVar("_M")

TARGET = Target(
    name="cp311-bookworm-aarch64",
    python="3.11",
    python_full="3.11.2",
    abi="cp311",
    arch="aarch64",
    os="bookworm",
    glibc="2.36",
)
JOB = Job(
    build=7,
    project="a",
    version="1",
    target=TARGET.name,
    sdist=Sdist(filename="a-1.tar.gz", url="u", sha256="0"),
    released_at=datetime(2026, 1, 1, tzinfo=UTC),
)
WHEEL = "a-1-py3-none-any.whl"


def hello(busy: int | None) -> m.Hello:
    return m.Hello(
        protocol=m.PROTOCOL,
        version="1",
        targets=(TARGET,),
        platform="linux",
        board="Pi",
        os="bookworm",
        host=m.HostState(),
        busy=busy,
    )


@dataclass
class FakeBuild:
    """Writes a log and a wheel, when told to."""

    content: bytes = b"wheel"
    go: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: bool = False
    builds: int = 0

    async def __call__(self, job: Job, outbox: Outbox, phase: Phase) -> m.Built:
        self.builds += 1
        phase("building")
        outbox.add_log(b"first line\n")
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        outbox.add_log(b"last line\n")
        outbox.wheel(WHEEL).write_bytes(self.content)
        offer = m.FileOffer(
            filename=WHEEL,
            size_bytes=len(self.content),
            sha256=hashlib.sha256(self.content).hexdigest(),
        )
        return m.Built(build=job.build, outcome=Outcome.BUILT, duration_s=1.0, files=(offer,))


@dataclass
class Master:
    """The master's two sockets; `expect` waits for a message of a kind."""

    builders: Router[m.FromBuilder, m.ToBuilder]
    files: Router[m.FromSender, m.ToSender]
    peer: Peer | None = None

    async def expect(self, kind: type[_M]) -> _M:
        async with asyncio.timeout(WAIT_S):
            while True:
                envelope = await self.builders.receive()
                self.peer = envelope.peer
                if isinstance(envelope.message, kind):
                    return envelope.message

    async def say(self, message: m.ToBuilder) -> None:
        assert self.peer is not None
        await self.builders.send(self.peer, message)

    async def welcome(self, log_offset: int = 0) -> m.Hello:
        greeting = await self.expect(m.Hello)
        await self.say(m.Welcome(label="pi", log_offset=log_offset))
        return greeting

    async def fetch(self) -> bytes:
        async with asyncio.timeout(WAIT_S):
            envelope: Envelope[m.FromSender] = await self.files.receive()
            offer = envelope.message
            assert isinstance(offer, m.Offer)
            content = b""
            while len(content) < offer.size_bytes:
                length = min(m.CHUNK_BYTES, offer.size_bytes - len(content))
                fetch = m.Fetch(
                    build=offer.build, filename=offer.filename, offset=len(content), length=length
                )
                await self.files.send(envelope.peer, fetch)
                envelope = await self.files.receive()
                content += envelope.frames[0]
            done = m.Fetched(build=offer.build, filename=offer.filename)
            await self.files.send(envelope.peer, done)
            return content


@dataclass
class Farm:
    master: Master
    endpoints: Endpoints
    folder: Path

    def session(self, build: FakeBuild) -> BuilderSession:
        return BuilderSession(
            endpoints=self.endpoints,
            hello=hello,
            measure=m.HostState,
            build=build,
            outbox=Outbox(self.folder / "job"),
        )

    async def at_work(self, build: FakeBuild) -> asyncio.Task[str]:
        """A builder that was given the job."""
        task = asyncio.create_task(self.session(build).run())
        await self.master.welcome()
        await self.master.expect(m.Idle)
        await self.master.say(m.BuildJob(job=JOB))
        return task


@pytest.fixture
async def farm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Farm]:
    monkeypatch.setattr(room, "HEARTBEAT_S", 0.1)
    keys = KeyStore(tmp_path / "keys")
    pair, own = keys.make(MASTER), keys.make("builder")
    keys.allow(Role.BUILDER, "pi", own.public)
    async with Gate(lambda role, key: keys.name_of(Role(role), key) is not None) as gate:
        gate.guard(Role.BUILDER)
        builders: Router[m.FromBuilder, m.ToBuilder] = Router(
            m.FromBuilder, lambda reason, _: m.Refused(reason=reason)
        )
        files: Router[m.FromSender, m.ToSender] = Router(
            m.FromSender, lambda reason, _: m.Refused(reason=reason)
        )
        endpoints = Endpoints(
            builders=builders.bind("tcp://127.0.0.1:*", key=pair, domain=Role.BUILDER),
            files=files.bind("tcp://127.0.0.1:*", key=pair, domain=Role.BUILDER),
            key=own,
            master_key=pair.public,
        )
        yield Farm(Master(builders, files), endpoints, tmp_path)
        builders.close()
        files.close()


async def stop(task: asyncio.Task[str]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_job_is_built_its_log_streamed_and_its_wheel_uploaded(farm: Farm) -> None:
    build = FakeBuild(content=os.urandom(600_000))
    task = asyncio.create_task(farm.session(build).run())
    master = farm.master
    assert (await master.welcome()).busy is None
    assert (await master.expect(m.Idle)).last_build == 0
    await master.say(m.BuildJob(job=JOB))
    assert (await master.expect(m.LogLines)).data == b"first line\n"
    assert (await master.expect(m.Building)).build == 7
    build.go.set()
    rest = await master.expect(m.LogLines)
    assert (rest.offset, rest.data) == (11, b"last line\n")
    built = await master.expect(m.Built)
    assert built.outcome is Outcome.BUILT
    await master.say(m.Send(build=7))
    assert await master.fetch() == build.content
    await master.say(m.Done(build=7))
    assert (await master.expect(m.Idle)).last_build == 7
    assert not (farm.folder / "job").exists()
    await stop(task)


async def test_a_finished_build_survives_a_restart_of_the_builder(farm: Farm) -> None:
    build = FakeBuild()
    build.go.set()
    task = await farm.at_work(build)
    await farm.master.expect(m.Built)
    await stop(task)

    again = FakeBuild()
    task = asyncio.create_task(farm.session(again).run())
    assert (await farm.master.welcome()).busy == 7
    assert (await farm.master.expect(m.LogLines)).data == b"first line\nlast line\n"
    assert (await farm.master.expect(m.Built)).build == 7
    await farm.master.say(m.Send(build=7))
    assert await farm.master.fetch() == build.content
    assert again.builds == 0
    await stop(task)


async def test_an_unfinished_build_is_forgotten_by_a_restart(farm: Farm) -> None:
    task = await farm.at_work(FakeBuild())
    await farm.master.expect(m.LogLines)
    await stop(task)
    task = asyncio.create_task(farm.session(FakeBuild()).run())
    assert (await farm.master.welcome()).busy is None
    await stop(task)


async def test_the_log_goes_on_where_the_master_has_it(farm: Farm) -> None:
    build = FakeBuild()
    task = await farm.at_work(build)
    await farm.master.expect(m.LogLines)
    await farm.master.say(m.Refused(reason="say Hello first"))  # a new master
    greeting = await farm.master.welcome(log_offset=6)
    assert greeting.busy == 7
    lines = await farm.master.expect(m.LogLines)
    assert (lines.offset, lines.data) == (6, b"line\n")
    await stop(task)


async def test_abandon_ends_the_build_and_frees_the_builder(farm: Farm) -> None:
    build = FakeBuild()
    task = await farm.at_work(build)
    await farm.master.expect(m.Building)
    await farm.master.say(m.Abandon(build=7, reason="skipped"))
    await farm.master.expect(m.Idle)
    assert build.cancelled
    await stop(task)


async def test_stop_after_build_waits_for_done(farm: Farm) -> None:
    build = FakeBuild()
    task = await farm.at_work(build)
    await farm.master.expect(m.Building)
    await farm.master.say(m.Stop(reason="drained", after_build=True))
    build.go.set()
    await farm.master.expect(m.Built)
    assert not task.done()
    await farm.master.say(m.Done(build=7))
    async with asyncio.timeout(WAIT_S):
        assert await task == "drained"


async def test_stop_ends_an_idle_builder_at_once(farm: Farm) -> None:
    task = asyncio.create_task(farm.session(FakeBuild()).run())
    await farm.master.welcome()
    await farm.master.say(m.Stop(reason="bye"))
    async with asyncio.timeout(WAIT_S):
        assert await task == "bye"


async def test_a_builder_that_was_told_to_stop_says_goodbye(farm: Farm) -> None:
    task = asyncio.create_task(farm.session(FakeBuild()).run())
    await farm.master.welcome()
    await farm.master.say(m.Stop(reason="drained by ann"))
    assert (await farm.master.expect(m.Bye)).reason == "drained by ann"
    async with asyncio.timeout(WAIT_S):
        await task


async def test_a_builder_says_goodbye_when_it_is_stopped(farm: Farm) -> None:
    task = asyncio.create_task(farm.session(FakeBuild()).run())
    await farm.master.welcome()
    await stop(task)
    await farm.master.expect(m.Bye)


async def test_a_final_refusal_ends_the_builder_with_the_reason(farm: Farm) -> None:
    task = asyncio.create_task(farm.session(FakeBuild()).run())
    await farm.master.expect(m.Hello)
    await farm.master.say(m.Refused(reason="protocol 2, please", fatal=True))
    with pytest.raises(RefusedByMasterError, match="protocol 2, please"):
        async with asyncio.timeout(WAIT_S):
            await task


async def test_a_fault_of_ours_ends_the_build_and_not_the_builder(farm: Farm) -> None:
    class Broken(FakeBuild):
        async def __call__(self, job: Job, outbox: Outbox, phase: Phase) -> m.Built:
            raise ValueError("what\nis this")

    task = await farm.at_work(Broken())
    built = await farm.master.expect(m.Built)
    assert built.outcome is Outcome.BUILDER_FAILED
    assert built.reason == "the builder: ValueError: what?is this"
    await farm.master.say(m.Done(build=7))
    assert (await farm.master.expect(m.Idle)).last_build == 7
    await stop(task)


async def test_a_wheel_that_is_gone_is_given_up(farm: Farm) -> None:
    build = FakeBuild()
    build.go.set()
    task = await farm.at_work(build)
    await farm.master.expect(m.Built)
    (farm.folder / "job" / "wheels" / WHEEL).unlink()
    await farm.master.say(m.Send(build=7))
    await farm.master.expect(m.Idle)
    await farm.master.say(m.Continue())
    assert (await farm.master.welcome()).busy is None
    await farm.master.expect(m.Idle)
    await farm.master.say(m.BuildJob(job=JOB))
    assert (await farm.master.expect(m.Built)).build == 7
    await stop(task)


async def test_a_builder_that_cannot_keep_its_build_says_so(farm: Farm) -> None:
    class FullDisk(FakeBuild):
        async def __call__(self, job: Job, outbox: Outbox, phase: Phase) -> m.Built:
            raise OSError(28, "No space left on device")

    task = await farm.at_work(FullDisk())
    assert (await farm.master.expect(m.Built)).outcome is Outcome.DISK_FULL
    await stop(task)


async def test_a_builder_that_has_changed_introduces_itself_again_between_builds(
    farm: Farm,
) -> None:
    session = farm.session(FakeBuild())
    task = asyncio.create_task(session.run())
    await farm.master.welcome()
    await farm.master.expect(m.Idle)
    session.introduce_again()
    assert (await farm.master.welcome()).busy is None
    await farm.master.expect(m.Idle)
    await farm.master.say(m.BuildJob(job=JOB))
    await farm.master.expect(m.Building)
    await stop(task)
