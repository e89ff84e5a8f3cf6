"""Files taken in from builders, over real sockets, into a real tree and database."""

import asyncio
import errno
import hashlib
import os
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest

from piwheels.db.database import Database
from piwheels.errors import RejectedError
from piwheels.model import Job, Outcome, ReproductionJob, WheelFile, projection
from piwheels.protocol import messages as m
from piwheels.protocol.keys import KeyStore, Role
from piwheels.protocol.sockets import CurveGate, Router
from piwheels.scheduler import wheel_publisher
from piwheels.scheduler.state_machine_events import CompleteBuild, StartUpload, WheelNotStored
from piwheels.scheduler.uploads import UploadServer
from piwheels.scheduler.wheel_publisher import WheelPublisher
from piwheels.webroot import Webroot
from tests.db.scenario import BUILD_TIME, TARGETS, make_sdist
from tests.full_disk import file_size_limit
from tests.timeouts import WAIT_S, LongTimeoutDealer
from tests.wheel.factories import (
    EM_AARCH64,
    EM_X86_64,
    elf,
    make_wheel,
    wheel_members,
    with_record,
    write_zip,
)

TARGET = TARGETS[1]
JOB = Job(
    build_id=7, project="demo", version="1.0", target=TARGET.name, sdist=make_sdist("demo", "1.0"),
    released_at=BUILD_TIME,
)  # fmt: skip


@dataclass
class UploadHarness:
    """A master's receiver, and the address that builders send to."""

    server: UploadServer
    keys: KeyStore
    address: str

    @property
    def published_files(self) -> set[str]:
        root = self.server.publisher.webroot.root
        return {path.name for path in root.rglob("*") if path.is_file()}

    async def expect(self, *offers: m.ArtifactInfo, label: str = "pi1", job: Job = JOB) -> None:
        built = m.BuildFinished(
            build=JOB.build_id, outcome=Outcome.BUILT, duration_s=1.0, files=offers
        )
        self.server.expect(StartUpload(label, job, built), TARGET)

    async def build_again(self, wheel: Path, published: WheelFile) -> CompleteBuild:
        """Have a wheel announced, sent and compared with a published one."""
        job = projection(ReproductionJob, published, JOB, reproduction_id=1)
        await self.expect(artifact_of(wheel), job=job)
        async with Uploader(self, wheel, artifact_of(wheel)) as sender:
            await sender.send_all()
            async with asyncio.timeout(WAIT_S):
                received = await self.server.results.get()
        assert isinstance(received, CompleteBuild), received
        return received

    async def result(self) -> CompleteBuild:
        async with asyncio.timeout(WAIT_S):
            received = await self.server.results.get()
        assert isinstance(received, CompleteBuild), received
        result = received.result
        assert result.reason.isprintable(), "a reason is one line, whatever the wheel holds"
        assert bool(result.reason) == (result.outcome is not Outcome.BUILT)
        assert bool(received.files) == (result.outcome is Outcome.BUILT)
        return received

    async def not_stored(self) -> WheelNotStored:
        async with asyncio.timeout(WAIT_S):
            kept = await self.server.results.get()
        assert isinstance(kept, WheelNotStored), kept
        return kept

    async def upload(self, wheel: Path, **claims: object) -> CompleteBuild:
        """Have a wheel announced, sent and judged."""
        offer = artifact_of(wheel, **claims)
        await self.expect(offer)
        async with Uploader(self, wheel, offer) as sender:
            await sender.send_all()
            return await self.result()


def artifact_of(wheel: Path, **claims: object) -> m.ArtifactInfo:
    content = wheel.read_bytes()
    facts: dict[str, object] = {
        "filename": wheel.name,
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    return m.ArtifactInfo(**(facts | claims))  # type: ignore[arg-type]


class Uploader:
    """A builder's end of the file socket."""

    def __init__(
        self, intake: UploadHarness, wheel: Path, offer: m.ArtifactInfo, name: str = "pi1"
    ) -> None:
        self.content = wheel.read_bytes()
        self.offer = offer
        self.dealer: LongTimeoutDealer[m.ToUploader, m.FromUploader] = LongTimeoutDealer(
            m.ToUploader,
            intake.address,
            key=intake.keys.require(name),
            server_key=intake.keys.require("master").public,
        )

    async def __aenter__(self) -> Self:
        await self.dealer.send(
            m.UploadOffer(build=7, filename=self.offer.filename, size_bytes=self.offer.size_bytes)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.dealer.close()

    async def next(self) -> m.ToUploader:
        return await self.dealer.receive(WAIT_S)

    async def send(self, fetch: m.ChunkRequest) -> None:
        piece = self.content[fetch.offset : fetch.offset + fetch.length]
        chunk = m.FileChunk(build=7, filename=self.offer.filename, offset=fetch.offset)
        await self.dealer.send(chunk, piece)

    async def send_all(self) -> m.ToUploader:
        """Answer every Fetch; gives what ended it."""
        while isinstance(message := await self.next(), m.ChunkRequest):
            await self.send(message)
        return message


@pytest.fixture
async def intake(database: Database, tmp_path: Path) -> AsyncIterator[UploadHarness]:
    keys = KeyStore(tmp_path / "keys")
    keys.generate("master")
    for name in ("pi1", "pi2"):
        keys.authorize(Role.BUILDER, name, keys.load_or_generate(name).public)
    async with CurveGate(lambda role, key: keys.name_of(Role(role), key) is not None) as gate:
        gate.protect(Role.BUILDER)
        router: Router[m.FromUploader, m.ToUploader] = Router(
            m.FromUploader, lambda reason, _: m.Rejected(reason=reason)
        )
        address = router.bind("tcp://127.0.0.1:*", key=keys.require("master"), domain=Role.BUILDER)
        publisher = WheelPublisher(database, Webroot(tmp_path / "www"))
        receiver = UploadServer(router, keys, publisher, tmp_path / "spool")
        task = asyncio.create_task(receiver.run())
        yield UploadHarness(receiver, keys, address)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        router.close()


async def test_a_valid_wheel_is_installed_with_its_metadata(
    intake: UploadHarness, tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path, files={"demo.py": b"x" * 2_000_000})
    received = await intake.upload(wheel, debian_packages=("libc6", "$(reboot)"))
    assert received.result.outcome is Outcome.BUILT
    (file,) = received.files
    assert file.filename == wheel.name
    assert file.debian_packages == ("libc6",), "what is no Debian package is dropped"
    assert intake.published_files == {wheel.name, f"{wheel.name}.metadata"}
    assert not list(intake.server.spool_dir.iterdir())


async def test_a_wheel_is_installed_before_its_metadata(
    intake: UploadHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, there = Webroot.write, []

    def watched(webroot: Webroot, path: Path, content: bytes) -> bool:
        there.append(path.with_name(path.name.removesuffix(".metadata")).exists())
        return write(webroot, path, content)

    monkeypatch.setattr(Webroot, "write", watched)
    assert (await intake.upload(make_wheel(tmp_path))).result.outcome is Outcome.BUILT
    assert there == [True]


@pytest.mark.parametrize(
    "number",
    [
        errno.ENOSPC,
        errno.EROFS,
        errno.EDQUOT,
        errno.EIO,
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ENOENT,
    ],
)
async def test_a_web_root_that_rejects_a_wheel_is_unchanged_and_the_builder_keeps_its_wheel(
    intake: UploadHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: object) -> bool:
        raise OSError(number, os.strerror(number))

    wheel = make_wheel(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Webroot, "write", full)
        await intake.expect(artifact_of(wheel))
        async with Uploader(intake, wheel, artifact_of(wheel)) as sender:
            await sender.send_all()
            kept = await intake.not_stored()
    assert os.strerror(number) in kept.reason
    assert intake.published_files == set()
    assert (await intake.upload(wheel)).result.outcome is Outcome.BUILT, (
        "offered again, it is taken"
    )


async def test_a_file_too_large_for_any_disk_is_a_failure_of_the_release(
    intake: UploadHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> bool:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))

    monkeypatch.setattr(Webroot, "write", refuses)
    assert (await intake.upload(make_wheel(tmp_path))).result.outcome is Outcome.REFUSED


@pytest.mark.parametrize("size_bytes", [100, 100_000])
async def test_a_full_spool_ends_an_upload_and_not_the_master(
    intake: UploadHarness, tmp_path: Path, size_bytes: int
) -> None:
    """Also where a buffer would have taken the whole wheel, and failed when it was closed."""
    part = intake.server.spool_dir / "7" / "wheel.part"
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    wheel = tmp_path / "demo-1.0-py3-none-any.whl"
    wheel.write_bytes(b"x" * size_bytes)
    offer = artifact_of(wheel)
    await intake.expect(offer)
    async with Uploader(intake, wheel, offer) as sender:
        fetch = await sender.next()
        assert isinstance(fetch, m.ChunkRequest)
        await sender.send(fetch)
        kept = await intake.not_stored()
    assert "No space left" in kept.reason
    assert (await intake.upload(make_wheel(tmp_path))).result.outcome is Outcome.BUILT, "it goes on"


async def test_a_disk_that_fills_during_a_chunk_ends_an_upload_and_not_the_master(
    intake: UploadHarness, tmp_path: Path
) -> None:
    """The few bytes that do not fit would wait in a buffer, and fail a second time on closing."""
    wheel = tmp_path / "demo-1.0-py3-none-any.whl"
    wheel.write_bytes(b"x" * 1_000_000)
    offer = artifact_of(wheel)
    await intake.expect(offer)
    async with Uploader(intake, wheel, offer) as sender:
        first, second = await sender.next(), await sender.next()
        assert isinstance(first, m.ChunkRequest)
        assert isinstance(second, m.ChunkRequest)
        with file_size_limit(first.length - 1000):
            await sender.send(first)
            await sender.send(second)
            async with asyncio.timeout(WAIT_S):
                await intake.server.results.get()
    assert (await intake.upload(make_wheel(tmp_path))).result.outcome is Outcome.BUILT, "it goes on"


async def test_an_upload_is_dropped_while_the_spool_is_full(
    intake: UploadHarness, tmp_path: Path
) -> None:
    part = intake.server.spool_dir / "7" / "wheel.part"
    wheel = make_wheel(tmp_path)
    offer = artifact_of(wheel)
    await intake.expect(offer)
    async with Uploader(intake, wheel, offer) as sender:
        fetch = await sender.next()
        assert isinstance(fetch, m.ChunkRequest)
        with file_size_limit(0):
            intake.server.cancel(JOB.build_id)
            await sender.send(fetch)
            answer = await sender.next()
        assert isinstance(answer, m.UploadComplete)
        assert answer.note == "not expected"
    assert not part.parent.exists()


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"name": "other"}, "other"),
        ({"version": "2.0"}, "2.0"),
        ({"tags": "cp39-cp39-linux_aarch64"}, "cp39"),
        ({"tags": "cp311-cp311-linux_armv7l"}, "armv7l"),
        ({"requires_python": ">=3.12"}, "3.12"),
        (
            {"tags": "cp311-cp311-linux_aarch64", "files": {"demo/c.so": elf(EM_X86_64)}},
            "demo/c.so is for x86_64",
        ),
    ],
)
async def test_a_wheel_of_another_job_is_rejected(
    intake: UploadHarness, tmp_path: Path, made: dict[str, Any], message: str
) -> None:
    received = await intake.upload(make_wheel(tmp_path, **made))
    assert received.result.outcome is Outcome.REFUSED
    assert message in received.result.reason
    assert "\n" not in received.result.reason
    assert intake.published_files == set()
    assert not list(intake.server.spool_dir.iterdir())


async def test_content_other_than_announced_is_rejected(
    intake: UploadHarness, tmp_path: Path
) -> None:
    received = await intake.upload(make_wheel(tmp_path), sha256="0" * 64)
    assert (received.result.outcome, "sha256" in received.result.reason) == (Outcome.REFUSED, True)
    assert intake.published_files == set()


async def test_a_member_outside_the_tree_is_rejected(intake: UploadHarness, tmp_path: Path) -> None:
    members = with_record({"../../etc/cron.d/evil": b"x", **wheel_members()})
    wheel = write_zip(tmp_path / "demo-1.0-py3-none-any.whl", members)
    received = await intake.upload(wheel)
    assert (received.result.outcome, "evil" in received.result.reason) == (Outcome.REFUSED, True)


async def test_a_record_with_other_content_is_rejected(
    intake: UploadHarness, tmp_path: Path
) -> None:
    members = {**wheel_members(), "demo/__init__.py": b"something else"}
    wheel = write_zip(tmp_path / "demo-1.0-py3-none-any.whl", members)
    received = await intake.upload(wheel)
    assert (received.result.outcome, "RECORD" in received.result.reason) == (Outcome.REFUSED, True)


async def test_a_reason_is_one_line_for_any_member_name(
    intake: UploadHarness, tmp_path: Path
) -> None:
    name = "demo/\x1b[2J\nBuilt.\N{RIGHT-TO-LEFT OVERRIDE}py"
    members = {**wheel_members(), name: b"not in RECORD"}
    received = await intake.upload(write_zip(tmp_path / "demo-1.0-py3-none-any.whl", members))
    assert received.result.outcome is Outcome.REFUSED
    assert "Built." in received.result.reason


@pytest.mark.parametrize(
    "offers",
    [
        (),
        2 * (m.ArtifactInfo(filename="demo-1.0-py3-none-any.whl", size_bytes=1, sha256=""),),
        (m.ArtifactInfo(filename="../demo-1.0-py3-none-any.whl", size_bytes=1, sha256=""),),
        (m.ArtifactInfo(filename="demo.exe", size_bytes=1, sha256=""),),
        (m.ArtifactInfo(filename="demo\n\x1b[2J.exe", size_bytes=1, sha256=""),),
        (m.ArtifactInfo(filename="de\nmo-1.0-py3-none-any.whl", size_bytes=1, sha256=""),),
        (m.ArtifactInfo(filename="demo-1.0-py3-none-any\n.whl", size_bytes=1, sha256=""),),
        (m.ArtifactInfo(filename="demo-1.0-py3-none-any.whl", size_bytes=1 << 50, sha256=""),),
        (m.ArtifactInfo(filename="demo-1.0-py3-none-any.whl", size_bytes=0, sha256=""),),
    ],
)  # fmt: skip
async def test_more_or_less_than_one_wheel_is_not_requested(
    intake: UploadHarness, offers: tuple[m.ArtifactInfo, ...]
) -> None:
    await intake.expect(*offers)
    assert (await intake.result()).result.outcome is Outcome.REFUSED


async def test_an_interrupted_upload_is_resumed(intake: UploadHarness, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, files={"demo.bin": bytes(range(256)) * 20_000})
    wheel = write_stored(wheel)
    offer = artifact_of(wheel)
    await intake.expect(offer)
    async with Uploader(intake, wheel, offer) as first:
        fetch = await first.next()
        assert isinstance(fetch, m.ChunkRequest)
        assert fetch.offset == 0
        await first.send(fetch)
        part = intake.server.spool_dir / "7" / "wheel.part"
        async with asyncio.timeout(WAIT_S):
            while not part.exists() or part.stat().st_size == 0:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    async with Uploader(intake, wheel, offer) as second:
        fetch = await second.next()
        assert isinstance(fetch, m.ChunkRequest)
        assert fetch.offset > 0
        await second.send(fetch)
        await second.send_all()
    assert (await intake.result()).result.outcome is Outcome.BUILT


async def test_chunks_of_a_former_connection_do_not_disturb_the_next_one(
    intake: UploadHarness, tmp_path: Path
) -> None:
    """A slow link still delivers them when the builder has connected again."""
    wheel = write_stored(make_wheel(tmp_path, files={"demo.bin": bytes(range(256)) * 20_000}))
    offer = artifact_of(wheel)
    await intake.expect(offer)
    async with Uploader(intake, wheel, offer) as former, Uploader(intake, wheel, offer) as sender:
        late = await former.next()
        first = await sender.next()
        assert isinstance(late, m.ChunkRequest)
        assert isinstance(first, m.ChunkRequest)
        await former.send(late)
        await sender.send(first)
        assert isinstance(await sender.send_all(), m.UploadComplete)
    assert (await intake.result()).result.outcome is Outcome.BUILT


async def test_a_part_that_a_loss_of_power_damaged_is_fetched_again(
    intake: UploadHarness, tmp_path: Path
) -> None:
    """Its size may be on disk without its content; the builder's wheel is sound."""
    wheel = make_wheel(tmp_path)
    offer = artifact_of(wheel)
    part = intake.server.spool_dir / "7" / "wheel.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(100))
    await intake.expect(offer)
    async with Uploader(intake, wheel, offer) as first:
        await first.send_all()
        async with asyncio.timeout(WAIT_S):
            while part.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    async with Uploader(intake, wheel, offer) as second:
        await second.send_all()
        assert (await intake.result()).result.outcome is Outcome.BUILT


def write_stored(wheel: Path) -> Path:
    """The wheel again, not packed, so that it is of many pieces."""
    with zipfile.ZipFile(wheel) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2024, 5, 17, 12, 0, 0)), content)
    return wheel


async def test_a_file_of_the_build_of_another_builder_is_rejected(
    intake: UploadHarness, tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path)
    offer = artifact_of(wheel)
    await intake.expect(offer, label="pi1")
    async with Uploader(intake, wheel, offer, name="pi2") as other:
        assert await other.next() == m.UploadComplete(
            build=7, filename=wheel.name, note="not expected"
        )
    assert intake.server.results.empty()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"size_bytes": 7}, "the size is not the announced one"),
        ({"filename": "demo-2.0-py3-none-any.whl"}, "demo-2.0-py3-none-any.whl was not announced"),
    ],
)
async def test_a_file_other_than_announced_is_not_requested(
    intake: UploadHarness, tmp_path: Path, other: dict[str, Any], message: str
) -> None:
    wheel = make_wheel(tmp_path)
    offer = artifact_of(wheel)
    await intake.expect(offer)
    async with Uploader(intake, wheel, msgspec.structs.replace(offer, **other)) as sender:
        assert await sender.next() == m.Rejected(reason=message)
    async with Uploader(intake, wheel, offer) as sender:
        await sender.send_all()
    assert (await intake.result()).result.outcome is Outcome.BUILT


async def test_an_unrequested_chunk_is_rejected(intake: UploadHarness, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    offer = artifact_of(wheel)
    await intake.expect(offer)
    async with Uploader(intake, wheel, offer) as sender:
        fetch = await sender.next()
        assert isinstance(fetch, m.ChunkRequest)
        chunk = m.FileChunk(build=7, filename=wheel.name, offset=fetch.offset + 1)
        await sender.dealer.send(chunk, b"x")
        assert isinstance(await sender.next(), m.Rejected)
        await sender.send(fetch)
        await sender.send_all()
    assert (await intake.result()).result.outcome is Outcome.BUILT


async def test_a_rebuild_with_different_content_gets_a_build_number(
    intake: UploadHarness, tmp_path: Path
) -> None:
    first = await intake.upload(make_wheel(tmp_path, files={"demo.py": b"x = 1\n"}))
    second = await intake.upload(make_wheel(tmp_path, files={"demo.py": b"x = 2\n"}))
    third = await intake.upload(make_wheel(tmp_path, files={"demo.py": b"x = 1\n"}))
    names = [received.files[0].filename for received in (first, second, third)]
    assert names == [
        "demo-1.0-py3-none-any.whl",
        "demo-1.0-1-py3-none-any.whl",
        "demo-1.0-py3-none-any.whl",
    ]


async def test_parts_of_unknown_builds_are_removed(intake: UploadHarness) -> None:
    for name in ("7", "8", "rubbish"):
        (intake.server.spool_dir / name).mkdir(parents=True)
    intake.server.remove_orphans({8})
    assert [folder.name for folder in intake.server.spool_dir.iterdir()] == ["8"]


async def test_hostile_wheels_delay_others_no_longer_than_their_limit(
    intake: UploadHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piwheels.wheel.isolated_read._BASE_CPU_S", 1)
    endless = {f"demo/{number}.so": elf(verneeds=2**32 - 1) for number in range(400)}
    publisher, hostile = intake.server.publisher, []
    for number in range(7):
        (tmp_path / str(number)).mkdir()
        wheel = make_wheel(tmp_path / str(number), tags="py3-none-linux_x86_64", files=endless)
        hostile.append(asyncio.create_task(publisher.publish(wheel, JOB, TARGET)))
    await asyncio.sleep(0)
    assert (
        await publisher.publish(make_wheel(tmp_path), JOB, TARGET)
    ).filename in intake.published_files
    for task in hostile:
        with pytest.raises(RejectedError, match="more than 1 s of processor time"):
            await task


async def test_a_wheel_that_causes_an_internal_error_is_rejected(
    intake: UploadHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wrong(_path: Path) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(wheel_publisher, "read_wheel", wrong)
    received = await intake.upload(make_wheel(tmp_path))
    assert received.result.outcome is Outcome.REFUSED
    assert "internal error of the master (ZeroDivisionError)" in received.result.reason
    monkeypatch.undo()
    assert (await intake.upload(make_wheel(tmp_path))).result.outcome is Outcome.BUILT


# --- wheels that are built again ---


async def test_a_wheel_that_was_built_again_is_compared_and_not_published(
    intake: UploadHarness, tmp_path: Path
) -> None:
    native = {"demo.so": elf(EM_AARCH64), "when.py": b"at = 1\n"}
    wheel = make_wheel(tmp_path, tags="cp311-cp311-linux_aarch64", files=native)
    (published,) = (await intake.upload(wheel)).files
    assert published.filename != wheel.name, "it got a manylinux tag, which is written into it"
    before = intake.published_files
    same = await intake.build_again(wheel, published)
    assert (same.result.outcome, same.rebuilt_sha256, same.comparison) == (
        Outcome.BUILT,
        published.sha256,
        None,
    )
    (tmp_path / "again").mkdir()
    native["when.py"] = b"at = 2\n"
    other = make_wheel(tmp_path / "again", tags="cp311-cp311-linux_aarch64", files=native)
    found = await intake.build_again(other, published)
    assert found.files == ()
    assert found.comparison is not None
    assert [each.member for each in found.comparison.differences] == [
        "when.py",
        "demo-1.0.dist-info/RECORD",
    ]
    assert intake.published_files == before
    assert not list(intake.server.spool_dir.iterdir())


async def test_a_numbered_wheel_is_compared_as_numbered(
    intake: UploadHarness, tmp_path: Path
) -> None:
    await intake.upload(make_wheel(tmp_path, files={"demo.py": b"x = 1\n"}))
    (tmp_path / "again").mkdir()
    wheel = make_wheel(tmp_path / "again", files={"demo.py": b"x = 2\n"})
    (published,) = (await intake.upload(wheel)).files
    assert published.build_tag == 1
    assert (await intake.build_again(wheel, published)).comparison is None


async def test_what_cannot_be_compared_has_a_reason(intake: UploadHarness, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    (published,) = (await intake.upload(wheel)).files
    (tmp_path / "again").mkdir()
    foreign = make_wheel(tmp_path / "again", name="other")
    refused = await intake.build_again(foreign, published)
    assert refused.result.outcome is Outcome.REFUSED
    assert "the job is demo 1.0" in refused.result.reason
    intake.server.publisher.webroot.wheel_path(published.sha256, published.filename).unlink()
    gone = await intake.build_again(wheel, published)
    assert gone.result.outcome is Outcome.REFUSED
    assert gone.result.reason == f"{wheel.name} is missing in the web root"
