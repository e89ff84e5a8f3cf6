"""Compares the pages of the Simple API with what the database says that they list."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from piwheels.audit import tree
from piwheels.audit.finding import Finding
from piwheels.audit.page_checks import (
    Page,
    check_pair,
    gone_finding,
    list_page_dir,
    unknown_files,
)
from piwheels.audit.session import Session, is_project_name
from piwheels.audit.tree import Entry, EntryKind
from piwheels.db import audit_queries, index_queries
from piwheels.db.page_queue import PageKind
from piwheels.index.simple_pages import render_project
from piwheels.model import IndexPage

_LOOKS = 5
_DIRS = 500
_PAGES = ("index.html", "index.v1_json")
_FILES = frozenset(name + suffix for name in _PAGES for suffix in ("", ".gz"))


async def audit_index_pages(session: Session, after: str) -> None:
    """Compare the pages of all projects, or of the audit's, after one of them."""
    if session.options.projects:
        await _check_projects(session, session.options.projects)
        return
    if not await session.is_dir(session.webroot.simple_dir()):
        return
    await session.check_projects(
        audit_queries.projects_with_files, after, partial(_check_projects, session)
    )
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


async def _compare(session: Session, name: str, content: IndexPage | None) -> list[Finding]:
    """What is wrong with the files of a project's page."""
    folder = session.webroot.simple_dir(name)
    page = Page(kind=PageKind.SIMPLE, key=name, project=name)
    there = list_page_dir(session, folder, page)
    if isinstance(there, Finding):
        return [there]
    findings = unknown_files(
        session, folder, [entry for entry in there if entry.name not in _FILES], name
    )
    if content is None:
        if any(entry.name in _FILES for entry in there):
            detail = "the index lists no project of this name"
            findings.append(gone_finding(session, folder, page, detail))
        return findings
    rendered = render_project(content)
    for file, expected in zip(_PAGES, (rendered.html, rendered.json), strict=True):
        findings += await check_pair(session, folder / file, page, expected)
    return findings


async def _check_dirs(session: Session) -> None:
    """Look in simple/ for what is no project's."""
    folder = session.webroot.simple_dir()
    if tree.look(folder) is None:
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
