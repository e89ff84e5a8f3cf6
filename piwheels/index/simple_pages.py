"""Renders pages of the Simple API 1.4 in HTML and JSON.

Pure functions with deterministic output: a page has no timestamp of its writing, so that it is
rewritten only when its content changes. Text of packages is untrusted.

Sources: PEP 503 (HTML), 592 (yank), 629 (version), 658 and 714 (metadata), 691 (JSON), 700
(sizes, times, versions), 740 (attestations, of mirrored wheels alone), 792 (status). URLs are
relative, so that the web root can be served under any prefix.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from html import escape
from typing import Any

import msgspec

from piwheels.model import IndexEntry, IndexPage, ProjectStatus, Struct

API_VERSION = "1.4"
#: Increase it when the output for the same data changes: unchanged pages are not rewritten.
RENDER_VERSION = 1

_META = f'<meta name="pypi:repository-version" content="{API_VERSION}">'


class RenderedPage(Struct, frozen=True, kw_only=True):
    """A page in both formats."""

    html: bytes
    json: bytes


class _Hashes(msgspec.Struct, frozen=True):
    sha256: str


class _FileJson(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A file of PEP 691, with 700, 714 and 740."""

    filename: str
    url: str
    hashes: _Hashes
    size: int
    upload_time: str
    yanked: bool | str
    # Not `dist-info-metadata` too: pip 22.3 to 23.0, as in Debian 12, fail on it (PEP 714).
    core_metadata: _Hashes
    requires_python: str | msgspec.UnsetType = msgspec.UNSET
    provenance: str | msgspec.UnsetType = msgspec.UNSET


def content_marker(page: IndexPage) -> bytes:
    """The first bytes of a project's HTML page, which identify its content and render version."""
    facts = hashlib.blake2b(msgspec.msgpack.encode(page), digest_size=16)
    return f"<!DOCTYPE html>\n<!-- {RENDER_VERSION} {facts.hexdigest()} -->\n".encode()


def render_project(page: IndexPage) -> RenderedPage:
    """A project's page. A quarantined project lists no files (PEP 792)."""
    files = () if page.status is ProjectStatus.QUARANTINED else page.files
    return RenderedPage(
        html=content_marker(page) + _project_html(page, files), json=_project_json(page, files)
    )


def render_project_list(projects: Sequence[str]) -> RenderedPage:
    """The list of all projects, by normalized name."""
    body = "".join(f'<a href="{escape(name)}/">{escape(name)}</a><br>\n' for name in projects)
    return RenderedPage(
        html=b"<!DOCTYPE html>\n" + _document("Simple index", _META, body),
        json=msgspec.json.encode(
            {
                "meta": {"api-version": API_VERSION},
                "projects": [{"name": name} for name in projects],
            }
        ),
    )


def _project_html(page: IndexPage, files: Sequence[IndexEntry]) -> bytes:
    head = _META
    if page.status is not ProjectStatus.ACTIVE:
        head += f'\n<meta name="pypi:project-status" content="{page.status}">'
        if page.status_reason:
            reason = escape(page.status_reason)
            head += f'\n<meta name="pypi:project-status-reason" content="{reason}">'
    title = f"Links for {page.project}"
    links = "".join(map(_link, files))
    return _document(title, head, f"<h1>{escape(title)}</h1>\n{links}")


def _document(title: str, head: str, body: str) -> bytes:
    return (
        f'<html lang="en">\n<head>\n<meta charset="utf-8">\n{head}\n'
        f"<title>{escape(title)}</title>\n</head>\n<body>\n{body}</body>\n</html>\n"
    ).encode()


def _link(file: IndexEntry) -> str:
    # The names of wheels need no quoting in a URL (see untrusted_names).
    name, sha256 = escape(file.filename), _escape_hash(file.sha256)
    metadata = f"sha256={_escape_hash(file.metadata_sha256)}"
    requires = _attribute("data-requires-python", file.requires_python or None)
    yanked = _attribute("data-yanked", file.yanked)
    attested = _attribute("data-provenance", file.attestations_url or None)
    # pip before 23.2 reads only the misnamed attribute (PEP 714).
    return (
        f'<a href="../../packages/{sha256[:2]}/{sha256}/{name}#sha256={sha256}"'
        f'{requires}{yanked}{attested} data-core-metadata="{metadata}" '
        f'data-dist-info-metadata="{metadata}">{name}</a><br>\n'
    )


def _escape_hash(text: str) -> str:
    """Escapes a text that is nearly always a hex digest: the check is faster than escaping."""
    return text if text.isalnum() else escape(text)


@lru_cache(maxsize=1000)
def _attribute(name: str, value: str | None) -> str:
    """An attribute, or "" for None; the files of a project share few values."""
    return "" if value is None else f' {name}="{escape(value)}"'


def _project_json(page: IndexPage, files: Sequence[IndexEntry]) -> bytes:
    status: dict[str, str] = {"status": str(page.status)}
    if page.status_reason:
        status["reason"] = page.status_reason
    content: dict[str, Any] = {
        "meta": {"api-version": API_VERSION},
        "name": page.project,
        "project-status": status,
        "versions": list(dict.fromkeys(file.version for file in files)),
        "files": list(map(_file_json, files)),
    }
    return msgspec.json.encode(content)


def _file_json(file: IndexEntry) -> _FileJson:
    return _FileJson(
        filename=file.filename,
        url=f"../../packages/{file.sha256[:2]}/{file.sha256}/{file.filename}",
        hashes=_Hashes(file.sha256),
        size=file.size_bytes,
        upload_time=_timestamp(file.released_at),
        yanked=file.yanked or file.yanked is not None,
        core_metadata=_Hashes(file.metadata_sha256),
        requires_python=file.requires_python or msgspec.UNSET,
        provenance=file.attestations_url or msgspec.UNSET,
    )


@lru_cache(maxsize=1000)
def _timestamp(time: datetime) -> str:
    """PEP 700: UTC, with `Z`; uv accepts no other format."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
