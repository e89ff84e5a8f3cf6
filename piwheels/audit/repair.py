"""Repairs what an audit found, in the order of writers: wheel, metadata, database, page.

Nothing that is not known is deleted, it is moved aside. Pages and builds are queued: the master
writes and builds them.
"""

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from piwheels.audit import tree
from piwheels.audit.errors import AuditError
from piwheels.audit.finding import MOVING, Finding, Problem, Repair
from piwheels.audit.moved_aside import MovedAside
from piwheels.db import audit_queries, bucket_changes, page_queue
from piwheels.db.database import Database
from piwheels.db.page_queue import PageKind
from piwheels.errors import RejectedError
from piwheels.webroot import Webroot, is_path_error, wheel_of
from piwheels.wheel.isolated_read import read_wheel

if TYPE_CHECKING:
    from piwheels.audit.statements import StatementCheck

_LOCK_RETRY_S = 0.05
#: Errors that the next repair would meet as well.
_DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


class Repairer:
    """Does what findings ask for."""

    def __init__(
        self,
        db: Database,
        webroot: Webroot,
        moved_aside: MovedAside,
        statements: "StatementCheck | None" = None,
    ) -> None:
        self._statements = statements
        self._db = db
        self._webroot = webroot
        self._moved_aside = moved_aside

    async def __call__(self, finding: Finding) -> str:
        """Repair what was found; returns why it could not be, or "".

        Raises:
            AuditError: no repair can succeed now.
        """
        path = self._webroot.root / finding.path
        try:
            return await self._repair(finding, path)
        except RejectedError as error:
            return str(error)
        except OSError as error:
            if error.errno in _DISK_ERRNOS or not is_path_error(error):
                raise AuditError(
                    f"{error.filename2 or error.filename or path}: {error.strerror}; make room, "
                    "then run the same command again: it goes on here"
                ) from None
            return error.strerror or str(error)

    async def _repair(self, finding: Finding, path: Path) -> str:
        if finding.repair in MOVING and not await self._move(finding, path):
            return "it changed meanwhile"
        match finding.repair:
            case Repair.NONE:
                return ""
            case Repair.WITHDRAW | Repair.MOVE_AND_WITHDRAW:
                await audit_queries.withdraw_file(
                    self._db, finding.filename, finding.sha256, finding.project
                )
            case Repair.WRITE_METADATA:
                await self._write_metadata(finding, path)
            case Repair.UNLINK_STATEMENT | Repair.MOVE_AND_UNLINK_STATEMENT:
                await audit_queries.forget_statement(
                    self._db, finding.filename, finding.sha256, finding.project
                )
            case Repair.WRITE_STATEMENT | Repair.MOVE_AND_WRITE_STATEMENT:
                await self._write_statement(finding)
            case Repair.WRITE_PAGE | Repair.MOVE_AND_WRITE_PAGE:
                await self._queue_page(PageKind(finding.page_kind), finding.page_key)
            case Repair.COPY:
                await bucket_changes.record_key(self._db, finding.path)
            case Repair.MOVE_ASIDE:
                pass
        return ""

    async def _move(self, finding: Finding, path: Path) -> bool:
        """Move a file aside; False if it is part of the farm by now."""
        if Path(finding.path).parts[0] != "packages":
            self._moved_aside.move(path)
            return True
        async with self._packages_lock():
            # A wheel is recorded before it is installed, under this lock.
            name, sha256 = wheel_of(path.name), path.parent.name
            if (
                finding.problem is Problem.EXTRA
                and tree.is_text(name)
                and (await audit_queries.is_expected(self._db, name, sha256))
            ):
                return False
            self._moved_aside.move(path)
        return True

    async def _write_metadata(self, finding: Finding, path: Path) -> None:
        """Write a wheel's METADATA beside it; what was there is kept aside.

        Raises:
            RejectedError: the wheel is not the one that the index names, or is invalid.
        """
        wheel = await read_wheel(self._webroot.wheel_path(finding.sha256, finding.filename))
        if wheel.sha256 != finding.sha256:
            raise RejectedError("the wheel has another sha256 by now")
        async with self._packages_lock():
            entry = tree.look(path)
            if entry is not None and entry.is_file:
                self._moved_aside.copy(path)
            elif entry is not None:
                self._moved_aside.move(path)
            self._webroot.write(path, wheel.metadata)
        await audit_queries.set_metadata_hash(
            self._db, finding.filename, finding.sha256, finding.project, wheel.metadata_sha256
        )

    async def _write_statement(self, finding: Finding) -> None:
        """Write a statement that is not there; without a record of the build its link goes."""
        name, sha256 = finding.filename, finding.sha256
        await audit_queries.forget_statement(self._db, name, sha256, finding.project)
        if self._statements is not None:
            await self._statements.write_again(self._db, name, sha256, self._packages_lock())

    async def _queue_page(self, kind: PageKind, key: str) -> None:
        """Have a page written again, although the publisher may take it for up to date."""
        if kind is PageKind.SIMPLE and key:
            for name in ("index.html", "index.v1_json"):
                _mark_outdated(self._webroot.simple_dir(key) / name)
        if key:
            await page_queue.request_rewrite(self._db, kind, key)
        else:
            await page_queue.invalidate(self._db, kind, [""], urgent=True)

    @contextlib.asynccontextmanager
    async def _packages_lock(self) -> AsyncIterator[None]:
        """The lock of those who install and delete wheels; other tasks run while it is awaited."""
        while True:
            with self._webroot.packages_lock(wait=False) as ours:
                if ours:
                    yield
                    return
            await asyncio.sleep(_LOCK_RETRY_S)


def _mark_outdated(page: Path) -> None:
    """Give a page another time: files of one page that differ in it are written again."""
    entry = tree.look(page)
    if entry is not None and entry.is_file:
        now = max(time.time(), entry.mtime_s + 1)
        os.utime(page, (now, now), follow_symlinks=False)
