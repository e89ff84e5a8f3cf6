"""Makes a restored database and the web root agree, whichever of them is older.

Wheels that the web root lacks leave the index, and their releases are built again. Wheels that the
database does not know were published after the backup: clients may have pinned them, so they are
listed again with the same name and content. What cannot be listed is moved aside, and its name
stays reserved for its content; nothing is deleted.
"""

import asyncio
import itertools
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from piwheels.audit.moved_aside import MovedAside
from piwheels.audit.tree import read_file
from piwheels.backup.archive import Archive, ListedWheel
from piwheels.backup.backup import Progress
from piwheels.db import catalog, completed_builds, page_queue, restored
from piwheels.db.database import Database
from piwheels.db.page_queue import PageKind
from piwheels.db.restored import WheelRecord
from piwheels.errors import MALFORMED, RejectedError
from piwheels.formatting import format_count
from piwheels.model import RESTORE_MAKER, CompatibilityRules, Struct, WheelFile, projection
from piwheels.scheduler import imported_wheels
from piwheels.scheduler.wheel_publisher import WheelPublisher
from piwheels.webroot import Webroot, files_beside, wheel_of

log = logging.getLogger(__name__)

_BATCH = 500
_MAX_PAGE_BYTES = 256 * 1024**2
_T = TypeVar("_T")


class TreeReport(Struct, frozen=True, kw_only=True):
    """What was different, and what was done about it."""

    missing: int = 0  # wheels that the web root lacks
    missing_bytes: int = 0
    not_buildable: int = 0  # those of them whose release has no sdist
    adopted: int = 0  # wheels from after the backup that are listed again
    moved: int = 0  # files and folders that were moved aside
    repaired: int = 0  # what the audit repaired after that: damaged files, pages


class _ListedFile(Struct, frozen=True):
    """A file on an index page (PEP 691), as far as it is read here."""

    filename: str
    hashes: dict[str, str]


class _ListedFiles(Struct, frozen=True):
    """An index page, as far as it is read here."""

    files: tuple[_ListedFile, ...] = ()


class TreeFile(NamedTuple):
    """A wheel in the web root."""

    filename: str
    sha256: str  # by its folder
    path: Path


def lacking(webroot: Webroot, wheels: Iterable[ListedWheel]) -> Iterator[ListedWheel]:
    """Those of the wheels that the web root lacks, or has with another size."""
    for wheel in wheels:
        path = webroot.wheel_path(wheel.sha256, wheel.filename)
        try:
            if path.stat().st_size == wheel.size_bytes:
                continue
        except (FileNotFoundError, NotADirectoryError):
            pass
        yield wheel


def _without_statement(webroot: Webroot, wheels: Iterable[ListedWheel]) -> list[str]:
    """The names of those of the wheels that have no statement beside them."""
    return [
        wheel.filename
        for wheel in wheels
        if not webroot.provenance_path(wheel.sha256, wheel.filename).is_file()
    ]


def highest_build_with_log(webroot: Webroot) -> int:
    """The highest number of a build that has a log in the web root; 0 for none."""
    for outer in _numbered(webroot.root / "logs"):
        for inner in _numbered(outer):
            if any(inner.iterdir()):
                return int(outer.name) * 10_000 + int(inner.name)
    return 0


def _numbered(folder: Path) -> list[Path]:
    """The folders in it that are called like numbers, the highest first."""
    try:
        found = [path for path in folder.iterdir() if path.name.isdecimal() and path.is_dir()]
    except FileNotFoundError:
        return []
    return sorted(found, key=lambda path: int(path.name), reverse=True)


@dataclass(slots=True)
class TreeRepair:
    """Changes a restored database and its web root; repeating it does no harm."""

    db: Database
    webroot: Webroot
    rules: CompatibilityRules
    aside: MovedAside
    progress: Progress
    _publisher: WheelPublisher = field(init=False)
    _adopted: int = 0
    _moved: int = 0

    def __post_init__(self) -> None:
        self._publisher = WheelPublisher(self.db, self.webroot)

    async def run(self, archive: Archive) -> TreeReport:
        """Compare everything, and have all pages written again."""
        report = await self._unlist_missing(archive)
        await self._sort_unknown_wheels()
        await self._sort_project_folders()
        await page_queue.request_rewrite(self.db, None, None)
        return TreeReport(
            missing=report.missing,
            missing_bytes=report.missing_bytes,
            not_buildable=report.not_buildable,
            adopted=self._adopted,
            moved=self._moved,
        )

    async def _unlist_missing(self, archive: Archive) -> TreeReport:
        count, size_bytes, not_buildable, seen = 0, 0, 0, 0
        for batch in _batches(archive.wheels()):
            missing = await asyncio.to_thread(lambda: list(lacking(self.webroot, batch)))  # noqa: B023
            seen += len(batch)
            await restored.forget_statements(
                self.db, await asyncio.to_thread(_without_statement, self.webroot, batch)
            )
            self.progress(f"looking for wheels: {format_count(seen)}")
            if not missing:
                continue
            for wheel in missing:
                self._set_aside(self.webroot.wheel_path(wheel.sha256, wheel.filename))
            unlisted = await restored.unlist_wheels(
                self.db,
                sorted({wheel.project for wheel in missing}),
                [wheel.filename for wheel in missing],
            )
            count += len(missing)
            size_bytes += sum(wheel.size_bytes for wheel in missing)
            not_buildable += unlisted.without_sdist
        return TreeReport(missing=count, missing_bytes=size_bytes, not_buildable=not_buildable)

    async def _sort_unknown_wheels(self) -> None:
        for batch in _batches(wheels_in(self.webroot)):
            records = await restored.wheel_records(self.db, [file.filename for file in batch])
            later = []
            for file in batch:
                record = records.get(file.filename)
                if _was_published_later(file, record):
                    later.append(self._adopt(file))
                elif not _belongs_here(file, record):
                    self._set_aside(file.path)
            await asyncio.gather(*later)

    async def _adopt(self, file: TreeFile) -> None:
        """List a wheel from after the backup; one that cannot be listed is moved aside."""
        if not await catalog.reserve_filename(self.db, file.filename, file.sha256):
            self._set_aside(file.path)
            return
        try:
            await self._list_again(file)
        except RejectedError as error:
            log.warning("%s is moved aside: %s", file.filename, error)
            self._set_aside(file.path)
        else:
            self._adopted += 1
            self.progress(f"listing wheels from after the backup: {format_count(self._adopted)}")

    async def _list_again(self, file: TreeFile) -> None:
        facts = await self._publisher.inspect(file.path)
        if (facts.filename, facts.sha256) != (file.filename, file.sha256):
            raise RejectedError("its content is not what its path says")
        target = await imported_wheels.first_compatible_target(self.db, self.rules, facts)
        self.webroot.write(self.webroot.metadata_path(file.sha256, file.filename), facts.metadata)
        project, version = facts.project, facts.version
        await imported_wheels.add_missing_release(
            self.db, self.rules, project, version, facts.requires_python
        )
        number = await completed_builds.next_build_id(self.db)
        build = imported_wheels.build_of(number, project, version, target, RESTORE_MAKER)
        statement = self.webroot.provenance_path(file.sha256, file.filename)
        wheel = projection(WheelFile, facts, has_provenance=statement.is_file())
        if not await completed_builds.record_import(self.db, build, [wheel], self.rules):
            raise RejectedError("its release is gone")

    async def _sort_project_folders(self) -> None:
        """Move pages of unknown projects aside, and have those of all others written again."""
        for folder in (self.webroot.simple_dir(), self.webroot.root / "project"):
            for batch in _batches(_subfolders(folder)):
                names = [path.name for path in batch]
                known = await catalog.existing_projects(self.db, names)
                known_names = known | await restored.existing_aliases(self.db, names)
                for path in batch:
                    await self._reserve_listed_names(path / "index.v1_json")
                    if path.name not in known_names:
                        self._move(path)
                await page_queue.invalidate(self.db, PageKind.SIMPLE, sorted(known))

    async def _reserve_listed_names(self, page: Path) -> None:
        """Keep the names that an index page lists for their contents: clients may have read it."""
        try:
            listed = msgspec.json.decode(read_file(page, _MAX_PAGE_BYTES), type=_ListedFiles)
        except (OSError, *MALFORMED):
            return
        hashes = {file.filename: file.hashes.get("sha256", "") for file in listed.files}
        await restored.reserve_names(
            self.db, {name: sha256 for name, sha256 in hashes.items() if sha256}
        )

    def _set_aside(self, wheel: Path) -> None:
        """Move a wheel and what is beside it aside; what is not there stays so."""
        for path in (*files_beside(wheel), wheel):
            if os.path.lexists(path):
                self._move(path)
        self.webroot.remove_empty_dirs(wheel.parent)

    def _move(self, path: Path) -> None:
        self.aside.move(path)
        self._moved += 1


def _was_published_later(file: TreeFile, record: WheelRecord | None) -> bool:
    if record is None:
        return True
    # It may have been published in the moment after the backup.
    return record.installing and record.sha256 == file.sha256 and not record.published


def _belongs_here(file: TreeFile, record: WheelRecord | None) -> bool:
    """Whether the database expects this file: listed, or to be deleted by the master."""
    return (
        record is not None and record.sha256 == file.sha256 and (record.published or record.removed)
    )


def wheels_in(webroot: Webroot) -> Iterator[TreeFile]:
    """The wheels in a web root, by hash; no links, which an audit moves aside."""
    for outer in _subfolders(webroot.root / "packages"):
        for inner in _subfolders(outer):
            for entry in sorted(inner.iterdir()):
                is_wheel = wheel_of(entry.name) == entry.name and not entry.name.startswith(".")
                if is_wheel and entry.is_file() and not entry.is_symlink():
                    yield TreeFile(entry.name, inner.name, entry)


def _subfolders(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return
    for name in names:
        yield folder / name


def _batches(items: Iterable[_T]) -> Iterator[list[_T]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, _BATCH)):
        yield batch
