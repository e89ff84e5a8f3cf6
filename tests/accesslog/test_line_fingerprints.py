"""Parts of logs that were read before are counted once, and reported."""

import gzip
import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piwheels.accesslog import line_fingerprints, reader
from piwheels.accesslog.line_fingerprints import (
    MIN_RUN,
    Comparison,
    Lines,
    chain_fingerprints,
    find_counted,
    hash_array,
)
from piwheels.db import access_log_positions
from piwheels.db.database import Database
from tests.accesslog.assertions import total_downloads
from tests.accesslog.conftest import Read, new_context, read_with
from tests.accesslog.helpers import read_files
from tests.accesslog.log_generator import LogGenerator, download

BEGAN = datetime(2026, 3, 10, 8, tzinfo=UTC)


def lines(first: int, many: int, *, project: str = "a") -> list[bytes]:
    """Downloads, one per second, each from another address."""
    return [
        download(
            project,
            number,
            at=BEGAN + timedelta(seconds=number),
            address=f"192.0.2.{number % 200}",
        )
        for number in range(first, first + many)
    ]


OLD, NEW = lines(0, 900), lines(900, 900)


def tail(many: int) -> Callable[[bytes, bytes], bytes]:
    """`tail -n MANY` of the newer log."""
    return lambda _, new: b"".join(new.splitlines(keepends=True)[-many:])


@pytest.mark.parametrize(
    "make",
    [
        lambda old, new: old + new,
        lambda old, new: new + old,
        lambda old, new: new + old + new,
        tail(50),
        tail(5),
        tail(2),
        lambda old, new: old[old.find(b"\n", 9000) + 1 :] + new[: new.find(b"\n", 9000) + 1],
        lambda _, new: new.replace(b"\n", b"\r\n"),
        lambda _, new: b"".join(
            line for line in new.splitlines(keepends=True) if b"192.0.2.7 " not in line
        ),
        lambda old, new: gzip.compress(new + old),
    ],
    ids=[
        "cat log.1 log", "cat log log.1", "cat log log.1 log", "tail -n 50", "tail -n 5",
        "tail -n 2", "cut at both ends", "CRLF", "grep -v", "zcat",
    ],
)  # fmt: skip
async def test_a_part_of_read_logs_is_counted_once(
    read: Read,
    database: Database,
    tmp_path: Path,
    make: Callable[[bytes, bytes], bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    old, new = b"".join(OLD), b"".join(NEW)
    for name, content in (("log.1", old), ("log", new), ("part", make(old, new))):
        (tmp_path / name).write_bytes(content)
        await read(tmp_path / name)
    assert await total_downloads(database) == len(OLD) + len(NEW)
    assert await database.value("SELECT sum(lines)::int FROM ingested_logs") == len(OLD) + len(NEW)
    if b"".join(OLD) in make(old, new)[: len(old)]:
        return  # it begins as a log that is known by its chain
    assert f"{tmp_path / 'part'}: " in caplog.text
    assert "lines were already counted" in caplog.text


async def test_new_lines_among_counted_ones_are_counted(
    read: Read, database: Database, tmp_path: Path
) -> None:
    (tmp_path / "log").write_bytes(b"".join(OLD))
    await read(tmp_path / "log")
    (tmp_path / "all").write_bytes(b"".join(NEW[:300] + OLD[200:700] + NEW[300:]))
    await read(tmp_path / "all")
    assert await total_downloads(database) == len(OLD) + len(NEW)


async def test_a_log_that_contains_itself_twice_is_counted_once(
    read: Read, database: Database, tmp_path: Path
) -> None:
    (tmp_path / "log").write_bytes(b"".join(OLD + OLD))
    await read(tmp_path / "log")
    assert await total_downloads(database) == len(OLD)


@pytest.mark.parametrize("block_bytes", [20_000, 50_000])
async def test_counted_lines_are_recognized_across_blocks(
    read: Read,
    database: Database,
    tmp_path: Path,
    block_bytes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(reader, "PIECE_BYTES", block_bytes // 4)
    for number, content in enumerate((OLD, NEW, NEW + OLD, OLD[100:] + NEW)):
        (tmp_path / str(number)).write_bytes(b"".join(content))
        await read(tmp_path / str(number))
    assert await total_downloads(database) == len(OLD) + len(NEW)


async def test_two_servers_with_the_same_requests_are_both_counted(
    read: Read, database: Database, tmp_path: Path
) -> None:
    """Some of their lines differ only in the address, which is not stored."""
    chance = random.Random(1)
    logs = [
        b"".join(
            download(f"p{chance.randrange(20)}", 0, at=BEGAN + timedelta(seconds=number // 20))
            for number in range(5000)
        )
        for _ in range(2)
    ]
    for number, content in enumerate(logs):
        (tmp_path / str(number)).write_bytes(content)
        await read(tmp_path / str(number))
    assert await total_downloads(database) == 10_000


async def test_a_part_in_another_format_is_recognized(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    traffic = LogGenerator(33)
    whole = list(traffic.lines(3000))
    (tmp_path / "log").write_bytes(b"".join(whole))
    (tmp_path / "end").write_bytes(b"".join(whole[1000:]))
    assert read_files(dsn, tmp_path, tmp_path / "log")["known_lines"] == 0
    message = read_files(dsn, tmp_path, tmp_path / "end")
    assert message["lines"] - message["broken"] == 0
    await total_downloads(database)


async def test_lines_counted_by_earlier_versions_are_reported(
    read: Read, database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "log").write_bytes(b"".join(OLD))
    await read(tmp_path / "log")
    assert "cannot" not in caplog.text
    await database.execute("DELETE FROM line_fingerprints")
    (tmp_path / "tail").write_bytes(b"".join(OLD[-50:]))
    await read(tmp_path / "tail")
    assert f"{tmp_path / 'tail'}: accesses of 2026-03-10 were counted by an earlier" in caplog.text


async def test_fingerprints_of_a_minute_are_merged(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "BLOCK_BYTES", 5000)
    monkeypatch.setattr(reader, "PIECE_BYTES", 1000)
    log = tmp_path / "log"
    log.write_bytes(b"".join(OLD))
    await read_with(new_context(database, tmp_path), log)
    assert await database.value("SELECT count(*) FROM line_fingerprints") > 15
    for _ in range(2):
        await access_log_positions.compact_fingerprints(database, 2**31 - 1)
        assert await database.value("SELECT count(*) FROM line_fingerprints") == 15
        assert (
            await database.value("SELECT sum(length(fingerprints))::int FROM line_fingerprints")
            == 4 * 900
        )
    monkeypatch.undo()
    log.write_bytes(b"".join(OLD[450:]))
    await read_with(new_context(database, tmp_path), log)
    assert await total_downloads(database) == 900


async def test_single_similar_lines_are_counted_and_reported(
    read: Read, database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "log").write_bytes(b"".join(OLD))
    await read(tmp_path / "log")
    (tmp_path / "other").write_bytes(b"".join(lines(5, 3) + lines(5000, 3)))
    await read(tmp_path / "other")
    assert await total_downloads(database) == 906
    (tmp_path / "one").write_bytes(OLD[-1])
    await read(tmp_path / "one")
    assert f"{tmp_path / 'one'}: 1 lines resemble" in caplog.text
    assert "3 lines resemble a few lines of another log; they are counted" in caplog.text


def lines_of(found: list[tuple[int, int]]) -> Lines:
    """Lines with these minutes and fingerprints."""
    starts = [
        (minute, number)
        for number, (minute, _) in enumerate(found)
        if number == 0 or found[number - 1][0] != minute
    ]
    return Lines(starts, chain_fingerprints(hash_array(mark for _, mark in found), 0))


def flags(compared: Comparison, count: int) -> list[bool]:
    return compared.counted or [False] * count


_LINES = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 50)), max_size=60)


@given(_LINES, _LINES, st.integers(0, 60), st.integers(0, 60))
def test_counted_runs_are_recognized_and_new_lines_are_not(
    before: list[tuple[int, int]], new: list[tuple[int, int]], first: int, last: int
) -> None:
    kept = lines_of(before).fingerprints
    seen: dict[int, set[int]] = {}
    for (minute, _), mark in zip(before, kept, strict=True):
        seen.setdefault(minute, set()).add(mark)
    part = before[first:last]
    found = part + new
    compared = lines_of(found)
    known = flags(find_counted(compared, seen, is_whole_log=False, continues=False), len(found))
    assert len(known) == len(found)
    if len(set(compared.fingerprints[1 : len(part)])) >= MIN_RUN:
        assert all(known[: len(part)])
    everything = {*before, *found[:-1]}
    assert all(line in everything for line, is_known in zip(found, known, strict=True) if is_known)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2**32 - 1), st.booleans()), min_size=1),
    st.booleans(),
)
def test_fingerprints_of_new_lines_are_stored_by_minute(
    found: list[tuple[int, int, bool]], some_known: bool
) -> None:
    lines = lines_of([(minute, mark) for minute, mark, _ in found])
    known = [is_known for *_, is_known in found] if some_known else []
    kept = line_fingerprints.by_minute(lines, known)
    new = [
        (minute, mark)
        for (minute, _, is_known), mark in zip(found, lines.fingerprints, strict=True)
        if not (some_known and is_known)
    ]
    assert {minute: line_fingerprints.unpack(found) for minute, found in kept.items()} == {
        minute: {mark for other, mark in new if other == minute} for minute, _ in new
    }
    assert sum(map(len, kept.values())) == 4 * len(new)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1), st.integers(0, 2**32 - 1))
def test_a_fingerprint_combines_a_line_and_the_previous_one(
    message: list[int], before: int
) -> None:
    own = [number % 2**32 for number in message]
    rotated = [(mark << 1 | mark >> 31) % 2**32 for mark in [before, *own]]
    assert [*hash_array(message)] == own
    assert [*chain_fingerprints(hash_array(message), before)] == [
        mark ^ earlier for mark, earlier in zip(own, rotated, strict=False)
    ]
