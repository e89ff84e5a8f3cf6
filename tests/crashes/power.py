"""Losses of power at many moments of one recording, and what has to survive each of them.

PostgreSQL's own disk is not cut: what it has committed counts as stored. To cut it in the same
recording, the recorder would have to know `pwritev`, `truncate` and `posix_fallocate`, and to leave
out what PostgreSQL writes by stdio and makes again after a crash; torn writes would have to keep
sectors of 512 bytes whole, as `pg_control` needs; and names would have to be kept as on ext4, because
PostgreSQL does not sync the directories of its tables.
"""

import gzip
import random
from collections.abc import Iterator
from pathlib import Path

import msgspec

from piwheels.db.database import Database
from piwheels.protocol.messages import BuildFinished
from piwheels.webroot import Webroot, files_beside
from tests.crashes.client import PageReader, pages_of
from tests.crashes.disk import NOTE, Disk, Found, Record, add_note, read_journal


class Survivors(msgspec.Struct):
    """What the database had at a moment: the hash of each file by path, and logs."""

    files: dict[str, str] = {}
    logs: list[str] = []


async def note_survivors(db: Database, www: Path, journal: Path) -> None:
    """Note in a journal what is in the database, and so has to survive from then on."""
    webroot = Webroot(www)
    noted = Survivors()
    for row in await db.rows("SELECT filename, sha256, metadata_sha256 FROM files"):
        wheel = webroot.wheel_path(row["sha256"], row["filename"])
        noted.files[str(wheel)] = row["sha256"]
        noted.files[str(files_beside(wheel)[1])] = row["metadata_sha256"]
    rows = await db.rows("SELECT build_id FROM builds WHERE outcome IN ('built', 'failed')")
    noted.logs = [str(webroot.log_path(row["build_id"])) for row in rows]
    add_note(journal, msgspec.json.encode(noted))


class PowerCuts:
    """Cuts at random moments of a recording."""

    def __init__(self, disk: Disk, journal: Path, www: Path) -> None:
        self.cuts = 0
        self.last: Found | None = None  # the disk after the last cut, at the end of the recording
        self._disk = disk
        self._records = list(read_journal(journal))
        self._www = www
        self._next = self._notes_that_follow()

    def faults(self, cuts: int, chance: random.Random) -> Iterator[str]:
        """What is lost or wrong after so many cuts, the last of them at the end."""
        count = len(self._records)
        moments = sorted(chance.randrange(count) for _ in range(cuts - 1)) if count else []
        before = Survivors()
        for number, record in enumerate(self._records):
            try:
                self._disk.replay(record)
            except LookupError:
                return  # a process was killed between a change and its record
            if record.operation == NOTE:
                before = msgspec.json.decode(record.first, type=Survivors)
            while moments and moments[0] == number:
                moments.pop(0)
                yield from self._faults_of_cut(self._disk.cut(chance), before, self._next[number])
        self.last = self._disk.cut(chance)
        yield from self._faults_of_cut(self.last, before, before)

    def _notes_that_follow(self) -> list[Survivors]:
        """The next note after each record; after the last one, that one."""
        following, after = [], Survivors()
        for record in reversed(self._records):
            after = _noted(record) or after
            following.append(after)
        return following[::-1]

    def _faults_of_cut(self, found: Found, before: Survivors, after: Survivors) -> Iterator[str]:
        self.cuts += 1
        reader = PageReader(self._www, found.read)
        for folder in found.folders:
            if folder.parent == self._www / "simple":
                for page in pages_of(folder):
                    yield from reader.faults_of_page(page)
        for name, sha256 in before.files.items():
            if name in after.files:
                yield from reader.faults_of_content(Path(name), sha256)
        yield from (
            f"{name} is not a whole log"
            for name in set(before.logs) & set(after.logs)
            if not _is_whole(found, Path(name))
        )
        for path in found.files:
            if path.name == "result.msgpack":
                yield from _faults_of_result(reader, found, path)


def _faults_of_result(reader: PageReader, found: Found, path: Path) -> Iterator[str]:
    """A result that a builder stored means that its wheels are whole."""
    result = msgspec.msgpack.decode(found.read(path), type=BuildFinished)
    for file in result.files:
        wheel = path.parent / "wheels" / file.filename
        yield from reader.faults_of_content(wheel, file.sha256)
    if not found.files.get(path.with_name("log"), (b"",))[0]:
        yield f"{path} has no log"


def _noted(record: Record) -> Survivors | None:
    if record.operation != NOTE:
        return None
    return msgspec.json.decode(record.first, type=Survivors)


def _is_whole(found: Found, log: Path) -> bool:
    try:
        return bool(gzip.decompress(found.read(log)))
    except (OSError, EOFError):
        return False
