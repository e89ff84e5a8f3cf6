"""Looks at the pages that are not a project's: the list of all projects, and the website's.

The publisher compares most of these with their content every few seconds by itself. So only what
is lost or unreadable is looked for, and what compressed files hold.
"""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import BinaryIO

from piwheels.audit import tree
from piwheels.audit.finding import LEFT_TEMPORARY, Finding
from piwheels.audit.page_checks import Page, check_pair, page_finding
from piwheels.audit.session import Session
from piwheels.audit.tree import Entry, EntryKind
from piwheels.db import audit_queries
from piwheels.db.page_queue import PageKind
from piwheels.index.simple_pages import RenderedPage, render_project_list
from piwheels.webroot import gz_path

_NAMES = 1000
_LOOKS = 5
_BATCH = 500
_PAUSE_S = 0.5

#: The single pages of the website, and the kind that the queue has for each.
_SINGLE_PAGES = {
    "index.html": PageKind.HOME,
    "packages.html": PageKind.SEARCH,
    "packages.json": PageKind.SEARCH,
    "packages-v1.json": PageKind.SEARCH,
    "stats.html": PageKind.STATS,
    "stats.json": PageKind.STATS,
    "wheels.atom": PageKind.FAILURES,
    "failures.atom": PageKind.FAILURES,
    "sitemap.xml": PageKind.SITEMAPS,
    "404.html": PageKind.STATIC,
    "faq.html": PageKind.STATIC,
    "favicon.ico": PageKind.STATIC,
    "find.html": PageKind.STATIC,
    "json.html": PageKind.STATIC,
    "robots.txt": PageKind.STATIC,
}
#: Directories of pages, each with its compressed file.
_PAGE_DIRS = {
    "projects": PageKind.SEARCH,
    "search": PageKind.SEARCH,
    "search-words": PageKind.SEARCH,
    "static": PageKind.STATIC,
}


async def audit_site_pages(session: Session, after: str) -> None:
    """Look at all pages that are not a project's; those of a directory after the last one."""
    del after  # there are few of them
    if session.options.projects:
        return
    singles = [(session.webroot.root / name, kind) for name, kind in _SINGLE_PAGES.items()]
    await _check_pairs(session, singles)
    for name, kind in _PAGE_DIRS.items():
        await _check_dir(session, session.webroot.root / name, kind)
    # Other files at the top are the operator's: .well-known, the proof of a domain.
    for entry in tree.list_dir(session.webroot.root):
        if entry.is_temporary:
            await _check_unknown(session, session.webroot.root / entry.name, entry)
    await _check_project_list(session)


async def _check_dir(session: Session, folder: Path, kind: PageKind) -> None:
    if not await session.is_dir(folder) or tree.look(folder) is None:
        return
    for batch in tree.scan_batches(folder, _BATCH):
        pages: list[tuple[Path, PageKind]] = []
        for entry in batch:
            path = folder / entry.name
            if entry.is_temporary or entry.kind is not EntryKind.FILE:
                await _check_unknown(session, path, entry)
            elif path.suffix != ".gz":
                pages.append((path, kind))
        await _check_pairs(session, pages)


async def _check_unknown(session: Session, path: Path, entry: Entry) -> None:
    if not session.is_fresh(entry) and tree.look(path) == entry:
        detail = LEFT_TEMPORARY if entry.is_temporary else f"a {entry.kind} is among the pages"
        await session.report_extra(path, detail)


async def _check_pairs(session: Session, pages: Sequence[tuple[Path, PageKind]]) -> None:
    """Check pages and their compressed files; those that seem wrong once more after a pause."""
    wrong: list[tuple[Path, PageKind, list[Entry | None]]] = []
    for path, kind in pages:
        before = _state(path)
        if any(entry is not None and session.is_fresh(entry) for entry in before):
            continue
        if await check_pair(session, path, Page(kind=kind, key="")):
            wrong.append((path, kind, before))
    if wrong:
        await asyncio.sleep(_PAUSE_S)  # one of them may just be written
    for path, kind, before in wrong:
        findings = await check_pair(session, path, Page(kind=kind, key=""))
        if before != _state(path) or await audit_queries.is_page_pending(session.db, kind, ""):
            continue
        for finding in findings:
            await session.found(finding)


def _state(path: Path) -> list[Entry | None]:
    return [tree.look(path), tree.look(gz_path(path))]


# --- the list of all projects ---


async def _check_project_list(session: Session) -> None:
    """Compare the list of all projects; nobody holds it in memory."""
    folder = session.webroot.simple_dir()
    entry = tree.look(folder)
    if entry is not None and entry.kind is not EntryKind.FOLDER:
        return  # found with the pages in it
    for name in ("index.html", "index.v1_json"):
        for path in (folder / name, gz_path(folder / name)):
            for finding in await _check_list_file(session, path, is_json=name != "index.html"):
                await session.found(finding)


async def _check_list_file(session: Session, path: Path, *, is_json: bool) -> list[Finding]:
    """What is wrong with a file of the list; nothing while it is to be written."""
    page = Page(kind=PageKind.SIMPLE, key="")
    for _ in range(_LOOKS):
        before = tree.look(path)
        detail = await _list_problem(session, path, before, is_json=is_json)
        if not detail:
            return []
        if await audit_queries.is_page_pending(session.db, page.kind, page.key):
            return []
        if before == tree.look(path) and detail == await _list_problem(
            session, path, before, is_json=is_json
        ):
            if await audit_queries.is_page_pending(session.db, page.kind, page.key):
                return []
            return [page_finding(session, path, page, detail)]
    return []


async def _list_problem(session: Session, path: Path, entry: Entry | None, *, is_json: bool) -> str:
    if entry is None:
        has_files = await audit_queries.has_files(session.db)
        return "the list of all projects is not there" if has_files else ""
    if not entry.is_file:
        return f"a {entry.kind} is where the list of all projects ought to be"
    await session.compared(read_bytes=entry.size_bytes)
    try:
        with tree.open_file(path) as file:
            if path.suffix != ".gz":
                return await _compare_list(session, file, is_json=is_json)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return await _compare_list(session, unpacked, is_json=is_json)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return "the compressed list cannot be unpacked"
    except OSError as error:
        return f"reading the list failed: {error.strerror}"


async def _compare_list(session: Session, file: BinaryIO | gzip.GzipFile, *, is_json: bool) -> str:
    async for piece in _pieces(session, is_json=is_json):
        if file.read(len(piece)) != piece:
            return "the list does not name the projects that have wheels"
    return "the list goes on after its end" if file.read(1) else ""


async def _pieces(session: Session, *, is_json: bool) -> AsyncIterator[bytes]:
    """The content that the list ought to have, piece by piece."""

    def content(page: RenderedPage) -> bytes:
        return page.json if is_json else page.html

    empty = content(render_project_list([]))
    end = empty.index(b"]}") if is_json else empty.index(b"</body>")
    yield empty[:end]
    after, is_first = "", True
    while names := await audit_queries.projects_with_listed_files(session.db, after, _NAMES):
        for name in names:
            item = content(render_project_list([name]))[end : end - len(empty)]
            yield item if is_first or not is_json else b"," + item
            is_first = False
        after = names[-1]
    yield empty[end:]
