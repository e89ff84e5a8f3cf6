"""The web root is world-readable with any umask of the account that writes it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from piwheels.local.farm_dir import FarmDir
from piwheels.webroot import Webroot, install_file, replace_file


@pytest.fixture(params=[0o077, 0o022, 0o177, 0o002])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """What the account takes away from modes."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_every_file_and_directory_of_the_web_root_is_world_readable(
    tmp_path: Path, umask: int
) -> None:
    tree = Webroot(tmp_path / "srv" / "www")
    with tree.packages_lock():
        pass
    tree.write(tree.log_path(1), b"a log")
    tree.write_page(tree.project_dir("demo") / "index.html", b"a page")
    tree.write_pages({"demo": [(tree.simple_dir("demo") / "index.html", b"a page")]})
    (tmp_path / "wheel").write_bytes(b"a wheel")
    (tmp_path / "wheel").chmod(0o600)
    install_file(tmp_path / "wheel", tree.wheel_path("ab" * 32, "demo.whl"))
    places = [tmp_path / "srv", *(tmp_path / "srv").rglob("*")]
    assert len(places) > 10
    for place in places:
        assert _mode(place) & 0o755 == (0o755 if place.is_dir() else 0o644), place


def test_private_files_are_never_readable_by_others(tmp_path: Path, umask: int) -> None:
    for mode in (0o600, 0o640):
        folder = tmp_path / f"{mode:o}"
        replace_file(folder / "deep" / "secret", b"a password", mode=mode)
        assert _mode(folder / "deep" / "secret") == mode
        assert _mode(folder) == _mode(folder / "deep") == 0o700 & ~umask


def test_a_farm_has_a_public_web_root_and_a_private_configuration(
    tmp_path: Path,
) -> None:
    before = os.umask(0o077)
    try:
        folder = FarmDir(tmp_path / "farm")
        with folder.lock():
            folder.write_config({})
    finally:
        os.umask(before)
    assert _mode(folder.root) == _mode(folder.webroot_dir) == 0o755
    assert _mode(folder.config_file) == 0o600
    assert _mode(folder.log_dir) == 0o700


def test_the_group_of_a_directory_is_inherited(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www").chmod(0o2775)
    tree = Webroot(tmp_path / "www")
    tree.write_page(tree.simple_dir("demo") / "index.html", b"a page")
    assert _mode(tree.simple_dir("demo")) == 0o2755
