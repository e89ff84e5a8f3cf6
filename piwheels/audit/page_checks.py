"""What can be wrong with a page, its compressed file and its directory."""

from collections.abc import Callable, Sequence
from pathlib import Path

from piwheels.audit import tree
from piwheels.audit.finding import LEFT_TEMPORARY, Finding, Problem, Repair
from piwheels.audit.session import Session
from piwheels.audit.tree import Entry, EntryKind
from piwheels.db.page_queue import PageKind
from piwheels.model import Struct
from piwheels.webroot import gz_path

#: A larger page is read as if it ended here.
_MAX_PAGE_BYTES = 256 * 1024**2


class Page(Struct, frozen=True, kw_only=True):
    """A page of the queue: its kind, its key, and the project that it is about."""

    kind: PageKind
    key: str
    project: str = ""


def content_problem(path: Path, content: bytes) -> str:
    """What is wrong with a file that ought to have a content; "" if nothing is."""

    def differs(entry: Entry) -> bool:
        same_size = entry.size_bytes == len(content)
        return not same_size or tree.read_file(path, len(content)) != content

    return _problem(path, differs, "the page does not show what the database says")


def twin_problem(path: Path, content: bytes | None) -> str:
    """What is wrong with the compressed file of a page; "" if nothing is.

    Args:
        path: the compressed file.
        content: of the page; None if only whether it is there counts.
    """

    def differs(_: Entry) -> bool:
        return content is not None and not tree.gzip_has_content(path, content)

    return _problem(path, differs, "the compressed page has another content than the page")


def presence_problem(path: Path) -> str:
    """Why a file is not there; "" if it is."""
    return _problem(path, lambda _: False, "")


def _problem(path: Path, differs: Callable[[Entry], bool], difference: str) -> str:
    try:
        entry = tree.look(path)
        if entry is None:
            return "the page is not there"
        if not entry.is_file:
            return f"a {entry.kind} is where the page ought to be"
        return difference if differs(entry) else ""
    except OSError as error:
        return f"reading the page failed: {error.strerror}"


def page_finding(session: Session, path: Path, page: Page, detail: str) -> Finding:
    """The finding of a file of a page.

    What the publisher would take for up to date, or cannot replace, is moved aside.
    """
    entry = tree.look(path)
    in_the_way = entry is not None and (not entry.is_file or path.suffix == ".gz")
    return Finding(
        problem=Problem.WRONG if entry else Problem.MISSING,
        path=session.relative(path),
        project=page.project,
        detail=detail,
        repair=Repair.MOVE_AND_WRITE_PAGE if in_the_way else Repair.WRITE_PAGE,
        page_kind=page.kind,
        page_key=page.key,
    )


def gone_finding(session: Session, folder: Path, page: Page, detail: str) -> Finding:
    """The finding of a directory of pages that are no longer to be there."""
    return Finding(
        problem=Problem.EXTRA,
        path=session.relative(folder),
        project=page.project,
        detail=detail,
        repair=Repair.WRITE_PAGE,
        page_kind=page.kind,
        page_key=page.key,
    )


async def check_pair(
    session: Session, path: Path, page: Page, content: bytes | None = None
) -> list[Finding]:
    """What is wrong with a page and its compressed file.

    Args:
        session: the audit.
        path: the page.
        page: what the queue calls it.
        content: what it ought to be; None if only the compressed file can tell.
    """
    found = presence_problem(path) if content is None else content_problem(path, content)
    findings = [page_finding(session, path, page, found)] if found else []
    expected = content
    if content is None and not found and session.options.hashes:
        try:
            expected = tree.read_file(path, _MAX_PAGE_BYTES)
        except OSError as error:
            return [session.unreadable(path, error, page.project)]
    if twin := twin_problem(gz_path(path), expected):
        findings.append(page_finding(session, gz_path(path), page, twin))
    await session.compared(read_bytes=len(expected or b""))
    return findings


def unknown_files(
    session: Session, folder: Path, entries: Sequence[Entry], project: str = ""
) -> list[Finding]:
    """The findings of what no page of a directory has as its name."""
    return [
        Finding(
            problem=Problem.EXTRA,
            path=session.relative(folder / entry.name),
            project=project,
            detail=LEFT_TEMPORARY if entry.is_temporary else "no page has this name",
            repair=Repair.MOVE_ASIDE,
        )
        for entry in entries
        if not session.is_fresh(entry)
    ]


def list_page_dir(session: Session, folder: Path, page: Page) -> list[Entry] | Finding:
    """What is in the directory of a project's pages; a finding if it is none, or unreadable."""
    try:
        entry = tree.look(folder)
        if entry is not None and entry.kind is not EntryKind.FOLDER:
            detail = f"a {entry.kind} is where the pages ought to be"
            return page_finding(session, folder, page, detail)
        return tree.list_dir(folder)
    except OSError as error:
        return session.unreadable(folder, error, page.project)
