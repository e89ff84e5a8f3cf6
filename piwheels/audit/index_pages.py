"""Compares the pages of the Simple API with what the database says that they list."""

from collections.abc import Sequence
from pathlib import Path

from piwheels.audit import tree
from piwheels.audit.finding import LEFT_TEMPORARY, Finding, Problem, Repair
from piwheels.audit.session import Session, is_project_name
from piwheels.audit.tree import Entry, EntryKind
from piwheels.db import audit_queries, index_queries
from piwheels.db.page_queue import PageKind
from piwheels.index.simple_pages import render_project
from piwheels.model import IndexPage
from piwheels.webroot import gz_path

_PROJECTS = 100
_LOOKS = 5
_DIRS = 500
_PAGES = ("index.html", "index.v1_json")
_FILES = frozenset(name + suffix for name in _PAGES for suffix in ("", ".gz"))


async def audit_index_pages(session: Session, after: str) -> None:
    """Compare the pages of all projects, or of the audit's, after one of them."""
    if session.options.projects:
        await _check_projects(session, session.options.projects)
        return
    while names := await audit_queries.projects_with_files(session.db, after, _PROJECTS):
        await _check_projects(session, names)
        after = names[-1]
        session.checkpoint(after, 0.5)
    await _check_dirs(session)


async def _check_projects(session: Session, names: Sequence[str]) -> None:
    pages = await index_queries.index_pages(session.db, names)
    for name in names:
        findings = await _compare(session, name, pages.get(name))
        if findings:
            findings = await _look_again(session, name)
        for finding in findings:
            await session.found(finding)


async def _look_again(session: Session, name: str) -> list[Finding]:
    """What is wrong with a page while nothing about it changes; nothing if it is to be written."""
    for _ in range(_LOOKS):
        before = (await index_queries.index_pages(session.db, [name])).get(name)
        findings = await _compare(session, name, before)
        if await audit_queries.is_page_pending(session.db, PageKind.SIMPLE, name):
            return []
        after = (await index_queries.index_pages(session.db, [name])).get(name)
        if before == after:
            return findings
    return []


async def _compare(session: Session, name: str, page: IndexPage | None) -> list[Finding]:
    """What is wrong with the files of a project's page."""
    folder = session.webroot.simple_dir(name)
    try:
        entry = tree.look(folder)
        if entry is not None and entry.kind is not EntryKind.FOLDER:
            return [_page_finding(session, folder, name, f"a {entry.kind} is where it ought to be")]
        there = tree.list_dir(folder)
    except OSError as error:
        return [session.unreadable(folder, error, name)]
    unknown = _unknown_files(session, folder, name, there)
    if page is None:
        is_page = any(entry.name in _FILES for entry in there)
        return unknown + ([_gone(session, folder, name)] if is_page else [])
    rendered = render_project(page)
    findings = []
    for file, content in zip(_PAGES, (rendered.html, rendered.json), strict=True):
        path = folder / file
        if detail := _page_problem(path, content):
            findings.append(_page_finding(session, path, name, detail))
        if detail := _gz_problem(gz_path(path), content):
            findings.append(_page_finding(session, gz_path(path), name, detail))
        await session.compared(read_bytes=len(content))
    return findings + unknown


def _page_problem(path: Path, content: bytes) -> str:
    """What is wrong with a page; "" if nothing is."""
    try:
        entry = tree.look(path)
        if entry is None:
            return "the page is not there"
        if not entry.is_file:
            return f"a {entry.kind} is where the page ought to be"
        if entry.size_bytes != len(content) or tree.read_file(path, len(content)) != content:
            return "the page does not list what the database does"
    except OSError as error:
        return f"the page cannot be read: {error.strerror}"
    return ""


def _gz_problem(path: Path, content: bytes) -> str:
    """What is wrong with the compressed file of a page; "" if nothing is."""
    try:
        entry = tree.look(path)
        if entry is None:
            return "the compressed page is not there"
        if not entry.is_file:
            return f"a {entry.kind} is where the compressed page ought to be"
        if not tree.gzip_has_content(path, content):
            return "the compressed page has another content"
    except OSError as error:
        return f"the compressed page cannot be read: {error.strerror}"
    return ""


def _page_finding(session: Session, path: Path, name: str, detail: str) -> Finding:
    """The finding of a page; one that the publisher would take for up to date is moved aside."""
    entry = tree.look(path)
    in_the_way = entry is not None and (not entry.is_file or path.suffix == ".gz")
    return Finding(
        problem=Problem.WRONG if entry else Problem.MISSING,
        path=session.relative(path),
        project=name,
        detail=detail,
        repair=Repair.MOVE_AND_WRITE_PAGE if in_the_way else Repair.WRITE_PAGE,
        page_kind=PageKind.SIMPLE,
        page_key=name,
    )


def _unknown_files(
    session: Session, folder: Path, name: str, there: Sequence[Entry]
) -> list[Finding]:
    """What is in a project's directory besides its page."""
    return [
        Finding(
            problem=Problem.EXTRA,
            path=session.relative(folder / entry.name),
            project=name,
            detail=LEFT_TEMPORARY if entry.is_temporary else "no page has this name",
            repair=Repair.MOVE_ASIDE,
        )
        for entry in there
        if entry.name not in _FILES and not session.is_fresh(entry)
    ]


# --- pages of projects that are gone ---


def _gone(session: Session, folder: Path, name: str) -> Finding:
    return Finding(
        problem=Problem.EXTRA,
        path=session.relative(folder),
        project=name,
        detail="the index lists no project of this name",
        repair=Repair.WRITE_PAGE,
        page_kind=PageKind.SIMPLE,
        page_key=name,
    )


async def _check_dirs(session: Session) -> None:
    """Look in simple/ for what is no project's."""
    folder = session.webroot.simple_dir()
    if not await session.is_dir(folder) or tree.look(folder) is None:
        return
    for batch in tree.scan_batches(folder, _DIRS):
        names = [entry.name for entry in batch if is_project_name(entry.name)]
        known = await audit_queries.among_projects_with_files(session.db, names)
        for entry in batch:
            if entry.name not in known and entry.name not in _FILES:
                await _check_unknown(session, folder / entry.name, entry)


async def _check_unknown(session: Session, path: Path, entry: Entry) -> None:
    await session.compared()
    if is_project_name(entry.name) and entry.kind is EntryKind.FOLDER:
        for finding in await _look_again(session, entry.name):
            await session.found(finding)
    elif not session.is_fresh(entry) and tree.look(path) == entry:
        await session.report_extra(path, "no project has this name")
