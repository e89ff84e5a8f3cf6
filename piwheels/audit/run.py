"""Runs an audit: its parts one after the other, from where an interrupted one was."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from piwheels.audit.bucket_objects import audit_copies, audit_objects
from piwheels.audit.errors import AuditError
from piwheels.audit.finding import ReportedFinding
from piwheels.audit.index_pages import audit_index_pages
from piwheels.audit.logs import audit_logs
from piwheels.audit.moved_aside import MovedAside
from piwheels.audit.position import Counts, forget_position, load_position
from piwheels.audit.project_pages import audit_project_pages
from piwheels.audit.repair import Repairer
from piwheels.audit.session import AuditOptions, Session
from piwheels.audit.site_pages import audit_site_pages
from piwheels.audit.tree import look
from piwheels.audit.wheels import audit_wheels
from piwheels.bucket.store import Store
from piwheels.db import audit_queries, catalog, own_webroot
from piwheels.db.database import Database
from piwheels.webroot import OtherTreeError, Webroot

if TYPE_CHECKING:
    from piwheels.audit.statements import StatementCheck

#: How many wheels of each two digits of hashes are looked for before repairs.
_SAMPLE_PER_PREFIX = 4
#: In a smaller sample a single wheel shows that the disk is there.
_MIN_SAMPLE = 20
#: What is compared, in this order: what a page names comes before the page.
_PARTS: dict[str, Callable[[Session, str], Awaitable[None]]] = {
    "wheels": audit_wheels,
    "index pages": audit_index_pages,
    "project pages": audit_project_pages,
    "logs": audit_logs,
    "site pages": audit_site_pages,
    "copies in the bucket": audit_copies,
    "objects of the bucket": audit_objects,
}


async def run_audit(
    db: Database,
    webroot: Webroot,
    state_dir: Path,
    options: AuditOptions,
    *,
    bucket: Store | None = None,
    on_finding: Callable[[ReportedFinding], None] = lambda _: None,
    on_progress: Callable[[str, float, Counts], None] = lambda *_: None,
    statements: "StatementCheck | None" = None,
) -> Counts:
    """Compare a farm's database with its web root, and repair what differs if that is asked for.

    Args:
        db: the farm's database.
        webroot: its web root.
        state_dir: where the position of an interrupted audit and moved files are kept.
        options: what to compare, and how.
        bucket: the copy of the web root in object storage, if it is compared.
        on_finding: called with each finding.
        on_progress: called with the part, how much of it is done (0 to 1), and the counts.
        statements: verifies statements and writes them again; None: they only have to be there.

    Returns:
        What was compared and found, with what an interrupted audit did before.

    Raises:
        AuditError: it could not run to its end; run again, it goes on there.
    """
    await _check_sense(db, webroot, options)
    session = Session(
        db=db,
        webroot=webroot,
        options=options,
        position_file=state_dir / "audit.json",
        repair=_repairer(db, webroot, state_dir, statements) if options.fix else None,
        on_finding=on_finding,
        on_progress=on_progress,
        bucket=bucket,
        statements=statements,
    )
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        await _run_parts(session)
        forget_position(session.position_file)
    except OSError as error:
        where = error.filename or webroot.root
        raise AuditError(f"{where}: {error.strerror}; the audit stopped, run it again") from None
    return session.counts


def _repairer(
    db: Database, webroot: Webroot, state_dir: Path, statements: "StatementCheck | None"
) -> Repairer:
    return Repairer(db, webroot, MovedAside.today(webroot.root, state_dir), statements)


async def _check_sense(db: Database, webroot: Webroot, options: AuditOptions) -> None:
    """Refuse to audit what is not there: a disk that is not mounted is no lost file."""
    root = webroot.root
    is_there = False
    with contextlib.suppress(OSError):
        is_there = root.is_dir()
    if not is_there:
        raise AuditError(
            f"{root} (webroot.root) is not there, or closed to this account; is its disk mounted?"
        )
    try:
        await own_webroot.require_own(db, root)
    except OtherTreeError as error:
        raise AuditError(str(error)) from None
    except OSError as error:
        raise AuditError(f"{root}: {error.strerror}") from None
    unknown = set(options.projects) - await catalog.existing_projects(db, options.projects)
    if unknown:
        raise AuditError(f"the farm has no project {min(unknown)}")
    if options.fix and not options.allow_empty:
        await _check_wheels_are_there(db, webroot)


async def _check_wheels_are_there(db: Database, webroot: Webroot) -> None:
    """Refuse to withdraw the wheels of the index because another or an empty disk is mounted.

    The sample is spread over all hashes: a copy that is under way has those of the first ones.
    """
    sample = await audit_queries.sample_files(db, _SAMPLE_PER_PREFIX)
    missing = await asyncio.to_thread(_count_missing, webroot, sample)
    tolerated = len(sample) // 2 if len(sample) >= _MIN_SAMPLE else len(sample) - 1
    if not sample or missing <= tolerated:
        return
    raise AuditError(
        f"{webroot.root}/packages lacks {missing} of {len(sample)} wheels of the index that were "
        "looked for; mount its disk or restore a copy, or build what is missing again with "
        "--allow-empty"
    )


def _count_missing(webroot: Webroot, wheels: Sequence[tuple[str, str]]) -> int:
    count = len(wheels)
    for sha256, filename in wheels:
        with contextlib.suppress(OSError):
            entry = look(webroot.wheel_path(sha256, filename))
            count -= entry is not None and entry.is_file
    return count


async def _run_parts(session: Session) -> None:
    stored = (
        None
        if session.options.restart
        else load_position(session.position_file, session.options.key)
    )
    names = list(_PARTS)
    after = ""
    if stored is not None and stored.part in _PARTS:
        names = names[names.index(stored.part) :]
        after, session.counts = stored.after, stored.counts
    for name in names:
        session.part = name
        session.checkpoint(after, 0.0)
        await _PARTS[name](session, after)
        after = ""
