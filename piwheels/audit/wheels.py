"""Compares the wheels of the index with packages/, hash by hash, in the order of the hashes.

Neither side is held in memory: the names in the directory of two digits, and a page of rows, are.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from piwheels.audit import tree
from piwheels.audit.finding import LEFT_TEMPORARY, Finding, Problem, Repair
from piwheels.audit.session import Session
from piwheels.audit.tree import Entry, EntryKind
from piwheels.db import audit_queries
from piwheels.db.audit_queries import IndexedWheel
from piwheels.errors import RejectedError
from piwheels.webroot import PROVENANCE_SUFFIX, wheel_of
from piwheels.wheel.inspect import read_metadata

_PREFIXES = tuple(f"{number:02x}" for number in range(256))
_ROWS = 1000
#: Sorts after every file name.
_LAST = chr(0x10FFFF)
_MAX_METADATA_BYTES = 64 * 1024**2


class _HashDir(NamedTuple):
    """A hash that either side has."""

    sha256: str
    files: list[IndexedWheel]
    entry: Entry | None


async def audit_wheels(session: Session, after: str) -> None:
    """Compare all wheels, or those of the audit's projects, after a hash."""
    if session.options.projects:
        async for sha256, files in _of_projects(session, after):
            folder = session.webroot.wheel_path(sha256, "x").parent
            if await session.is_reachable(folder):
                await _check_hash(session, folder, _HashDir(sha256, files, tree.look(folder)))
            session.checkpoint(sha256, 0.0)
        return
    packages = session.webroot.root / "packages"
    there = await session.list_dir(packages)
    if there is None:
        return
    for entry in there:
        if entry.name not in _PREFIXES and not (entry.is_temporary and session.is_fresh(entry)):
            await session.report_extra(packages / entry.name, "no hash begins with this name")
    for number, prefix in enumerate(_PREFIXES):
        if prefix >= after[:2]:
            await _audit_prefix(session, packages / prefix, after, number / len(_PREFIXES))


async def _audit_prefix(session: Session, folder: Path, after: str, fraction: float) -> None:
    entries = await session.list_dir(folder)
    if entries is None:
        return
    async for found in _merge(session, folder.name, entries, after):
        await _check_hash(session, folder / found.sha256, found)
        session.checkpoint(found.sha256, fraction)


async def _merge(
    session: Session, prefix: str, entries: list[Entry], after: str
) -> AsyncIterator[_HashDir]:
    """Every hash of a prefix, after one, that the index or the directory has."""
    left = iter([entry for entry in entries if entry.name > after])
    entry = next(left, None)
    async for sha256, files in _of_prefix(session, prefix, after):
        while entry is not None and entry.name < sha256:
            yield _HashDir(entry.name, [], entry)
            entry = next(left, None)
        if entry is not None and entry.name == sha256:
            yield _HashDir(sha256, files, entry)
            entry = next(left, None)
        else:
            yield _HashDir(sha256, files, None)
    while entry is not None:
        yield _HashDir(entry.name, [], entry)
        entry = next(left, None)


async def _of_prefix(
    session: Session, prefix: str, after: str
) -> AsyncIterator[tuple[str, list[IndexedWheel]]]:
    """The wheels of each hash of a prefix."""
    place = (after, _LAST)
    while rows := await audit_queries.published_files(session.db, prefix, place, _ROWS):
        for group in _grouped(rows):
            yield group
        place = (rows[-1].sha256, rows[-1].filename)


async def _of_projects(
    session: Session, after: str
) -> AsyncIterator[tuple[str, list[IndexedWheel]]]:
    """The wheels of each hash that the audit's projects have."""
    place = (after, _LAST)
    projects = session.options.projects
    while rows := await audit_queries.published_files_of(session.db, projects, place, _ROWS):
        for group in _grouped(rows):
            yield group
        place = (rows[-1].sha256, rows[-1].filename)


def _grouped(rows: list[IndexedWheel]) -> list[tuple[str, list[IndexedWheel]]]:
    groups: dict[str, list[IndexedWheel]] = {}
    for row in rows:
        groups.setdefault(row.sha256, []).append(row)
    return list(groups.items())


async def _check_hash(session: Session, folder: Path, found: _HashDir) -> None:
    """Compare the wheels of a hash with the files of its directory."""
    if found.entry is not None and found.entry.kind is not EntryKind.FOLDER:
        await _check_no_dir(session, folder, found, found.entry)
        return
    entries = await session.list_dir(folder)
    if entries is None:
        return
    others = {entry.name: entry for entry in entries}
    for row in found.files:
        wheel = others.pop(row.filename, None)
        metadata = others.pop(f"{row.filename}.metadata", None)
        statement = others.pop(f"{row.filename}{PROVENANCE_SUFFIX}", None)
        if await _check_wheel(session, row, wheel):
            await _check_metadata(session, row, metadata)
            if row.has_provenance:
                await _check_statement(session, row, statement)
    for entry in others.values():
        await _check_other(session, folder / entry.name, found.sha256, entry)


async def _check_no_dir(session: Session, folder: Path, found: _HashDir, entry: Entry) -> None:
    """Report what is where the directory of a hash ought to be."""
    detail = f"a {entry.kind} is where the directory of a hash ought to be"
    for row in found.files:
        if await _is_still_there(session, row):
            await session.found(_wheel_finding(session, row, folder, Problem.WRONG, detail))
    if not found.files:
        await _check_other(session, folder, found.sha256, entry)


# --- wheels ---


async def _check_wheel(session: Session, row: IndexedWheel, entry: Entry | None) -> bool:
    """Compare a wheel with its row; returns whether it is as it ought to be."""
    path = session.webroot.wheel_path(row.sha256, row.filename)
    try:
        detail = _wheel_problem(session, row, path, entry)
        await session.compared(read_bytes=row.size_bytes if session.options.hashes else 0)
        if not detail or not await _is_still_there(session, row):
            return not detail
        # Look again: it may have been published since the first look.
        entry = tree.look(path)
        detail = _wheel_problem(session, row, path, entry)
    except OSError as error:
        await session.found(session.unreadable(path, error, row.project))
        return False
    if detail and await _is_still_there(session, row):
        problem = Problem.WRONG if entry else Problem.MISSING
        await session.found(_wheel_finding(session, row, path, problem, detail))
    return not detail


def _wheel_problem(session: Session, row: IndexedWheel, path: Path, entry: Entry | None) -> str:
    """What is wrong with a wheel; "" if nothing is."""
    if entry is None:
        return "the wheel is not there"
    if not entry.is_file:
        return f"a {entry.kind} is where the wheel ought to be"
    if entry.size_bytes != row.size_bytes:
        return f"the wheel has {entry.size_bytes} bytes, not {row.size_bytes}"
    if session.options.hashes and (found := tree.hash_file(path)) != row.sha256:
        return f"the wheel's sha256 is {found}"
    return ""


def _wheel_finding(
    session: Session, row: IndexedWheel, path: Path, problem: Problem, detail: str
) -> Finding:
    missing = problem is Problem.MISSING
    return Finding(
        problem=problem,
        path=session.relative(path),
        project=row.project,
        detail=detail,
        repair=Repair.WITHDRAW if missing else Repair.MOVE_AND_WITHDRAW,
        filename=row.filename,
        sha256=row.sha256,
    )


async def _is_still_there(session: Session, row: IndexedWheel) -> bool:
    return await audit_queries.is_published(session.db, row.filename, row.sha256)


# --- metadata ---


async def _check_metadata(session: Session, row: IndexedWheel, entry: Entry | None) -> None:
    """Compare the metadata of a wheel that is as it ought to be with its hash on the page."""
    path = session.webroot.metadata_path(row.sha256, row.filename)
    try:
        detail = _metadata_problem(session, row, path, entry)
        await session.compared()
        if not detail or not await _is_still_there(session, row):
            return
        entry = tree.look(path)
        detail = _metadata_problem(session, row, path, entry)
    except OSError as error:
        await session.found(session.unreadable(path, error, row.project))
        return
    if detail and await _is_still_there(session, row):
        await session.found(
            Finding(
                problem=Problem.WRONG if entry else Problem.MISSING,
                path=session.relative(path),
                project=row.project,
                detail=detail,
                repair=Repair.WRITE_METADATA,
                filename=row.filename,
                sha256=row.sha256,
            )
        )


def _metadata_problem(session: Session, row: IndexedWheel, path: Path, entry: Entry | None) -> str:
    if entry is None:
        return "the wheel's metadata is not there"
    if not entry.is_file:
        return f"a {entry.kind} is where the wheel's metadata ought to be"
    if session.options.hashes:
        found = tree.hash_bytes(tree.read_file(path, _MAX_METADATA_BYTES))
        if found != row.metadata_sha256:
            return f"the metadata's sha256 is {found}, the page says {row.metadata_sha256}"
        in_wheel = _hash_in_wheel(session, row)
        if in_wheel not in {"", found}:
            return f"the metadata's sha256 is {found}, in the wheel it is {in_wheel}"
    return ""


# --- statements ---


async def _check_statement(session: Session, row: IndexedWheel, entry: Entry | None) -> None:
    """Report a statement that a page links to and that is not there, or proves nothing."""
    path = session.webroot.provenance_path(row.sha256, row.filename)
    try:
        detail = await asyncio.to_thread(_statement_problem, session, row, path, entry)
        await session.compared()
        if not detail or not await _is_still_there(session, row):
            return
        entry = tree.look(path)
        detail = await asyncio.to_thread(_statement_problem, session, row, path, entry)
    except OSError as error:
        await session.found(session.unreadable(path, error, row.project))
        return
    if detail:
        await session.found(
            Finding(
                problem=Problem.WRONG if entry else Problem.MISSING,
                path=session.relative(path),
                project=row.project,
                detail=detail,
                repair=_statement_repair(session, entry),
                filename=row.filename,
                sha256=row.sha256,
            )
        )


def _statement_problem(session: Session, row: IndexedWheel, path: Path, entry: Entry | None) -> str:
    if not _is_statement(entry):
        return "the statement of how the wheel was built is not there"
    if session.statements is None or not session.options.hashes:
        return ""
    return session.statements.problem(path, row.filename, row.sha256)


def _statement_repair(session: Session, entry: Entry | None) -> Repair:
    if session.statements is None:
        return Repair.MOVE_AND_UNLINK_STATEMENT if entry else Repair.UNLINK_STATEMENT
    return Repair.MOVE_AND_WRITE_STATEMENT if entry else Repair.WRITE_STATEMENT


def _is_statement(entry: Entry | None) -> bool:
    return entry is not None and entry.is_file and entry.size_bytes > 0


def _hash_in_wheel(session: Session, row: IndexedWheel) -> str:
    """The hash of the METADATA in a wheel; "" if today's checks would not accept the wheel.

    The wheel has the bytes that were inspected, in a process with limits, when it was published.
    """
    try:
        return tree.hash_bytes(read_metadata(session.webroot.wheel_path(row.sha256, row.filename)))
    except RejectedError:
        return ""


# --- what is not in the index ---


async def _check_other(session: Session, path: Path, sha256: str, entry: Entry) -> None:
    """Report a file that no page names, unless it is being installed or deleted."""
    if session.is_fresh(entry):
        return
    await session.compared()
    filename = wheel_of(entry.name)
    if tree.is_text(filename) and await audit_queries.is_expected(session.db, filename, sha256):
        return
    if tree.look(path) == entry:
        detail = LEFT_TEMPORARY if entry.is_temporary else "no page names this"
        await session.report_extra(path, detail)
