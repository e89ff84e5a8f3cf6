"""Old accesses are moved into a bucket: all of them, once, whatever ends the export."""

import asyncio
import contextlib
import random
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import obstore
import pytest

from piwheels.accesslog import parquet_export
from piwheels.accesslog.access_files import AccessFiles, access_files
from piwheels.accesslog.parquet_export import (
    delete_expired_objects,
    export_accesses,
)
from piwheels.config import Config, PublishSection
from piwheels.config.sections import AccessLogSection
from piwheels.db.database import Database
from piwheels.db.exported_accesses import (
    exported_days,
    release_export_lock,
    take_export_lock,
    waiting_accesses,
)
from piwheels.errors import ConfigError, RejectedError
from piwheels.object_storage.errors import BucketError, ChangedMeanwhileError
from tests.accesslog.conftest import Read
from tests.accesslog.helpers import environment
from tests.accesslog.test_parquet import (
    FEBRUARY,
    JANUARY,
    LAST,
    _Killed,
    answers,
    read_days,
    rows,
)
from tests.bucket.conftest import storage
from tests.bucket.seaweed import Seaweed
from tests.ports import free_port
from tests.requires import requires_module

__all__ = ["storage"]

pytestmark = [requires_module("duckdb"), requires_module("fsspec")]
_numbers = count(1)
#: A half of the first of two days.
_PART = "at < (SELECT percentile_disc(0.25) WITHIN GROUP (ORDER BY at) FROM december)"


@pytest.fixture
def files(storage: Seaweed, tmp_path: Path) -> AccessFiles:
    """The files of a farm whose bucket has none yet."""
    target = f"s3://accesses/farm-{next(_numbers)}"
    return AccessFiles(tmp_path / "files", target, storage.settings())


def keys(storage: Seaweed, files: AccessFiles) -> list[str]:
    prefix = files.target.removeprefix("s3://accesses/")
    store = storage.raw_store("accesses")
    found = [it["path"] for part in obstore.list(store, f"{prefix}/") for it in part]
    return sorted(key.removeprefix(f"{prefix}/") for key in found)


def left(files: AccessFiles) -> list[Path]:
    """The files on this machine, without the lock."""
    found = [path for path in files.directory.rglob("*") if path.is_file()]
    return [path for path in found if path.name != "export.lock"]


async def test_every_answer_is_the_same_before_and_after(
    database: Database, read: Read, storage: Seaweed, files: AccessFiles
) -> None:
    await read_days(read, files.directory.parent)
    before = await answers(database, files)
    total = await rows(database)
    moved = await export_accesses(database, files, JANUARY)
    assert 0 < moved < total
    assert await answers(database, files) == before  # a part in the bucket, a part in the database
    assert await export_accesses(database, files, FEBRUARY) == total - moved
    assert await rows(database) == 0
    assert await answers(database, files) == before
    days = ["2025/2025-12-30", "2025/2025-12-31", "2026/2026-01-01", "2026/2026-01-02"]
    assert [key.partition(".")[0] for key in keys(storage, files)] == days
    assert not left(files), "nothing stays on this machine"
    recorded = [day.file for day in await exported_days(database)]
    assert recorded == [f"{files.target}/{key}" for key in keys(storage, files)]
    await delete_expired_objects(database, files, JANUARY)
    assert [key.partition(".")[0] for key in keys(storage, files)] == days[2:]
    assert [day.day for day in await exported_days(database)] == [JANUARY, LAST]


async def test_files_from_before_the_setting_stay_where_they_are(
    database: Database, read: Read, storage: Seaweed, files: AccessFiles
) -> None:
    await read_days(read, files.directory.parent)
    before = await answers(database, files)
    await export_accesses(database, AccessFiles(files.directory), JANUARY)
    await export_accesses(database, files, FEBRUARY)
    assert len(keys(storage, files)) == len(list(files.directory.rglob("*.parquet"))) == 2
    assert await answers(database, files) == before


async def test_a_month_stays_while_the_bucket_is_away(
    database: Database, read: Read, tmp_path: Path
) -> None:
    await read_days(read, tmp_path)
    away = PublishSection(endpoint=f"http://127.0.0.1:{free_port()}", region="us-east-1")
    files = AccessFiles(tmp_path / "files", "s3://accesses/none", away)
    total = await rows(database)
    files.bucket("accesses")._store = _without_retries(away)
    with pytest.raises(BucketError, match="cannot be reached"):
        await export_accesses(database, files, JANUARY)
    assert await rows(database) == total
    assert not await exported_days(database)
    waiting = await waiting_accesses(database)
    assert waiting is not None
    assert waiting.problem == "the object storage cannot be reached"
    assert waiting.bytes > 8192
    assert await export_accesses(database, AccessFiles(files.directory), JANUARY) > 0
    assert await waiting_accesses(database) is None


def _without_retries(settings: PublishSection) -> obstore.store.S3Store:
    return obstore.store.S3Store(
        "accesses",
        endpoint=settings.endpoint,
        region=settings.region,
        access_key_id="key",
        secret_access_key="secret",
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )


async def test_what_was_read_back_otherwise_is_not_dropped(
    database: Database,
    read: Read,
    storage: Seaweed,
    files: AccessFiles,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await read_days(read, files.directory.parent)
    total, put = await rows(database), obstore.put
    with monkeypatch.context() as patch:
        patch.setattr(obstore, "put", lambda store, key, file, **more: put(store, key, b"", **more))
        with pytest.raises(BucketError, match="read back from the bucket with other bytes"):
            await export_accesses(database, files, JANUARY)
    assert await rows(database) == total
    before = await answers(database, files)
    await export_accesses(database, files, JANUARY)
    assert await answers(database, files) == before, "the damaged object was written again"


async def test_an_object_that_is_gone_is_an_error(
    database: Database, read: Read, storage: Seaweed, files: AccessFiles
) -> None:
    await read_days(read, files.directory.parent)
    await export_accesses(database, files, JANUARY)
    (first, _) = [day.file for day in await exported_days(database)]
    files.delete(first)
    with pytest.raises(BucketError, match="is not in the bucket accesses"):
        await answers(database, files)


async def _restore(database: Database, copied: str) -> None:
    """Restore December from its copy, of the days and times that a condition names."""
    await database.execute("DELETE FROM exported_accesses")
    await database.execute("SELECT create_access_partition('2025-12-15Z')")
    await database.execute(f"INSERT INTO access_records SELECT * FROM december WHERE {copied}")


async def _move_december(database: Database, read: Read, files: AccessFiles) -> int:
    """Export a month of which a copy is kept; returns how many accesses it has."""
    await read_days(read, files.directory.parent)
    await database.execute(
        "CREATE TABLE december AS SELECT * FROM access_records WHERE at < '2026-01-01Z'"
    )
    return await export_accesses(database, files, JANUARY)


@pytest.fixture(params=["bucket", "local"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> AccessFiles:
    """The files of a farm, in each of both places."""
    if request.param == "local":
        return AccessFiles(tmp_path / "files")
    found: AccessFiles = request.getfixturevalue("files")
    return found


def _contents(storage: Seaweed, files: AccessFiles) -> dict[str, object]:
    """What identifies the bytes of all files of days."""
    if not files.target:
        return {str(it): it.read_bytes() for it in files.directory.rglob("*.parquet")}
    found = {key: files.find(f"{files.target}/{key}") for key in keys(storage, files)}
    return {key: (it.etag, it.changed_at) for key, it in found.items() if it is not None}


async def test_a_restored_database_takes_the_files_and_replaces_none(
    database: Database, read: Read, storage: Seaweed, place: AccessFiles
) -> None:
    """It has a part of a day, nothing of the next one, and no file is recorded."""
    await _move_december(database, read, place)
    before, written = await answers(database, place), _contents(storage, place)
    await _restore(database, _PART)
    assert await rows(database) > 0
    await export_accesses(database, place, JANUARY)
    assert await answers(database, place) == before
    assert _contents(storage, place) == written
    recorded = await exported_days(database)
    assert [(it.day.day, it.adopted) for it in recorded] == [(30, True), (31, True)]
    # The same lines are read again.
    await database.execute("SELECT create_access_partition('2025-12-15Z')")
    await database.execute("INSERT INTO access_records SELECT * FROM december")
    await export_accesses(database, place, JANUARY)
    assert await answers(database, place) == before
    assert _contents(storage, place) == written


async def test_more_accesses_than_a_file_that_is_not_recorded_are_counted_instead_of_it(
    database: Database, read: Read, storage: Seaweed, place: AccessFiles
) -> None:
    await _move_december(database, read, place)
    written = _contents(storage, place)
    await _restore(database, "true")
    await database.execute(
        "INSERT INTO access_records SELECT at + interval '1 hour' - interval '1 second', client_hash,"
        " agent_id, wheel_id, 77, request_kind, status FROM december ORDER BY at LIMIT 1"
    )
    before = await answers(database, AccessFiles(place.directory / "none"))
    await export_accesses(database, place, JANUARY)
    assert await answers(database, place) == before
    now = _contents(storage, place)
    assert written.items() < now.items(), "the former file stays beside"


async def test_accesses_that_are_a_part_of_a_file_only_are_refused(
    database: Database, read: Read, storage: Seaweed, place: AccessFiles
) -> None:
    """Neither the file nor the database has all: each sum would be wrong."""
    await _move_december(database, read, place)
    written = _contents(storage, place)
    await _restore(database, _PART)
    await database.execute(
        "INSERT INTO access_records SELECT at, client_hash, agent_id, wheel_id, 77, request_kind,"
        " status FROM december ORDER BY at LIMIT 1"
    )
    kept = await rows(database)
    with pytest.raises(RejectedError, match=r"2025-12-30 stay in the database: of .* are also in"):
        await export_accesses(database, place, JANUARY)
    assert await rows(database) == kept
    assert _contents(storage, place) == written
    waiting = await waiting_accesses(database)
    assert waiting is not None
    assert "2025/2025-12-30." in waiting.problem


async def test_an_object_is_read_in_parts_and_once(
    storage: Seaweed, files: AccessFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files.directory.parent / "large"
    path.write_bytes(random.Random(7).randbytes(18 * 2**20))
    ranges, original = list[int](), obstore.get_range

    def get_range(store: obstore.store.S3Store, key: str, *, start: int, end: int) -> object:
        ranges.append(end - start)
        return original(store, key, start=start, end=end)

    monkeypatch.setattr(obstore, "get_range", get_range)
    name = files.name_of("large")
    files.upload(path, name, {})
    assert ranges == [8 * 2**20, 8 * 2**20, 2 * 2**20]
    files.upload(path, name, {})
    assert len(ranges) == 3, "it was verified"
    path.write_bytes(b"other")
    with pytest.raises(ChangedMeanwhileError, match="the bucket has another object"):
        files.upload(path, name, {})
    files.delete(name)
    files.upload(path, name, {})
    assert ranges[3:] == [5]


def _kill_at(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, *, before: bool) -> None:
    original: Callable[..., object] = getattr(owner, name)

    def killed(*arguments: object, **named: object) -> object:
        if not before:
            original(*arguments, **named)
        raise _Killed

    async def killed_async(*arguments: object) -> object:
        if not before:
            await original(*arguments)  # type: ignore[misc]
        raise _Killed

    is_async = asyncio.iscoroutinefunction(original)
    monkeypatch.setattr(owner, name, killed_async if is_async else killed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "name", "before"),
    [
        (parquet_export, "_write_day", False),
        (obstore, "put", False),
        (AccessFiles, "upload", False),
        (parquet_export, "_export_day", False),
        (parquet_export, "finish_month", True),
        (parquet_export, "finish_month", False),
    ],
)
async def test_an_export_that_ended_at_any_step_is_resumed(
    *,
    database: Database,
    read: Read,
    storage: Seaweed,
    files: AccessFiles,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
    before: bool,
) -> None:
    await read_days(read, files.directory.parent)
    expected = await answers(database, files)
    with monkeypatch.context() as patch:
        _kill_at(patch, owner, name, before=before)
        with pytest.raises(_Killed):
            await export_accesses(database, files, JANUARY)
    assert await answers(database, files) == expected
    await export_accesses(database, files, FEBRUARY)
    assert await rows(database) == 0
    assert await answers(database, files) == expected
    assert len(keys(storage, files)) == 4
    assert not left(files)


async def test_two_exports_at_a_time_are_refused(
    database: Database, dsn: str, read: Read, tmp_path: Path
) -> None:
    """The second one would write a day of which the database has nothing any more."""
    await read_days(read, tmp_path)
    files = AccessFiles(tmp_path / "files")
    async with await Database.connect(dsn, role="export") as other:
        assert await take_export_lock(other)
        with pytest.raises(RejectedError, match="another process moves accesses now"):
            await export_accesses(database, files, JANUARY)
        await release_export_lock(other)
        assert await export_accesses(database, files, JANUARY) > 0
        assert await take_export_lock(other), "it was let go"


@pytest.mark.parametrize(
    ("target", "site", "is_refused"),
    [
        ("s3://farm", "s3://farm", True),
        ("s3://farm/accesses", "s3://farm", True),
        ("s3://farm/copy/accesses", "s3://farm/copy/", True),
        ("s3://farm/copy-accesses", "s3://farm/copy", False),
        ("s3://accesses", "s3://farm", False),
        ("s3://accesses", "", False),
    ],
)
def test_accesses_are_never_moved_to_where_everybody_reads(
    target: str, site: str, *, is_refused: bool
) -> None:
    config = Config(
        accesslog=AccessLogSection(parquet_target=target), publish=PublishSection(target=site)
    )
    if not is_refused:
        assert access_files(config).name_of("a") == f"{target}/a"
        return
    with pytest.raises(ConfigError, match="which everybody reads"):
        access_files(config)


@pytest.mark.slow
async def test_kill_9_at_random_moments(
    *,
    database: Database,
    dsn: str,
    read: Read,
    storage: Seaweed,
    files: AccessFiles,
    tmp_path: Path,
) -> None:
    await read_days(read, tmp_path)
    chance = random.Random(7)
    before = await answers(database, files)
    command = [sys.executable, "-m", "piwheels", "stats", "export", "--older-than", "1"]
    settings = files.storage
    variables = environment(
        dsn,
        tmp_path,
        PIWHEELS_ACCESSLOG_PARQUET_DIR=str(files.directory),
        PIWHEELS_ACCESSLOG_PARQUET_TARGET=files.target,
        PIWHEELS_PUBLISH_ENDPOINT=settings.endpoint,
        PIWHEELS_PUBLISH_REGION=settings.region,
        PIWHEELS_PUBLISH_CREDENTIALS_FILE=str(settings.credentials_file),
    )

    def export(after_s: float) -> None:
        process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after_s)
        process.kill()
        process.wait()

    for _ in range(8):
        await asyncio.to_thread(export, chance.uniform(0.5, 4.0))
        assert await answers(database, files) == before
    await asyncio.to_thread(export, 120.0)
    assert await rows(database) == 0
    assert await answers(database, files) == before
    assert len(keys(storage, files)) == 4
