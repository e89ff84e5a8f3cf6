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

from piwheels.db import catalog, pages
from piwheels.db.database import Database
from piwheels.errors import RefusedError
from piwheels.model import Job, Target, WheelFile, build_number
from piwheels.webroot import Webroot, move_in
from piwheels.wheel.file import WheelFacts, check, manylinux_platform
from piwheels.wheel.reading import number_wheel, read_wheel, retag_wheel
from piwheels.wheel.tags import glibc_version

_DEBIAN_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_MOST_BUILD_NUMBERS = 1000
#: So many wheels are read at the same time: each takes a process.
_AT_ONCE = max(2, os.cpu_count() or 1)


@dataclass(slots=True)
class Publisher:
    """Publishes wheels into one tree."""

    db: Database
    webroot: Webroot
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _reading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    async def publish(
        self, path: Path, job: Job, target: Target, dependencies: tuple[str, ...] = ()
    ) -> WheelFile:
        """Check a wheel of a job against the target, and move it into the tree.

        Raises:
            RefusedError: the wheel is not sound, or is not what the job asked for.
            OSError: the tree cannot take it.
        """
        facts = await self.read(path)
        check(facts, job, target)
        return await self.lay_down(facts, path, dependencies, target)

    async def read(self, path: Path) -> WheelFacts:
        """Read a wheel and check it against itself; a few at once.

        Raises:
            RefusedError: it is not sound.
            OSError: it cannot be read now.
        """
        async with self._reading:
            return await read_wheel(path)

    async def lay_down(
        self,
        facts: WheelFacts,
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
        path, facts = await self._portable(path, facts, target)
        async with self._turn:
            path, facts = await self._named(path, facts)
            # The same file may be waiting for its removal, since before.
            await self.db.retrying(
                lambda: pages.laying_down(self.db, facts.filename, facts.sha256, facts.project)
            )
            await asyncio.to_thread(self._move_in, facts, path)
        return facts.wheel_file(tuple(filter(_DEBIAN_PACKAGE.fullmatch, dependencies)))

    def _move_in(self, facts: WheelFacts, path: Path) -> None:
        wheel = self.webroot.wheel(facts.sha256, facts.filename)
        metadata = self.webroot.metadata(facts.sha256, facts.filename)
        with self.webroot.packages_turn():
            was_there = wheel.exists()
            try:
                move_in(path, wheel)
                self.webroot.write(metadata, facts.metadata)
            except OSError:
                # The same content may be published already, by another build.
                if not was_there:
                    self.webroot.remove([metadata, wheel])
                raise

    async def _portable(
        self, path: Path, facts: WheelFacts, target: Target | None
    ) -> tuple[Path, WheelFacts]:
        """The wheel with a manylinux tag, if it can carry one that its own target accepts."""
        platform = manylinux_platform(facts, target)
        if platform is None:
            return path, facts
        path = await retag_wheel(path, platform)
        return path, await self.read(path)

    async def _named(self, path: Path, facts: WheelFacts) -> tuple[Path, WheelFacts]:
        plain, alike = path, await self._alike(facts)
        for number in range(1, _MOST_BUILD_NUMBERS):
            tag = build_number(facts.filename)
            _refuse_to_hide(facts, tag, alike)
            if not _is_hidden(facts, tag, alike) and await self._reserved(facts):
                return path, facts
            path = await number_wheel(plain, number)
            facts = await self.read(path)
        raise RefusedError(f"{plain.name} was rebuilt {_MOST_BUILD_NUMBERS} times; enough")

    async def _alike(self, facts: WheelFacts) -> list[catalog.SameTags]:
        return await self.db.retrying(
            lambda: catalog.files_with_tags(self.db, facts.project, facts.version, facts.kind.tags)
        )

    async def _reserved(self, facts: WheelFacts) -> bool:
        return await self.db.retrying(
            lambda: catalog.reserve_filename(self.db, facts.filename, facts.sha256)
        )


def _is_hidden(facts: WheelFacts, tag: int, alike: Iterable[catalog.SameTags]) -> bool:
    """Whether installers would take a published wheel instead that needs a newer glibc."""
    own = glibc_version(facts.kind.glibc)
    return any(tag <= other.build_tag for other in alike if glibc_version(other.glibc) > own)


def _refuse_to_hide(facts: WheelFacts, tag: int, alike: Iterable[catalog.SameTags]) -> None:
    """See that no published wheel that needs an older glibc would be hidden by this one.

    Raises:
        RefusedError: one would be, on systems where this one does not load.
    """
    own = glibc_version(facts.kind.glibc)
    for other in alike:
        if tag > other.build_tag and (0, 0) < glibc_version(other.glibc) < own:
            raise RefusedError(
                f"it needs glibc {facts.kind.glibc}, and installers on older systems would take "
                f"it instead of {other.filename}, which needs {other.glibc} and serves all that "
                "this one does"
            )
