"""pip 22 to the newest and uv install from the tree, through every server.

pip 22.0 reads HTML and no metadata, pip 23.0 JSON without metadata and HTML with it; the others
JSON where the server gives it (python's http.server does not) and metadata.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.servers import serving
from tests.timeouts import WAIT_S

_PLAIN = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_"))}
_PLAIN["PIP_CONFIG_FILE"] = os.devnull
_PLAIN["UV_NO_CONFIG"] = "1"


def install(
    client: str, environments: dict[str, Path], index: str, target: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Install into a folder with a client that knows nothing but the index."""
    options = ["--target", str(target), "--index-url", index, *arguments]
    if client == "uv":
        uv = Path(sys.executable).with_name("uv")
        command = [str(uv), "pip", "install", "--no-cache", "--python", sys.executable, *options]
    else:
        command = [
            str(environments[client]), "-m", "pip", "install", "--no-cache-dir",
            "--disable-pip-version-check", *options,
        ]  # fmt: skip
    return subprocess.run(
        command, env=_PLAIN, capture_output=True, text=True, check=False, timeout=3 * WAIT_S
    )


@pytest.mark.parametrize(
    "client",
    ["pip22", pytest.param("pip23", marks=pytest.mark.slow), "pip24", "pip-newest", "uv"],
)
def test_a_project_and_its_dependencies_are_installed(
    client: str, server: str, environments: dict[str, Path], tmp_path: Path
) -> None:
    done = install(client, environments, f"{server}simple/", tmp_path, "left")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "left.py").exists()
    # Neither the yanked release nor the one for a Python to come.
    assert (tmp_path / "right.py").read_text() == "version = '1.0'\n"


@pytest.mark.parametrize("client", ["pip24", "pip-newest", "uv"])
def test_a_yanked_release_is_installed_with_a_warning_when_pinned(
    client: str, web: str, environments: dict[str, Path], tmp_path: Path
) -> None:
    done = install(client, environments, web, tmp_path, "right==2.0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "it is <broken>" in done.stdout + done.stderr


@pytest.mark.parametrize("client", ["pip24", "pip-newest", "uv"])
def test_a_changed_wheel_is_rejected(
    client: str, tree: Path, environments: dict[str, Path], tmp_path: Path
) -> None:
    broken = tmp_path / "tree"
    shutil.copytree(tree, broken)
    wheel = next(broken.glob("packages/*/*/left-1.0-py3-none-any.whl"))
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    with serving("own", broken, tmp_path) as address:
        index = f"{address}simple/"
        done = install(client, environments, index, tmp_path / "t", "--no-deps", "left")
    assert done.returncode != 0
    assert "hash" in (done.stdout + done.stderr).lower()


@pytest.mark.parametrize("client", ["pip24", "pip-newest", "uv"])
def test_nothing_is_installed_by_an_alias(
    client: str, tree: Path, environments: dict[str, Path], tmp_path: Path
) -> None:
    renamed = tmp_path / "tree"
    shutil.copytree(tree, renamed)
    shutil.copytree(renamed / "simple" / "right", renamed / "simple" / "once-right")
    with serving("own", renamed, tmp_path) as address:
        index = f"{address}simple/"
        done = install(client, environments, index, tmp_path / "t", "once-right")
        same = install(client, environments, index, tmp_path / "t", "right")
    assert done.returncode != 0
    assert same.returncode == 0, same.stdout + same.stderr


@pytest.mark.parametrize(
    ("client", "option"), [("uv", "--exclude-newer"), ("pip-newest", "--uploaded-prior-to")]
)
def test_the_upload_time_is_that_of_the_release(
    client: str,
    option: str,
    web: str,
    environments: dict[str, Path],
    tmp_path: Path,
) -> None:
    before, after = "2024-05-06T00:00:00Z", "2024-05-07T00:00:00Z"
    early = install(client, environments, web, tmp_path, "--no-deps", option, before, "left")
    assert early.returncode != 0
    late = install(client, environments, web, tmp_path, "--no-deps", option, after, "left")
    assert late.returncode == 0, late.stdout + late.stderr


def test_resolving_downloads_metadata_and_not_wheels(
    web: str, environments: dict[str, Path], tmp_path: Path, access_log: Path
) -> None:
    options = ("--dry-run", "left")
    done = install("pip-newest", environments, web, tmp_path, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = access_log.read_text().splitlines()
    assert any(".metadata" in line for line in lines)
    assert not any(".whl HTTP" in line and " 200 " in line for line in lines)
