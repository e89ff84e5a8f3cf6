"""The command lines that the site shows, run unchanged with real pip and uv."""

import html
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from piwheels.index.index_publisher import write_pages
from piwheels.local.command_hints import uv_command_line
from piwheels.webroot import Webroot
from piwheels.website.page_data import ProjectData, Site
from piwheels.website.page_writer import write_home, write_static
from piwheels.website.project_page import render_project
from tests.clients.conftest import install_wheel, make_wheel, page
from tests.clients.servers import serving
from tests.fake_index import FakeIndex, fake_index
from tests.timeouts import WAIT_S
from tests.website.factories import (
    CP311,
    a_home,
    a_project,
    a_release,
    a_target,
    a_wheel,
    project_facts,
)

_COMMAND = re.compile(r'<div class="command"><code>(.*?)</code>', re.DOTALL)


@dataclass
class PageReader:
    """A user who runs the command lines of a page, in a directory and a home of their own."""

    site: str
    folder: Path
    environ: dict[str, str]
    root: Path  # of the farm's tree
    usual: FakeIndex  # the index that they use already

    def lines(self, page: str, tool: str) -> list[str]:
        """The lines for a tool that a page prints, each once."""
        text = httpx.get(f"{self.site}{page}").raise_for_status().text
        commands = (re.sub(r"</?span[^>]*>", "", line) for line in _COMMAND.findall(text))
        found = [html.unescape(line) for line in commands]
        return list(dict.fromkeys(line for line in found if line.startswith(f"{tool} ")))

    def type(self, line: str) -> None:
        """Run a line, with a real name in place of PROJECT."""
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line.replace("PROJECT", "left")],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=3 * WAIT_S,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"

    def version(self, name: str) -> str:
        """The version of a module that was installed."""
        (found,) = self.folder.glob(f".venv/lib/*/site-packages/{name}.py")
        return found.read_text().split("'")[1]

    def installed(self) -> set[str]:
        """What was installed since the last look."""
        found = {path for path in self.folder.rglob("*.py") if path.stem in {"left", "right"}}
        for path in found:
            path.unlink()
        return {path.stem for path in found}


def left_project(address: str) -> ProjectData:
    """The project `left` with its wheel of the tree that is served."""
    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    file = httpx.get(f"{address}simple/left/", headers=accept).json()["files"][-1]
    wheel = a_wheel(filename=file["filename"], sha256=file["hashes"]["sha256"])
    release = a_release("1.0", a_target(CP311, covered_by=wheel.filename))
    facts = project_facts(release, project="left", display_name="left")
    return a_project(facts=facts, files=(wheel,))


@pytest.fixture
def reader(tree: Path, tmp_path: Path) -> Iterator[PageReader]:
    """A reader of the site behind our own server; their usual index has nothing."""
    root, folder = tmp_path / "tree", tmp_path / "desk"
    shutil.copytree(tree, root)
    folder.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_"))}
    kept.pop("VIRTUAL_ENV", None)
    with serving("own", root, tmp_path) as address, fake_index() as usual:
        site = Site(url=address)
        write_home(root, site, a_home())
        write_static(root, site)
        pages = render_project(site, left_project(address))
        Webroot(root).write_page(root / "project/left/index.html", pages["index.html"])
        yield PageReader(
            address,
            folder,
            {
                **kept,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HOME": str(tmp_path),
                "XDG_CONFIG_HOME": str(tmp_path / ".config"),
                "PIP_INDEX_URL": usual.simple,
                "PIP_TARGET": str(folder),
                "PIP_NO_CACHE_DIR": "1",
                "UV_DEFAULT_INDEX": usual.simple,
                "UV_NO_CACHE": "1",
            },
            root,
            usual,
        )


def test_the_pip_commands_install(reader: PageReader) -> None:
    once, for_good = reader.lines("", "pip")
    assert once.startswith("pip install ")
    assert reader.lines("project/left/", "pip") == [once.replace("PROJECT", "left")]
    reader.type(once)
    assert reader.installed() == {"left", "right"}
    assert for_good.startswith("pip config ")
    reader.type(for_good)
    reader.type("pip install --upgrade left")
    assert reader.installed() == {"left", "right"}


def test_the_lines_with_hashes_install(reader: PageReader) -> None:
    (requirements,) = reader.lines("project/left/", "--extra-index-url")
    (reader.folder / "requirements.txt").write_text(requirements)
    reader.type("pip install --no-deps --requirement requirements.txt")
    assert reader.installed() == {"left"}
    wrong = re.sub(r"sha256:\w{4}", "sha256:0000", requirements)
    (reader.folder / "requirements.txt").write_text(wrong)
    with pytest.raises(AssertionError, match="DO NOT MATCH THE HASHES"):
        reader.type("pip install --no-deps --requirement requirements.txt")
    (dependencies,) = reader.lines("project/left/", "dependencies")
    about = '[project]\nname = "mine"\nversion = "1"\n'
    (reader.folder / "pyproject.toml").write_text(f"{about}{dependencies}\n")
    direct = tomllib.loads(dependencies)["dependencies"][0]
    reader.type(f"pip install --no-deps '{direct}'")
    assert reader.installed() == {"left"}


@dataclass(frozen=True)
class Gap:
    """A project that the farm has only in part, and the release that the usual index has."""

    name: str
    ours: tuple[str, ...]  # wheels of the farm, "<version>-<tag>"
    usual: str  # the version of the usual index
    is_wheel: bool = True  # else an sdist that cannot be built
    expected: str = ""


GAPS = [
    Gap("release", ("1.0-py3-none-any",), "2.0", expected="2.0"),
    Gap("nothing", (), "1.0", expected="1.0"),
    Gap("python", ("1.0-cp399-cp399-linux_x86_64",), "1.0", expected="1.0"),
    Gap("platform", ("1.0-py3-none-linux_armv6l",), "1.0", expected="1.0"),
    Gap("source", ("1.0-py3-none-any",), "1.0", is_wheel=False, expected="1.0"),
]


def publish_upstream(root: Path, usual: FakeIndex, lack: Gap) -> None:
    """Put a project into the farm's tree and the usual index."""
    webroot = Webroot(root)
    source = root / ".source"
    source.mkdir(exist_ok=True)
    files = []
    for wheel in lack.ours:
        version, _, tag = wheel.partition("-")
        made = make_wheel(source, lack.name, version)
        files.append(
            install_wheel(webroot, made.rename(source / f"{lack.name}-{version}-{tag}.whl"))
        )
    if files:
        write_pages(root, [(lack.name, page(lack.name, *files))])
    theirs = make_wheel(source, lack.name, lack.usual)
    if lack.is_wheel:
        usual.add(lack.name, theirs.name, theirs.read_bytes())
    else:
        usual.add(lack.name, f"{lack.name}-{lack.usual}.tar.gz", b"no sdist")


@pytest.mark.parametrize("lack", GAPS, ids=lambda lack: lack.name)
def test_the_uv_command_installs_what_the_farm_lacks(reader: PageReader, lack: Gap) -> None:
    publish_upstream(reader.root, reader.usual, lack)
    (line,) = [line for line in reader.lines("", "uv") if line.startswith("uv pip install ")]
    assert reader.lines("project/left/", "uv") == [line.replace("PROJECT", "left")]
    assert line in uv_command_line(reader.site)
    reader.type(f"uv venv --clear --python {sys.executable}")
    reader.type(line.replace("PROJECT", f"{lack.name}=={lack.usual}"))
    reader.type(line.replace("PROJECT", f"--reinstall {lack.name}"))
    assert reader.version(lack.name) == lack.expected


@pytest.mark.parametrize(
    "lack", [lack for lack in GAPS if lack.is_wheel], ids=lambda lack: lack.name
)
def test_the_uv_project_command_installs_what_the_farm_lacks(reader: PageReader, lack: Gap) -> None:
    publish_upstream(reader.root, reader.usual, lack)
    (line,) = [line for line in reader.lines("", "uv") if line.startswith("uv export ")]
    assert line in reader.lines("faq.html", "uv")
    about = '[project]\nname = "mine"\nversion = "1"\nrequires-python = ">=3.11"\n'
    (reader.folder / "pyproject.toml").write_text(about + f'dependencies = ["{lack.name}"]\n')
    reader.type(f"uv venv --clear --python {sys.executable}")
    reader.type(line)
    assert reader.version(lack.name) == lack.expected
    assert reader.site not in (reader.folder / "uv.lock").read_text()


def test_the_uv_command_installs_from_the_farm(reader: PageReader) -> None:
    (line,) = [line for line in reader.lines("", "uv") if line.startswith("uv pip install ")]
    reader.type(f"uv venv --clear --python {sys.executable}")
    reader.type(line)
    assert reader.installed() == {"left", "right"}
