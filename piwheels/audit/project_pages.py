"""Compares the pages of projects on the website with the projects and wheels of the database.

How a page looks also depends on builders and time, which an audit does not know. So a page is
compared with its compressed file, and the wheels that its JSON names with the database.
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from piwheels.audit import tree
from piwheels.audit.finding import Finding
from piwheels.audit.page_checks import (
    Page,
    check_pair,
    gone_finding,
    list_page_dir,
    page_finding,
    presence_problem,
    unknown_files,
)
from piwheels.audit.session import Session, is_project_name
from piwheels.audit.tree import Entry, EntryKind
from piwheels.db import audit_queries, index_queries
from piwheels.db.page_queue import PageKind

_ALIASES = 20
_LOOKS = 5
_DIRS = 500
_PAGES = ("index.html", "json", "v1.json", "feed.atom")
_FURTHER_PAGE = re.compile(r"releases-[0-9]+\.html")
_JSON = "v1.json"
_MAX_JSON_BYTES = 256 * 1024**2

_Wheels = frozenset[tuple[str, str]]


class _FileJson(msgspec.Struct):
    filename: str
    sha256: str


class _ReleaseJson(msgspec.Struct):
    files: list[_FileJson]


class _ProjectJson(msgspec.Struct):
    """What a project's JSON says about its wheels."""

    releases: list[_ReleaseJson]


async def audit_project_pages(session: Session, after: str) -> None:
    """Compare the pages of all projects, or of the audit's, after one of them."""
    if session.options.projects:
        await _check_projects(session, session.options.projects)
        return
    if not await session.is_dir(session.webroot.root / "project"):
        return
    await session.check_projects(
        audit_queries.projects_with_releases, after, partial(_check_projects, session)
    )
    await _check_aliases(session)
    await _check_dirs(session)


async def _check_projects(session: Session, names: Sequence[str]) -> None:
    wheels = await _wheels(session, names)
    for name in names:
        findings = await _compare(session, name, wheels[name])
        for finding in await _look_again(session, name) if findings else []:
            await session.found(finding)


async def _wheels(session: Session, names: Sequence[str]) -> dict[str, _Wheels]:
    """The name and the hash of each wheel that pages of projects ought to name."""
    pages = await index_queries.index_pages(session.db, names)
    return {
        name: frozenset(
            (file.filename, file.sha256) for file in (pages[name].files if name in pages else ())
        )
        for name in names
    }


async def _look_again(session: Session, name: str) -> list[Finding]:
    """What is wrong with pages while nothing about them changes."""
    for _ in range(_LOOKS):
        before = await _wheels(session, [name])
        findings = await _compare(session, name, before[name])
        if await _is_pending(session, name):
            return []
        if before == await _wheels(session, [name]):
            there = await audit_queries.among_projects_with_releases(session.db, [name])
            return findings if there else []
    return []


async def _is_pending(session: Session, name: str) -> bool:
    """Whether pages of a project, or of all projects, have yet to be written."""
    return await audit_queries.is_page_pending(
        session.db, PageKind.PROJECT, name
    ) or await audit_queries.is_page_pending(session.db, PageKind.PROJECTS, "")


async def _compare(session: Session, name: str, wheels: _Wheels) -> list[Finding]:
    """What is wrong with the files of a project's directory."""
    folder = session.webroot.project_dir(name)
    page = Page(kind=PageKind.PROJECT, key=name, project=name)
    there = list_page_dir(session, folder, page)
    if isinstance(there, Finding):
        return [there]
    further = {
        file for entry in there if _FURTHER_PAGE.fullmatch(file := entry.name.removesuffix(".gz"))
    }
    known = {name + suffix for name in (*_PAGES, *further) for suffix in ("", ".gz")}
    findings = unknown_files(
        session, folder, [entry for entry in there if entry.name not in known], name
    )
    for file in (*_PAGES, *sorted(further)):
        found = await check_pair(session, folder / file, page)
        if not found and file == _JSON and (problem := _json_problem(folder / file, wheels)):
            found = [page_finding(session, folder / file, page, problem)]
        findings += found
    return findings


def _json_problem(path: Path, wheels: _Wheels) -> str:
    """What is wrong with the wheels that a project's JSON names; "" if nothing is."""
    try:
        document = msgspec.json.decode(tree.read_file(path, _MAX_JSON_BYTES), type=_ProjectJson)
    except msgspec.MsgspecError:
        return "the page is no JSON document of a project"
    except OSError as error:
        return f"opening the page failed: {error.strerror}"
    named = {
        (file.filename, file.sha256) for release in document.releases for file in release.files
    }
    if gone := named - wheels:
        return f"the page names {min(gone)[0]}, which the index does not"
    if lacking := wheels - named:
        return f"the page lacks {min(lacking)[0]}"
    return ""


# --- aliases, and what is no project's ---


async def _check_aliases(session: Session) -> None:
    """Look for the page of each alias, which redirects to its project."""
    after = ""
    while rows := await audit_queries.aliases(session.db, after, _ALIASES):
        for alias, project in rows:
            path = session.webroot.project_dir(alias) / "index.html"
            page = Page(kind=PageKind.ALIAS, key=alias, project=project)
            await session.compared()
            if not (detail := presence_problem(path)):
                continue
            if await audit_queries.is_page_pending(session.db, PageKind.ALIAS, alias):
                continue
            if presence_problem(path) and await audit_queries.is_alias(session.db, alias):
                await session.found(page_finding(session, path, page, detail))
        after = rows[-1][0]


async def _check_dirs(session: Session) -> None:
    """Look in project/ for what is no project's."""
    folder = session.webroot.root / "project"
    if tree.look(folder) is None:
        return
    for batch in tree.scan_batches(folder, _DIRS):
        names = [entry.name for entry in batch if tree.is_text(entry.name)]
        known = await audit_queries.among_projects_and_aliases(session.db, names)
        for entry in batch:
            if entry.name not in known:
                await _check_unknown(session, folder / entry.name, entry)


async def _check_unknown(session: Session, path: Path, entry: Entry) -> None:
    await session.compared()
    if not is_project_name(entry.name) or entry.kind is not EntryKind.FOLDER:
        if not session.is_fresh(entry) and tree.look(path) == entry:
            await session.report_extra(path, "neither a project nor an alias has this name")
        return
    page = Page(kind=PageKind.PROJECT, key=entry.name, project=entry.name)
    there = list_page_dir(session, path, page)
    if isinstance(there, Finding) or not there or await _is_pending(session, entry.name):
        return
    if await audit_queries.among_projects_and_aliases(session.db, [entry.name]):
        return
    files = {name + suffix for name in _PAGES for suffix in ("", ".gz")}
    others = [it for it in there if it.name not in files and not _FURTHER_PAGE.match(it.name)]
    for finding in unknown_files(session, path, others):
        await session.found(finding)
    if len(others) < len(there) and tree.look(path) is not None:
        detail = "the farm has no project of this name"
        await session.found(gone_finding(session, path, page, detail))
