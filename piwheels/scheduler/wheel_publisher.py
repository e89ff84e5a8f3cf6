"""Publishes a finished wheel: inspects it, names it, and installs it into the web root.

The wheel first, then its metadata and the statement of how it was built; the database, and with it
the page, follow. A file name that
was ever used for other bytes is never used again: the new wheel gets a build tag (PEP 427).

Installers do not compare the glibc of `linux_<arch>` tags, and among equal tags they take the
highest build tag. So a wheel gets a manylinux tag where it can (PEP 600), and of two with the
same tags the one that needs the older glibc gets the higher build tag.
"""

import asyncio
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from piwheels.db import catalog, file_deletions, restored
from piwheels.db.database import Database
from piwheels.db.project_metadata import store_metadata
from piwheels.errors import RejectedError
from piwheels.model import (
    Job,
    ReproductionJob,
    Target,
    WheelComparison,
    WheelFile,
    build_tag_number,
    projection,
)
from piwheels.provenance.statement import BuildFacts, Subject
from piwheels.scheduler import reasons
from piwheels.webroot import Webroot, install_file
from piwheels.wheel.inspect import WheelInfo, check_matches_job, manylinux_platform
from piwheels.wheel.isolated_read import (
    compare_contents,
    file_sha256,
    number_wheel,
    read_wheel,
    retag_wheel,
)
from piwheels.wheel.tags import glibc_version

if TYPE_CHECKING:
    from piwheels.provenance.writer import StatementWriter

_DEBIAN_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_MAX_BUILD_NUMBERS = 1000
#: How many wheels are read at the same time, each in its own process.
_MAX_CONCURRENT_READS = max(2, os.cpu_count() or 1)


@dataclass(slots=True)
class WheelPublisher:
    """Publishes wheels into one web root.

    statements: what writes how they were built; None if this master cannot sign.
    """

    db: Database
    webroot: Webroot
    statements: "StatementWriter | None" = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _read_slots: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(_MAX_CONCURRENT_READS)
    )

    async def publish(
        self,
        path: Path,
        job: Job,
        target: Target,
        dependencies: tuple[str, ...] = (),
        build: BuildFacts | None = None,
    ) -> WheelFile:
        """Check a wheel against its job and target, and install it.

        Args:
            path: where it is, in a folder of its own.
            job: what was to be built.
            target: for which target.
            dependencies: the Debian packages that it needs.
            build: what its statement says; None for no statement.

        Raises:
            RejectedError: the wheel is invalid, or is not the job's.
            OSError: it cannot be stored.
        """
        facts = await self.inspect(path)
        check_matches_job(facts, job, target)
        return await self.install(facts, path, dependencies, target, build)

    async def compare(
        self, path: Path, job: ReproductionJob, target: Target
    ) -> tuple[str, WheelComparison | None]:
        """Compare a wheel that was built again with the published one; publishes nothing.

        Before, it gets what the published one got: a manylinux tag and a build number.

        Args:
            path: where it is, in a folder of its own.
            job: what was built again.
            target: for which target.

        Returns:
            Its hash, and what differs; None if no byte does.

        Raises:
            RejectedError: it is invalid or not the job's, or the published wheel is gone.
            OSError: one of them cannot be read.
        """
        facts = await self.inspect(path)
        check_matches_job(facts, job, target)
        path, facts = await self._retag_manylinux(path, facts, target)
        if number := build_tag_number(job.filename):
            path = await number_wheel(path, number)
        sha256 = await asyncio.to_thread(file_sha256, path)
        published = self.webroot.wheel_path(job.sha256, job.filename)
        if not await asyncio.to_thread(published.is_file):
            raise RejectedError(f"{job.filename} is missing in the web root")
        if sha256 == job.sha256:
            return sha256, None
        async with self._read_slots:
            return sha256, await compare_contents(published, path)

    async def inspect(self, path: Path) -> WheelInfo:
        """Read a wheel and check that it is consistent; a few at the same time.

        Raises:
            RejectedError: it is invalid.
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
        build: BuildFacts | None = None,
    ) -> WheelFile:
        """Give a valid wheel a unique name, and move it into the web root.

        Args:
            facts: its name, tags and metadata.
            path: where it is, in a folder of its own.
            dependencies: the Debian packages that it needs.
            target: a target that it must install on, whatever tags it gets.
            build: how it was built; None if that is not known.

        Raises:
            RejectedError: no name is left for it.
            OSError: it cannot be stored; the web root is unchanged.
        """
        path, facts = await self._retag_manylinux(path, facts, target)
        async with self._lock:
            path, facts = await self._pick_unique_name(path, facts)
            has_provenance = await self._install_reserved(facts, path, build)
        packages = tuple(filter(_DEBIAN_PACKAGE.fullmatch, dependencies))
        return projection(WheelFile, facts, debian_packages=packages, has_provenance=has_provenance)

    async def install_unchanged(self, facts: WheelInfo, path: Path) -> WheelFile:
        """Move a valid wheel that was made elsewhere into the web root, with its name and bytes.

        Raises:
            RejectedError: its name stands for other content here, or it would hide another wheel.
            OSError: it cannot be stored; the web root is unchanged.
        """
        async with self._lock:
            alike = await catalog.files_with_tags(
                self.db, facts.project, facts.version, facts.compatibility.tags
            )
            _reject_if_hiding(facts, build_tag_number(facts.filename), alike)
            if not await self._reserve(facts):
                raise RejectedError(reasons.NAME_IS_TAKEN)
            await self._install_reserved(facts, path, None)
        return projection(WheelFile, facts)

    async def _install_reserved(
        self, facts: WheelInfo, path: Path, build: BuildFacts | None
    ) -> bool:
        """Install a wheel whose name is reserved; returns whether its statement is there."""
        # The same file may be waiting for its deletion.
        await file_deletions.reserve_install(self.db, facts.filename, facts.sha256, facts.project)
        has_provenance = await asyncio.to_thread(self._install_files, facts, path, build)
        await store_metadata(self.db, facts.project, facts.version, facts.about)
        return has_provenance

    def _install_files(self, facts: WheelInfo, path: Path, build: BuildFacts | None) -> bool:
        """Write the wheel, then what is beside it; returns whether its statement is there."""
        wheel = self.webroot.wheel_path(facts.sha256, facts.filename)
        metadata = self.webroot.metadata_path(facts.sha256, facts.filename)
        provenance = self.webroot.provenance_path(facts.sha256, facts.filename)
        with self.webroot.packages_lock():
            was_there = wheel.exists()
            try:
                install_file(path, wheel)
                self.webroot.write(metadata, facts.metadata)
                if build is not None and self.statements is not None:
                    subject = Subject(name=facts.filename, sha256=facts.sha256)
                    self.statements.write(subject, build)
                    return True
            except OSError:
                # The same content may be published already, by another build.
                if not was_there:
                    self.webroot.remove([provenance, metadata, wheel])
                raise
        return False

    async def _retag_manylinux(
        self, path: Path, facts: WheelInfo, target: Target | None
    ) -> tuple[Path, WheelInfo]:
        """The wheel with a manylinux tag, if there is one that its own target accepts."""
        platform = manylinux_platform(facts, target)
        if platform is None:
            return path, facts
        path = await retag_wheel(path, platform)
        return path, await self.inspect(path)

    async def _pick_unique_name(self, path: Path, facts: WheelInfo) -> tuple[Path, WheelInfo]:
        plain = path
        alike = await catalog.files_with_tags(
            self.db, facts.project, facts.version, facts.compatibility.tags
        )
        for number in range(1, _MAX_BUILD_NUMBERS):
            tag = build_tag_number(facts.filename)
            _reject_if_hiding(facts, tag, alike)
            if not _is_hidden(facts, tag, alike) and await self._reserve(facts):
                return path, facts
            path = await number_wheel(plain, number)
            facts = await self.inspect(path)
        raise RejectedError(
            f"{plain.name} was rebuilt {_MAX_BUILD_NUMBERS} times; no build tag is left"
        )

    async def _reserve(self, facts: WheelInfo) -> bool:
        """Reserve a name for a content; False if it stands, or may stand, for another.

        A name with a build number is taken after a restore, too: who numbered one knew of others.
        """
        if not build_tag_number(facts.filename) and await restored.may_be_used_elsewhere(
            self.db, facts.filename, facts.project, facts.version
        ):
            return False
        return await catalog.reserve_filename(self.db, facts.filename, facts.sha256)


def _is_hidden(facts: WheelInfo, tag: int, alike: Iterable[catalog.FileWithTags]) -> bool:
    """Whether installers would take a published wheel instead that needs a newer glibc."""
    own = glibc_version(facts.compatibility.glibc)
    return any(tag <= other.build_tag for other in alike if glibc_version(other.glibc) > own)


def _reject_if_hiding(facts: WheelInfo, tag: int, alike: Iterable[catalog.FileWithTags]) -> None:
    """Check that this wheel would hide no published one that needs an older glibc.

    Raises:
        RejectedError: it would hide one on systems where it does not load itself.
    """
    own = glibc_version(facts.compatibility.glibc)
    for other in alike:
        if tag > other.build_tag and (0, 0) < glibc_version(other.glibc) < own:
            raise RejectedError(
                f"it needs glibc {facts.compatibility.glibc}, and installers on older systems "
                "would take "
                f"it instead of {other.filename}, which needs {other.glibc} and serves all that "
                "this one does"
            )
