"""Publishes wheels of the upstream index here as they are (policy `mirror`).

A few are fetched at the same time, each into a folder of the spool that is named by its hash: an
interrupted download goes on where it stopped. They are read in a bounded process like those of
builders, keep their names and bytes, and get no statement of how they were built.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from piwheels.db import completed_builds, mirrored_wheels
from piwheels.db.database import Database
from piwheels.db.mirrored_wheels import WheelToMirror
from piwheels.errors import PiwheelsError, RejectedError, TransientError
from piwheels.formatting import format_size
from piwheels.index_client.client import FileTooLargeError, SimpleIndex
from piwheels.model import MIRROR_MAKER, CompatibilityRules
from piwheels.scheduler import imported_wheels, reasons
from piwheels.scheduler.wheel_publisher import WheelPublisher
from piwheels.upstream.faults import describe_fault

log = logging.getLogger(__name__)

#: A notification says that a wheel is due at once; others are when their time has come.
_MAX_INTERVAL_S = 300.0
_MIN_INTERVAL_S = 1.0
#: How often the disks are looked at while they are too full.
_SPACE_INTERVAL_S = 10.0
_BATCH_ROWS = 100
_MAX_CONCURRENT = 2
#: An attempt that takes longer ends, and the next one goes on from there.
_FETCH_TIMEOUT_S = 3600.0
_FIRST_DELAY_S = 60.0
_MAX_DELAY_S = 86400.0
_MAX_DOUBLINGS = 20
_MAX_PROBLEM_CHARS = 500
_LEFTOVERS_INTERVAL_S = 86400.0


@dataclass(frozen=True, slots=True)
class MirrorLimits:
    """max_wheel_bytes, min_free_bytes: as the settings `upstream.mirror_*` say.

    min_interval_s, max_interval_s: how long to wait between two looks, if nothing is notified.
    """

    max_wheel_bytes: int
    min_free_bytes: int
    min_interval_s: float = _MIN_INTERVAL_S
    max_interval_s: float = _MAX_INTERVAL_S
    first_delay_s: float = _FIRST_DELAY_S


@dataclass(slots=True)
class UpstreamMirror:
    """The service that mirrors wheels.

    folder: where they are while they are fetched.
    record: adds an event.
    """

    db: Database
    index: SimpleIndex
    rules: CompatibilityRules
    publisher: WheelPublisher
    folder: Path
    limits: MirrorLimits
    record: Callable[[str], Awaitable[None]]
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_MAX_CONCURRENT))
    _is_waiting: bool = False
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Mirror what is listed, until canceled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._mirror_all())

    async def _listen(self) -> None:
        async for _ in self.db.notifications("wheels_to_mirror"):
            self._wake.set()

    async def _mirror_all(self) -> None:
        checked_at = -_LEFTOVERS_INTERVAL_S
        while True:
            if time.monotonic() - checked_at >= _LEFTOVERS_INTERVAL_S:
                await self._remove_leftovers()
                checked_at = time.monotonic()
            self._wake.clear()
            if not await self.mirror_due():
                await self._wait_for_due()

    async def _wait_for_due(self) -> None:
        """Wait until a wheel is due: by its time, or because one was listed."""
        due_s = await mirrored_wheels.next_due_s(self.db)
        wait_s = self.limits.max_interval_s if due_s is None else due_s
        least_s = _SPACE_INTERVAL_S if self._is_waiting else self.limits.min_interval_s
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(max(wait_s, least_s), self.limits.max_interval_s)):
                await self._wake.wait()

    async def mirror_due(self) -> bool:
        """Look at the wheels that are due; returns whether more may be."""
        due = await mirrored_wheels.due_wheels(self.db, _BATCH_ROWS)
        if unneeded := [wheel for wheel in due if not wheel.is_wanted]:
            await mirrored_wheels.postpone_unneeded(self.db, unneeded)
            for wheel in unneeded:
                await self._remove_partial(wheel)
        wanted = [wheel for wheel in due if wheel.is_wanted]
        if wanted and not await self._has_space():
            return False
        async with asyncio.TaskGroup() as group:
            for wheel in wanted:
                group.create_task(self._mirror(wheel))
        return len(due) == _BATCH_ROWS

    async def _has_space(self) -> bool:
        """Whether the disks of the web root and the spool have space; what changes is recorded."""
        disks = {"web root": self.publisher.webroot.root, "spool": self.folder}
        try:
            await asyncio.to_thread(self.folder.mkdir, parents=True, exist_ok=True)
            free = {
                disk: (await asyncio.to_thread(shutil.disk_usage, path)).free
                for disk, path in disks.items()
            }
        except OSError as error:
            log.warning("no wheels are mirrored: %s: %s", error.filename, error.strerror)
            return False
        short = next((disk for disk in free if free[disk] < self.limits.min_free_bytes), None)
        if short and not self._is_waiting:
            limit = format_size(self.limits.min_free_bytes)
            await self.record(
                f"no wheels are mirrored: the {short}'s disk has {format_size(free[short])} free, "
                f"less than {limit} (upstream.mirror_min_free_disk_mb)"
            )
        elif self._is_waiting and not short:
            await self.record("wheels are mirrored again: there is space on the disks")
        self._is_waiting = short is not None
        return short is None

    async def _mirror(self, wheel: WheelToMirror) -> None:
        async with self._slots:
            try:
                await self._fetch_and_publish(wheel)
            except _RefusedError as error:
                await self._record_problem(wheel, str(error), None)
            except OSError as error:
                text = f"it cannot be stored now: {error.strerror or error}"
                await self._record_problem(wheel, text, self._delay_s(wheel))
            except PiwheelsError as error:
                asked_s = error.retry_after_s if isinstance(error, TransientError) else 0.0
                delay_s = max(asked_s, self._delay_s(wheel))
                if isinstance(error, FileTooLargeError):  # the setting may be raised
                    delay_s = _MAX_DELAY_S
                    await self._remove_partial(wheel)
                await self._record_problem(wheel, str(error), delay_s)
            except Exception as error:  # noqa: BLE001 - of one wheel; the database's are raised again
                problem = describe_fault(error, wheel.filename)
                await self._record_problem(wheel, problem, self._delay_s(wheel))

    async def _fetch_and_publish(self, wheel: WheelToMirror) -> None:
        if not wheel.sha256:
            raise _RefusedError("the upstream index gives no sha256 of it")
        if wheel.name_is_taken:
            raise _RefusedError(reasons.NAME_IS_TAKEN)
        limit = self.limits.max_wheel_bytes
        if (wheel.size_bytes or 0) > limit:
            raise FileTooLargeError(_too_large(limit))
        folder = self.folder / wheel.sha256
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        partial = folder / f"{wheel.filename}.part"
        try:
            async with asyncio.timeout(_FETCH_TIMEOUT_S):
                await self.index.fetch_resumable(
                    wheel.url, wheel.sha256, partial, limit_bytes=wheel.size_bytes or limit
                )
        except TimeoutError:
            raise TransientError(
                f"the download was not complete after {_FETCH_TIMEOUT_S / 3600:.0f} h; it goes on"
            ) from None
        complete = await asyncio.to_thread(partial.rename, folder / wheel.filename)
        await self._publish(wheel, complete)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _publish(self, wheel: WheelToMirror, path: Path) -> None:
        try:
            facts = await self.publisher.inspect(path)
            if (facts.project, facts.version) != (wheel.project, wheel.version):
                raise RejectedError(f"it is a wheel of {facts.project} {facts.version}")
            target = await imported_wheels.first_compatible_target(self.db, self.rules, facts)
            made = await self.publisher.install_unchanged(facts, path)
        except RejectedError as error:
            await asyncio.to_thread(shutil.rmtree, path.parent, ignore_errors=True)
            raise _RefusedError(str(error)) from None
        file = replace(
            made,
            mirrored_from=wheel.url,
            uploaded_at=wheel.uploaded_at,
            attestations_url=wheel.attestations_url,
        )
        build = imported_wheels.build_of(
            await completed_builds.next_build_id(self.db),
            *(wheel.project, wheel.version, target, MIRROR_MAKER),
        )
        if await mirrored_wheels.publish_mirrored(self.db, wheel, build, file, self.rules):
            log.info("mirrored %s", wheel.filename)

    def _delay_s(self, wheel: WheelToMirror) -> float:
        doublings = min(wheel.attempts, _MAX_DOUBLINGS)
        return min(self.limits.first_delay_s * 2.0**doublings, _MAX_DELAY_S)

    async def _record_problem(self, wheel: WheelToMirror, text: str, delay_s: float | None) -> None:
        text = text[:_MAX_PROBLEM_CHARS]
        if delay_s is None:
            await self.record(f"{wheel.filename} of the upstream is not mirrored: {text}")
        else:
            log.info("%s is not mirrored now: %s", wheel.filename, text)
        await mirrored_wheels.record_problem(self.db, wheel, text, delay_s=delay_s)

    async def _remove_partial(self, wheel: WheelToMirror) -> None:
        """Remove what was fetched of a wheel that is not fetched further."""
        if wheel.sha256:
            folder = self.folder / wheel.sha256
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _remove_leftovers(self) -> None:
        """Remove what was fetched of wheels that are not to be mirrored any more."""
        try:
            names = await asyncio.to_thread(os.listdir, self.folder)
        except FileNotFoundError:
            return
        kept = await mirrored_wheels.hashes_to_mirror(self.db, names)
        for name in set(names) - kept:
            await asyncio.to_thread(shutil.rmtree, self.folder / name, ignore_errors=True)


class _RefusedError(RejectedError):
    """A wheel that is never mirrored."""


def _too_large(limit_bytes: int) -> str:
    return f"it is larger than {format_size(limit_bytes)} (upstream.mirror_max_wheel_mb)"
