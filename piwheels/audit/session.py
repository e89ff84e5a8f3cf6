"""What the parts of an audit share: the database, the web root, and what was found so far."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from piwheels.audit import tree
from piwheels.audit.finding import Finding, Problem, Repair, ReportedFinding, report
from piwheels.audit.position import Counts, Position, store_position
from piwheels.audit.rate_limit import RateLimit
from piwheels.audit.tree import Entry, EntryKind
from piwheels.bucket.store import Store
from piwheels.db import audit_queries
from piwheels.db.database import Database
from piwheels.errors import RejectedError
from piwheels.untrusted_names import normalize_project
from piwheels.webroot import Webroot

if TYPE_CHECKING:
    from piwheels.audit.statements import StatementCheck

_STORE_INTERVAL_S = 1.0
#: So many are checked at once.
_PROJECTS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditOptions:
    """What an audit is asked for.

    projects: normalized names; empty is the whole farm.
    fix: repair what is found.
    hashes: read all bytes of wheels, logs and compressed pages.
    rate: how fast it reads.
    restart: begin at the start, although an earlier audit was interrupted.
    allow_empty: repair even if most or all wheels are missing.
    grace_s: a file that changed later than this is being written, and no finding.
    """

    projects: tuple[str, ...] = ()
    fix: bool = False
    hashes: bool = True
    rate: RateLimit = field(default_factory=RateLimit)
    restart: bool = False
    allow_empty: bool = False
    grace_s: float = 900.0

    @property
    def key(self) -> str:
        """What an interrupted audit must have in common with this one to be continued."""
        return f"{self.fix} {self.hashes} {' '.join(sorted(self.projects))}"


@dataclass(kw_only=True, slots=True)
class Session:
    """An audit that is running.

    repair: does what a finding asks for; None: nothing is repaired. Returns why it could not; "".
    on_finding: called with each finding.
    statements: verifies statements; None: they only have to be there.
    on_progress: called with the part, how much of it is done (0 to 1), and the counts.
    bucket: what follows the web root; None: nothing, or it is not compared.
    """

    db: Database
    webroot: Webroot
    options: AuditOptions
    position_file: Path
    repair: Callable[[Finding], Awaitable[str]] | None
    on_finding: Callable[[ReportedFinding], None]
    on_progress: Callable[[str, float, Counts], None]
    bucket: Store | None = None
    statements: "StatementCheck | None" = None
    counts: Counts = field(default_factory=Counts)
    part: str = ""
    _stored_at: float = float("-inf")

    async def found(self, finding: Finding) -> None:
        """Count, repair if that is asked for, and report a finding."""
        match finding.problem:
            case Problem.MISSING:
                self.counts.missing += 1
            case Problem.EXTRA:
                self.counts.extra += 1
            case Problem.WRONG:
                self.counts.wrong += 1
        repaired, trouble = None, ""
        if self.repair is not None:
            trouble = await self.repair(finding)
            repaired = not trouble and finding.repair is not Repair.NONE
            self.counts.repaired += repaired
        self.on_finding(report(finding, repaired=repaired, trouble=trouble))

    async def compared(self, *, read_bytes: int = 0) -> None:
        """Count a file that was compared, at the rate that is asked for."""
        self.counts.files += 1
        self.counts.read_bytes += read_bytes
        await self.options.rate.spend(files=1, size_bytes=read_bytes)

    def checkpoint(self, after: str, fraction: float) -> None:
        """Report progress, and store now and then that all before `after` is done.

        Raises:
            OSError: the position cannot be stored.
        """
        self.on_progress(self.part, fraction, self.counts)
        now = time.monotonic()
        if now - self._stored_at >= _STORE_INTERVAL_S:
            position = Position(
                options=self.options.key, part=self.part, after=after, counts=self.counts
            )
            store_position(self.position_file, position)
            self._stored_at = now

    async def check_projects(
        self,
        query: Callable[[Database, str, int], Awaitable[list[str]]],
        after: str,
        check: Callable[[list[str]], Awaitable[None]],
    ) -> None:
        """Check the projects that a query gives, after one of them, a few at a time."""
        total = await audit_queries.count_projects(self.db)
        done = 0
        while names := await query(self.db, after, _PROJECTS):
            await check(names)
            after = names[-1]
            done += len(names)
            self.checkpoint(after, min(done / max(total, 1), 1.0))

    def relative(self, path: Path) -> str:
        """A path as findings have it."""
        return str(path.relative_to(self.webroot.root))

    def is_fresh(self, entry: Entry) -> bool:
        """Whether a file changed so recently that it may belong to something that goes on now."""
        return abs(time.time() - entry.mtime_s) < self.options.grace_s

    async def list_dir(self, folder: Path) -> list[Entry] | None:
        """What is in a directory; None, and a finding, if that cannot be told."""
        if not await self.is_dir(folder):
            return None
        try:
            return tree.list_dir(folder)
        except OSError as error:
            await self.found(self.unreadable(folder, error))
            return None

    async def is_dir(self, folder: Path) -> bool:
        """Whether a directory, or nothing, is at a path; a finding if something else is."""
        try:
            entry = tree.look(folder)
        except OSError as error:
            await self.found(self.unreadable(folder, error))
            return False
        if entry is None or entry.kind is EntryKind.FOLDER:
            return True
        await self.found(
            Finding(
                problem=Problem.WRONG,
                path=self.relative(folder),
                project="",
                detail=f"a {entry.kind} is where a directory ought to be",
                repair=Repair.NONE,
            )
        )
        return False

    async def is_reachable(self, path: Path) -> bool:
        """Whether no symbolic link or file is on the way to a path; a finding if one is."""
        for parent in reversed(path.relative_to(self.webroot.root).parents[:-1]):
            if not await self.is_dir(self.webroot.root / parent):
                return False
        return True

    def unreadable(self, path: Path, error: OSError, project: str = "") -> Finding:
        """The finding of what cannot be read."""
        return Finding(
            problem=Problem.WRONG,
            path=self.relative(path),
            project=project,
            detail=f"reading it failed: {error.strerror}",
            repair=Repair.NONE,
        )

    async def report_extra(self, path: Path, detail: str, project: str = "") -> None:
        """Report what is not known, to be moved aside."""
        await self.found(
            Finding(
                problem=Problem.EXTRA,
                path=self.relative(path),
                project=project,
                detail=detail,
                repair=Repair.MOVE_ASIDE,
            )
        )


def is_project_name(name: str) -> bool:
    """Whether a file name is the normalized name of a project."""
    try:
        return normalize_project(name) == name
    except RejectedError:
        return False
