"""The lines that the site tells people to type, typed as they stand: real pip and uv install."""

import html
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import pytest

from piwheels.site.content import Site
from piwheels.site.project import render_project
from piwheels.site.writing import write_home
from piwheels.webroot import Webroot
from tests.clients.servers import serving
from tests.fakeindex import fake_index
from tests.patience import WAIT_S
from tests.site.making import a_home, built_project

_COMMAND = re.compile(r'<div class="command"><code>(.*?)</code>')


@dataclass
class Reader:
    """Somebody who reads a page and types what it says, in a folder and a home of their own."""

    site: str
    folder: Path
    environ: dict[str, str]

    def lines(self, page: str, tool: str) -> list[str]:
        """The lines for a tool that a page prints."""
        text = httpx.get(f"{self.site}{page}").raise_for_status().text
        found = [html.unescape(line) for line in _COMMAND.findall(text)]
        return [line for line in found if line.startswith(f"{tool} ")]

    def type(self, line: str) -> None:
        """Type a line, with a real name where it says PROJECT."""
        done = subprocess.run(
            shlex.split(line.replace("PROJECT", "left")),
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=3 * WAIT_S,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"

    def installed(self) -> set[str]:
        """What was installed since the last look."""
        found = {path for path in self.folder.rglob("*.py") if path.stem in {"left", "right"}}
        for path in found:
            path.unlink()
        return {path.stem for path in found}


@pytest.fixture
def reader(tree: Path, tmp_path: Path) -> Iterator[Reader]:
    """A reader of the site behind our own server; their usual index has nothing."""
    root, folder = tmp_path / "tree", tmp_path / "desk"
    shutil.copytree(tree, root)
    folder.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_"))}
    kept.pop("VIRTUAL_ENV", None)
    with serving("own", root, tmp_path) as address, fake_index() as usual:
        site = Site(url=address)
        write_home(root, site, a_home())
        project = built_project()
        facts = msgspec.structs.replace(project.facts, project="left", display="left")
        pages = render_project(site, msgspec.structs.replace(project, facts=facts))
        Webroot(root).write_page(root / "project/left/index.html", pages["index.html"])
        yield Reader(
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
        )


def test_the_lines_for_pip_install(reader: Reader) -> None:
    once, for_good = reader.lines("", "pip")
    assert once.startswith("pip install ")
    assert reader.lines("project/left/", "pip") == [once.replace("PROJECT", "left")]
    reader.type(once)
    assert reader.installed() == {"left", "right"}
    assert for_good.startswith("pip config ")
    reader.type(for_good)
    reader.type("pip install --upgrade left")
    assert reader.installed() == {"left", "right"}


def test_the_lines_for_uv_install(reader: Reader) -> None:
    once, in_a_project = reader.lines("", "uv")
    assert once.startswith("uv pip install ")
    assert reader.lines("project/left/", "uv") == [once.replace("PROJECT", "left")]
    new_environment = f"uv venv --clear --python {sys.executable}"
    reader.type(new_environment)
    reader.type(once)
    assert reader.installed() == {"left", "right"}
    assert in_a_project.startswith("uv add ")
    reader.type(new_environment)
    about = '[project]\nname = "mine"\nversion = "1"\nrequires-python = ">=3.11"\n'
    (reader.folder / "pyproject.toml").write_text(about)
    reader.type(in_a_project)
    assert reader.installed() == {"left", "right"}
