"""A web root with real wheels, clients that install from it, and web servers."""

import gzip
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from piwheels.index.index_publisher import write_pages, write_project_list
from piwheels.model import IndexEntry, IndexPage, ProjectStatus
from piwheels.provenance.signing_keys import SigningKeys
from piwheels.provenance.statement import Subject
from piwheels.provenance.writer import StatementWriter
from piwheels.webroot import Webroot
from tests.clients.servers import NAMES, program, serving
from tests.provenance.factories import FACTS
from tests.requires import requires_program
from tests.session_cache import persistent_cache

_PIPS = {
    "pip22": "pip==22.0.4",
    "pip23": "pip==23.0.1",  # Debian 12's and Raspberry Pi OS 12's
    "pip24": "pip==24.0",
    "pip-newest": "pip>=26",
}
#: Files of the web site, of every type that it has.
SITE = {
    "index.html": b"<h1>home</h1>",
    "404.html": b"<h1>not here</h1>",
    "packages.json": b"[]",
    "sitemap.xml": b"<urlset/>",
    "robots.txt": b"Allow: /",
    "favicon.ico": b"icon",
    "project/left/index.html": b"<h1>left</h1>",
    "project/left/json": b"{}",
    "static/style.0123456789ab.css": b"body {}",
    "static/site.0123456789ab.js": b"0;",
    "static/mark.0123456789ab.svg": b"<svg/>",
    "search/_.json": b"{}",
    "project/left/v1.json": b"{}",
    "wheels.atom": b"<feed/>",
}
RELEASED_AT = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def make_wheel(
    folder: Path, name: str, version: str, *, requires: str = "", python: str = ""
) -> Path:
    """A small pure wheel that pip accepts."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Dist: {requires}\n" if requires else ""
    metadata += f"Requires-Python: {python}\n" if python else ""
    members = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*members, f"{info}/RECORD"])
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in {**members, f"{info}/RECORD": record}.items():
            archive.writestr(member, content)
    return path


def install_wheel(
    webroot: Webroot, path: Path, *, yanked: str | None = None, python: str = ""
) -> IndexEntry:
    """Put a wheel and its metadata into a tree."""
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    with zipfile.ZipFile(path) as archive:
        name = next(item for item in archive.namelist() if item.endswith("METADATA"))
        metadata = archive.read(name)
    webroot.write(webroot.wheel_path(sha256, path.name), content)
    webroot.write(webroot.metadata_path(sha256, path.name), metadata)
    return IndexEntry(
        filename=path.name,
        sha256=sha256,
        size_bytes=len(content),
        metadata_sha256=hashlib.sha256(metadata).hexdigest(),
        requires_python=python,
        version=path.name.split("-")[1],
        released_at=RELEASED_AT,
        yanked=yanked,
    )


def page(project: str, *files: IndexEntry) -> IndexPage:
    """A project's page."""
    return IndexPage(project=project, status=ProjectStatus.ACTIVE, status_reason="", files=files)


@pytest.fixture(scope="session")
def tree() -> Iterator[Path]:
    """A tree that any account can read: `left` needs `right`; the newest of both is no good."""
    root = Path(tempfile.mkdtemp(prefix="piwheels-tree-"))
    root.chmod(0o755)
    source = root / ".source"
    source.mkdir()
    webroot = Webroot(root)
    left = install_wheel(webroot, make_wheel(source, "left", "1.0", requires="right"))
    good = install_wheel(webroot, make_wheel(source, "right", "1.0"))
    yanked = install_wheel(webroot, make_wheel(source, "right", "2.0"), yanked="it is <broken>")
    future = install_wheel(
        webroot, make_wheel(source, "right", "3.0", python=">=3.99"), python=">=3.99"
    )
    pages = {"left": page("left", left), "right": page("right", good, yanked, future)}
    write_pages(root, list(pages.items()))
    write_project_list(root, sorted(pages))
    keys = SigningKeys(source / "keys")
    StatementWriter(keys, webroot, "https://wheels.example/").write(
        Subject(name=left.filename, sha256=left.sha256), FACTS
    )
    webroot.write(webroot.log_path(1), gzip.compress(b"a log\n", mtime=0))
    webroot.write(webroot.log_page_path(1), gzip.compress(b"<h1>a log</h1>", mtime=0))
    for path, content in SITE.items():
        webroot.write_page(root / path, content)
    yield root
    shutil.rmtree(root)


@pytest.fixture(
    scope="session", params=[pytest.param(n, marks=requires_program(program(n))) for n in NAMES]
)
def server(request: pytest.FixtureRequest, tree: Path) -> Iterator[str]:
    """The base address of the tree behind each of the servers."""
    work = Path(tempfile.mkdtemp(prefix="piwheels-server-"))
    work.chmod(0o755)
    with serving(request.param, tree, work) as address:
        yield address
    shutil.rmtree(work, ignore_errors=True)


@pytest.fixture(scope="session")
def environments() -> dict[str, Path]:
    """Interpreters of environments with the pips to test."""
    folder = persistent_cache("pips", (sys.executable, sys.version, _PIPS), _make_environments)
    return {name: folder / name / "bin" / "python" for name in _PIPS}


def _make_environments(folder: Path) -> None:
    for name, requirement in _PIPS.items():
        subprocess.run([sys.executable, "-m", "venv", folder / name], check=True)
        python = folder / name / "bin" / "python"
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--upgrade", requirement], check=True
        )


@pytest.fixture
def access_log(tmp_path: Path) -> Path:
    """Where the server of `web` logs."""
    return tmp_path / "own.log"


@pytest.fixture
def web(tree: Path, access_log: Path) -> Iterator[str]:
    """The index behind our own server, with a log for this test alone."""
    with serving("own", tree, access_log.parent) as address:
        yield f"{address}simple/"
