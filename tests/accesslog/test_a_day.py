"""300,000 downloads, with rotations and crashes, compared with the generator's counts."""

import contextlib
import gzip
import itertools
import random
import shutil
from pathlib import Path

import pytest

from piwheels.db.database import Database
from tests.accesslog.assertions import assert_counts
from tests.accesslog.helpers import lines_read, piw_process, read_files, wait_until
from tests.accesslog.log_generator import LogGenerator
from tests.timeouts import WAIT_S

_DOWNLOADS = 300_000
_PIECE_LINES = 6_000
_PIECES_A_FILE = 8


@pytest.mark.slow
async def test_downloads_are_counted_exactly_through_rotations_and_crashes(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    """Followed across rotations and crashes, then read again from files and a pipe."""
    traffic = LogGenerator(31, per_s=25.0, download_share=0.5)
    log, chance = tmp_path / "access.log", random.Random(31)
    rotated: list[Path] = []
    crashes = 0
    pieces = itertools.count(1)
    with contextlib.ExitStack() as followers:
        process = followers.enter_context(piw_process(dsn, tmp_path, "--follow", log))
        while sum(traffic.counts.downloads.values()) < _DOWNLOADS:
            number = next(pieces)
            with log.open("ab") as file:
                file.writelines(traffic.lines(_PIECE_LINES))
            if number % _PIECES_A_FILE == 0:
                rotated.append(_rotate(log, len(rotated)))
            if chance.random() < 0.1:
                process.kill()
                crashes += 1
                process = followers.enter_context(piw_process(dsn, tmp_path, "--follow", log))
        wait_until(
            lambda: lines_read(dsn) == traffic.counts.lines,
            "the follower has read everything",
            timeout_s=1800,
        )
    assert crashes >= 3
    assert len(rotated) >= 5
    await assert_counts(database, traffic.counts)
    again = read_files(dsn, tmp_path, log, *(path for path in rotated if path.exists()))
    assert again["lines"] == 0
    with log.open("rb") as stdin, piw_process(dsn, tmp_path, stdin=stdin) as pipe:
        assert pipe.wait(2 * WAIT_S) == 0
    await assert_counts(database, traffic.counts)


def _rotate(log: Path, number: int) -> Path:
    """Rotate a log as logrotate does, with delayed compression."""
    old = log.with_name(f"{log.name}.{number}")
    log.rename(old)
    if number % 2:
        return old
    packed = old.with_name(f"{old.name}.gz")
    with old.open("rb") as source, gzip.open(packed, "wb", compresslevel=1) as target:
        shutil.copyfileobj(source, target)
    shutil.copystat(old, packed)
    return packed
