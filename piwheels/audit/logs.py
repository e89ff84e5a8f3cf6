"""Compares the logs of builds and their pages with the builds of the database.

Operators may delete logs, so one that is not there is no finding.
"""

import re
from pathlib import Path

from piwheels.audit import tree
from piwheels.audit.finding import LEFT_TEMPORARY, Finding, Problem, Repair
from piwheels.audit.session import Session
from piwheels.audit.tree import Entry, EntryKind
from piwheels.db import audit_queries
from piwheels.db.page_queue import PageKind

#: Builds whose logs are in one directory of logs/.
_BUILDS_OF_DIR = 10_000
_ROWS = 500
_OUTER_DIR = re.compile(r"[0-9]{4,15}")
_INNER_DIR = re.compile(r"[0-9]{4}")


async def audit_logs(session: Session, after: str) -> None:
    """Compare all logs, or those of the audit's projects, after the directory of one."""
    if session.options.projects:
        await _check_projects(session)
        return
    folder = session.webroot.root / "logs"
    entries = await session.list_dir(folder)
    if not entries:
        return
    last = await audit_queries.last_build_id(session.db)
    numbers = [entry for entry in entries if _is_outer(entry)]
    for entry in entries:
        if not _is_outer(entry):
            await _check_unknown(session, folder / entry.name, entry)
    for index, entry in enumerate(sorted(numbers, key=lambda entry: int(entry.name))):
        if not after or int(entry.name) > int(after):
            await _check_outer(session, folder / entry.name, last)
            session.checkpoint(entry.name, index / len(numbers))


def _is_outer(entry: Entry) -> bool:
    return entry.kind is EntryKind.FOLDER and bool(_OUTER_DIR.fullmatch(entry.name))


async def _check_projects(session: Session) -> None:
    after = 0
    while rows := await audit_queries.builds_of(session.db, session.options.projects, after, _ROWS):
        for row in rows:
            folder = session.webroot.log_path(row.build_id).parent
            if await session.is_reachable(folder) and tree.look(folder) is not None:
                await _check_build(session, folder, row.build_id, row.project)
        after = rows[-1].build_id


async def _check_outer(session: Session, folder: Path, last: int) -> None:
    """Compare the logs of 10,000 consecutive builds."""
    first = int(folder.name) * _BUILDS_OF_DIR
    entries = await session.list_dir(folder)
    # The builds after the logs: the log of a build may be written before the build is recorded,
    # but not before its job is.
    builds = await audit_queries.builds_between(session.db, first, first + _BUILDS_OF_DIR - 1)
    for entry in entries or ():
        if entry.kind is not EntryKind.FOLDER or not _INNER_DIR.fullmatch(entry.name):
            await _check_unknown(session, folder / entry.name, entry)
            continue
        build = first + int(entry.name)
        path = folder / entry.name
        if build in builds:
            await _check_build(session, path, build, builds[build])
        elif build <= last:
            session.counts.logs_of_removed_builds += 1
        elif build > await audit_queries.last_build_id(session.db):
            await session.report_extra(path, f"no build ever had the number {build}")


async def _check_build(session: Session, folder: Path, build: int, project: str) -> None:
    """Check the files of a build that the farm has."""
    for entry in await session.list_dir(folder) or ():
        path = folder / entry.name
        if path in {session.webroot.log_path(build), session.webroot.log_page_path(build)}:
            await _check_log(session, path, entry, project)
        else:
            await _check_unknown(session, path, entry, project)


async def _check_log(session: Session, path: Path, entry: Entry, project: str) -> None:
    """Check that a log, or its page, can be read to its end."""
    detail = ""
    try:
        if not entry.is_file:
            detail = f"a {entry.kind} is where the log ought to be"
        elif session.options.hashes and not tree.is_whole_gzip(path):
            detail = "it cannot be unpacked"
        await session.compared(read_bytes=entry.size_bytes if session.options.hashes else 0)
    except FileNotFoundError:
        return
    except OSError as error:
        await session.found(session.unreadable(path, error, project))
        return
    if not detail or session.is_fresh(entry) or tree.look(path) != entry:
        return
    is_page = path.name.endswith(".html.gz")
    await session.found(
        Finding(
            problem=Problem.WRONG,
            path=session.relative(path),
            project=project,
            detail=detail,
            repair=Repair.MOVE_AND_WRITE_PAGE if is_page else Repair.MOVE_ASIDE,
            page_kind=PageKind.PROJECT if is_page else "",
            page_key=project if is_page else "",
        )
    )


async def _check_unknown(session: Session, path: Path, entry: Entry, project: str = "") -> None:
    await session.compared()
    if not session.is_fresh(entry) and tree.look(path) == entry:
        detail = LEFT_TEMPORARY if entry.is_temporary else "no log has this name"
        await session.report_extra(path, detail, project)
