"""The folder of a private farm, where it cannot be one."""

from pathlib import Path

import pytest

from piwheels.errors import ConfigError
from piwheels.local.folder import FarmFolder
from tests.accounts import closed


def test_a_folder_in_a_place_that_is_closed_to_this_account_is_named(tmp_path: Path) -> None:
    folder = FarmFolder(tmp_path / "farm")
    with closed(tmp_path):
        with pytest.raises(ConfigError, match=f"{folder.root}: Permission denied"):
            folder.written()
        with pytest.raises(ConfigError, match=f"{folder.root}: Permission denied"), folder.hold():
            pass
    assert not folder.root.exists()


def test_a_folder_that_this_account_may_not_write_to_is_named(tmp_path: Path) -> None:
    folder = FarmFolder(tmp_path)
    with (
        closed(tmp_path),
        pytest.raises(ConfigError, match=f"{tmp_path}: Permission denied"),
        folder.hold(),
    ):
        pass
    assert not list(tmp_path.iterdir())
