"""A finished wheel's way into the served tree: inspected, named, and laid down in order.

The wheel first, then its metadata; the database, and with it the page, follow. A name that
once stood for other bytes is never used again: the new wheel gets a build number (PEP 427).

Installers compare no glibc on `linux_<arch>` tags, and among equal tags they take the highest
build number. So a wheel carries a manylinux tag where it can (PEP 600), and of two with the same
tags the one that needs the older glibc has the higher number.
"""

import asyncio
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from piwheels.db import catalog, file_deletions
from piwheels.db.database import Database
from piwheels.errors import RejectedError
from piwheels.model import Job, Target, WheelFile, build_tag_number
from piwheels.webroot import Webroot, install_file
from piwheels.wheel.inspect import WheelInfo, check_matches_job, manylinux_platform
from piwheels.wheel.isolated_read import number_wheel, read_wheel, retag_wheel
from piwheels.wheel.tags import glibc_version

_DEBIAN_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_MAX_BUILD_NUMBERS = 1000
#: So many wheels are read at the same time: each takes a process.
_MAX_CONCURRENT_READS = max(2, os.cpu_count() or 1)


@dataclass(slots=True)
class WheelPublisher:
    """Publishes wheels into one tree."""

    db: Database
    webroot: Webroot
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _read_slots: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(_MAX_CONCURRENT_READS)
    )

    async def publish(
        self, path: Path, job: Job, target: Target, dependencies: tuple[str, ...] = ()
    ) -> WheelFile:
        """Check a wheel of a job against the target, and move it into the tree.

        Raises:
            RefusedError: the wheel is not sound, or is not what the job asked for.
            OSError: the tree cannot take it.
        """
        facts = await self.inspect(path)
        check_matches_job(facts, job, target)
        return await self.install(facts, path, dependencies, target)

    async def inspect(self, path: Path) -> WheelInfo:
        """Read a wheel and check it against itself; a few at once.

        Raises:
            RefusedError: it is not sound.
            OSError: it cannot be read now.
        """
        async with self._read_slots:
            return await read_wheel(path)

    async def install(
        self,
        facts: WheelInfo,
        path: Path,
        dependencies: tuple[str, ...] = (),
        target: Target | None = None,
    ) -> WheelFile:
        """Give a sound wheel a name that is its own, and move it into the tree.

        Args:
            facts: its name, tags and metadata.
            path: where it lies, in a folder of its own.
            dependencies: Debian packages that it needs.
            target: one that it has to install on under whatever tags it gets.

        Raises:
            RefusedError: no name is left for it.
            OSError: the tree cannot take it, and is as it was.
        """
        path, facts = await self._retag_manylinux(path, facts, target)
        async with self._lock:
            path, facts = await self._pick_unique_name(path, facts)
            # The same file may be waiting for its removal, since before.
            await file_deletions.reserve_install(
                self.db, facts.filename, facts.sha256, facts.project
            )
            await asyncio.to_thread(self._install_files, facts, path)
        return facts.to_wheel_file(tuple(filter(_DEBIAN_PACKAGE.fullmatch, dependencies)))

    def _install_files(self, facts: WheelInfo, path: Path) -> None:
        wheel = self.webroot.wheel_path(facts.sha256, facts.filename)
        metadata = self.webroot.metadata_path(facts.sha256, facts.filename)
        with self.webroot.packages_lock():
            was_there = wheel.exists()
            try:
                install_file(path, wheel)
                self.webroot.write(metadata, facts.metadata)
            except OSError:
                # The same content may be published already, by another build.
                if not was_there:
                    self.webroot.remove([metadata, wheel])
                raise

    async def _retag_manylinux(
        self, path: Path, facts: WheelInfo, target: Target | None
    ) -> tuple[Path, WheelInfo]:
        """The wheel with a manylinux tag, if it can carry one that its own target accepts."""
        platform = manylinux_platform(facts, target)
        if platform is None:
            return path, facts
        path = await retag_wheel(path, platform)
        return path, await self.inspect(path)

    async def _pick_unique_name(self, path: Path, facts: WheelInfo) -> tuple[Path, WheelInfo]:
        plain, alike = path, await self._files_with_same_tags(facts)
        for number in range(1, _MAX_BUILD_NUMBERS):
            tag = build_tag_number(facts.filename)
            _reject_if_hiding(facts, tag, alike)
            if not _is_hidden(facts, tag, alike) and await self._reserve_filename(facts):
                return path, facts
            path = await number_wheel(plain, number)
            facts = await self.inspect(path)
        raise RejectedError(f"{plain.name} was rebuilt {_MAX_BUILD_NUMBERS} times; enough")

    async def _files_with_same_tags(self, facts: WheelInfo) -> list[catalog.FileWithTags]:
        return await catalog.files_with_tags(
            self.db, facts.project, facts.version, facts.compatibility.tags
        )

    async def _reserve_filename(self, facts: WheelInfo) -> bool:
        return await catalog.reserve_filename(self.db, facts.filename, facts.sha256)


def _is_hidden(facts: WheelInfo, tag: int, alike: Iterable[catalog.FileWithTags]) -> bool:
    """Whether installers would take a published wheel instead that needs a newer glibc."""
    own = glibc_version(facts.compatibility.glibc)
    return any(tag <= other.build_tag for other in alike if glibc_version(other.glibc) > own)


def _reject_if_hiding(facts: WheelInfo, tag: int, alike: Iterable[catalog.FileWithTags]) -> None:
    """See that no published wheel that needs an older glibc would be hidden by this one.

    Raises:
        RefusedError: one would be, on systems where this one does not load.
    """
    own = glibc_version(facts.compatibility.glibc)
    for other in alike:
        if tag > other.build_tag and (0, 0) < glibc_version(other.glibc) < own:
            raise RejectedError(
                f"it needs glibc {facts.compatibility.glibc}, and installers on older systems would take "
                f"it instead of {other.filename}, which needs {other.glibc} and serves all that "
                "this one does"
            )
