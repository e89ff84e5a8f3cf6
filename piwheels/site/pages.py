"""Index pages from what the farm knows: Simple API 1.4 in HTML and JSON, and nothing else.

Functions of their arguments, with deterministic bytes: a page carries no time of its writing,
so that it is written again only when it says something else. Text of packages is hostile.

Sources: PEP 503 (HTML), 592 (yank), 629 (version), 658 and 714 (metadata), 691 (JSON), 700
(sizes, times, versions), 792 (status). Addresses are relative, so that the tree works under
any prefix.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

import msgspec

from piwheels.model import ProjectStatus, Struct

API_VERSION = "1.4"
_META = f'<meta name="pypi:repository-version" content="{API_VERSION}">'


class File(Struct, frozen=True, kw_only=True):
    """A file as its project's page lists it."""

    filename: str
    sha256: str
    size_bytes: int
    metadata_sha256: str
    requires_python: str
    version: str
    released_at: datetime
    yanked: str | None


class Page(Struct, frozen=True, kw_only=True):
    """All that a project's page says; `files` in the order in which they are listed."""

    project: str
    status: ProjectStatus
    status_reason: str
    files: tuple[File, ...]


class Rendered(Struct, frozen=True, kw_only=True):
    """A page in both forms."""

    html: bytes
    json: bytes


def render_project(page: Page) -> Rendered:
    """A project's page. A quarantined project lists no files (PEP 792 leaves that to us)."""
    files = () if page.status is ProjectStatus.QUARANTINED else page.files
    return Rendered(html=_project_html(page, files), json=_project_json(page, files))


def render_root(projects: Sequence[str]) -> Rendered:
    """The listing of all projects, by normalised name."""
    body = "".join(f'<a href="{escape(name)}/">{escape(name)}</a><br>\n' for name in projects)
    return Rendered(
        html=_document("Simple index", _META, body),
        json=msgspec.json.encode(
            {
                "meta": {"api-version": API_VERSION},
                "projects": [{"name": name} for name in projects],
            }
        ),
    )


def _project_html(page: Page, files: Sequence[File]) -> bytes:
    head = _META
    if page.status is not ProjectStatus.ACTIVE:
        head += f'\n<meta name="pypi:project-status" content="{page.status}">'
        if page.status_reason:
            reason = escape(page.status_reason)
            head += f'\n<meta name="pypi:project-status-reason" content="{reason}">'
    title = f"Links for {page.project}"
    links = "".join(_link(file) for file in files)
    return _document(title, head, f"<h1>{escape(title)}</h1>\n{links}")


def _document(title: str, head: str, body: str) -> bytes:
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{head}\n'
        f"<title>{escape(title)}</title>\n</head>\n<body>\n{body}</body>\n</html>\n"
    ).encode()


def _link(file: File) -> str:
    attributes = " ".join(f'{name}="{escape(value)}"' for name, value in _attributes(file))
    return f"<a {attributes}>{escape(file.filename)}</a><br>\n"


def _attributes(file: File) -> Iterator[tuple[str, str]]:
    yield "href", f"{_address(file)}#sha256={file.sha256}"
    if file.requires_python:
        yield "data-requires-python", file.requires_python
    if file.yanked is not None:
        yield "data-yanked", file.yanked
    metadata = f"sha256={file.metadata_sha256}"
    yield "data-core-metadata", metadata
    # pip before 23.2 reads only the misnamed attribute (PEP 714).
    yield "data-dist-info-metadata", metadata


def _project_json(page: Page, files: Sequence[File]) -> bytes:
    status: dict[str, str] = {"status": str(page.status)}
    if page.status_reason:
        status["reason"] = page.status_reason
    return msgspec.json.encode(
        {
            "meta": {"api-version": API_VERSION},
            "name": page.project,
            "project-status": status,
            "versions": list(dict.fromkeys(file.version for file in files)),
            "files": [_file_json(file) for file in files],
        }
    )


def _file_json(file: File) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "filename": file.filename,
        "url": _address(file),
        "hashes": {"sha256": file.sha256},
        "size": file.size_bytes,
        "upload-time": _timestamp(file.released_at),
        "yanked": file.yanked or file.yanked is not None,
        # Not `dist-info-metadata` too: pip 22.3 to 23.0, as in Debian 12, fail on it (PEP 714).
        "core-metadata": {"sha256": file.metadata_sha256},
    }
    if file.requires_python:
        entry["requires-python"] = file.requires_python
    return entry


def _address(file: File) -> str:
    return f"../../packages/{file.sha256[:2]}/{file.sha256}/{file.filename}"


def _timestamp(moment: datetime) -> str:
    """PEP 700: UTC, with `Z`; uv reads no other form."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
