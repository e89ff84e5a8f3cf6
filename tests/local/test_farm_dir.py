"""The directory of a private farm: where it is rejected, and where its sockets are."""

import os
import shutil
from pathlib import Path

import pytest

from piwheels.config import load
from piwheels.errors import ConfigError
from piwheels.local.farm_dir import FarmDir
from piwheels.local.socket_paths import socket_dir
from tests.unprivileged import inaccessible


def test_an_inaccessible_directory_is_named(tmp_path: Path) -> None:
    folder = FarmDir(tmp_path / "farm")
    with inaccessible(tmp_path):
        with pytest.raises(ConfigError, match=f"{folder.root}: Permission denied"):
            folder.config_values()
        with pytest.raises(ConfigError, match=f"{folder.root}: Permission denied"), folder.lock():
            pass
    assert not folder.root.exists()


def test_a_directory_without_write_permission_is_named(tmp_path: Path) -> None:
    folder = FarmDir(tmp_path)
    with (
        inaccessible(tmp_path),
        pytest.raises(ConfigError, match=f"{tmp_path}: Permission denied"),
        folder.lock(),
    ):
        pass
    assert not list(tmp_path.iterdir())


@pytest.fixture
def deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose sockets would have too long a path; /tmp alone is left for them."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("t" * 100)))
    return tmp_path / ("d" * 100)


def test_sockets_of_a_directory_with_a_long_path_are_in_a_private_directory(deep: Path) -> None:
    place, other = (socket_dir(root, "control.sock") for root in (deep, deep / "other"))
    try:
        assert len(bytes(place)) < 80
        assert (place.stat().st_mode & 0o777, place.stat().st_uid) == (0o700, os.getuid())
        assert socket_dir(deep, "control.sock") == place != other
    finally:
        place.rmdir()
        other.rmdir()


def test_a_private_directory_with_wrong_permissions_is_corrected(deep: Path) -> None:
    place = socket_dir(deep, "control.sock")
    place.chmod(0o777)
    try:
        assert socket_dir(deep, "control.sock").stat().st_mode & 0o777 == 0o700
    finally:
        place.rmdir()


def test_a_symbolic_link_in_place_of_a_private_directory_is_rejected(deep: Path) -> None:
    place = socket_dir(deep, "control.sock")
    place.rmdir()
    place.symlink_to(deep.parent)
    try:
        with pytest.raises(ConfigError, match="belongs to another user"):
            socket_dir(deep, "control.sock")
    finally:
        place.unlink()


def test_a_farm_with_a_long_path_gets_its_control_socket_again_after_a_reboot(deep: Path) -> None:
    folder = FarmDir(deep)
    with folder.lock():
        folder.write_config({})
    first = Path(
        load(folder.config_file, environ={}).config.master.control_bind.removeprefix("ipc://")
    )
    shutil.rmtree(first.parent)
    with folder.lock():
        folder.write_config({})
    again = Path(
        load(folder.config_file, environ={}).config.master.control_bind.removeprefix("ipc://")
    )
    try:
        assert again.parent.is_dir()
    finally:
        again.parent.rmdir()


def test_a_configured_control_socket_is_kept(tmp_path: Path) -> None:
    folder = FarmDir(tmp_path / "farm")
    with folder.lock():
        folder.config_file.write_text('[master]\ncontrol_bind = "tcp://127.0.0.1:5999"\n')
        folder.write_config({})
    assert load(folder.config_file, environ={}).config.master.control_bind == "tcp://127.0.0.1:5999"


def test_settings_of_the_previous_version_are_kept_under_their_new_names(
    tmp_path: Path,
) -> None:
    folder = FarmDir(tmp_path / "farm")
    with folder.lock():
        folder.config_file.write_text(
            '[master]\nkeys = "own-keys"\nlost_after_s = 7.0\n[builder]\npython = ["python3.11"]\n'
        )
        folder.write_config({})
    loaded = load(folder.config_file, environ={})
    assert loaded.config.master.key_dir == folder.root / "own-keys"
    assert loaded.config.master.builder_timeout_s == 7.0
    assert loaded.config.builder.interpreters == ("python3.11",)
    assert loaded.deprecations == ()


def test_the_roots_of_a_farm_are_kept(tmp_path: Path) -> None:
    folder = FarmDir(tmp_path)
    folder.config_file.write_text('[root.desk]\npreset = "trixie-arm64"\npackages = ["swig"]\n')
    folder.write_config({"builder.roots": ["desk"]})
    config = load(folder.config_file, environ={}).config
    assert config.builder.roots == ("desk",)
    assert config.root["desk"].packages == ("swig",)
