"""A finished wheel's way into the served tree: inspected, named, and laid down in order.

The wheel first, then its metadata; the database, and with it the page, follow. A name that
once stood for other bytes is never used again: the new wheel gets a build number (PEP 427).
"""

import asyncio
import re
from dataclasses import dataclass, field
from pathlib import Path

from piwheels.db import catalog
from piwheels.db.database import Database
from piwheels.errors import RefusedError
from piwheels.model import Job, Target, WheelFile
from piwheels.webroot import Webroot, move_in
from piwheels.wheel.file import WheelFacts, check, inspect, with_build_number

_DEBIAN_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_MOST_BUILD_NUMBERS = 1000


@dataclass(slots=True)
class Publisher:
    """Publishes wheels into one tree."""

    db: Database
    webroot: Webroot
    _naming: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def publish(
        self, path: Path, job: Job, target: Target, dependencies: tuple[str, ...] = ()
    ) -> WheelFile:
        """Check a wheel of a job against the target, and move it into the tree.

        Raises:
            RefusedError: the wheel is not sound, or is not what the job asked for.
            OSError: the tree cannot take it.
        """
        facts = await asyncio.to_thread(inspect, path)
        check(facts, job, target)
        return await self.lay_down(facts, path, dependencies)

    async def lay_down(
        self, facts: WheelFacts, path: Path, dependencies: tuple[str, ...] = ()
    ) -> WheelFile:
        """Give a sound wheel a name that is its own, and move it into the tree."""
        async with self._naming:
            path, facts = await self._named(path, facts)
        wheel = facts.wheel_file(tuple(filter(_DEBIAN_PACKAGE.fullmatch, dependencies)))
        place = self.webroot.wheel(wheel.sha256, wheel.filename)
        await asyncio.to_thread(move_in, path, place)
        metadata = self.webroot.metadata(wheel.sha256, wheel.filename)
        await asyncio.to_thread(self.webroot.write, metadata, facts.metadata)
        return wheel

    async def _named(self, path: Path, facts: WheelFacts) -> tuple[Path, WheelFacts]:
        plain = path
        for number in range(1, _MOST_BUILD_NUMBERS):
            if await catalog.reserve_filename(self.db, facts.filename, facts.sha256):
                return path, facts
            path = await asyncio.to_thread(with_build_number, plain, number)
            facts = await asyncio.to_thread(inspect, path)
        raise RefusedError(f"{plain.name} was rebuilt {_MOST_BUILD_NUMBERS} times; enough")
