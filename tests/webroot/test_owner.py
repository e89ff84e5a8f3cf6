"""Who controls a path, whatever the owner of what is there now."""

import os
from pathlib import Path

import pytest

from piwheels.webroot import as_owner, controlling_account
from tests.unprivileged import NOBODY_UID, folder_of_nobody

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")


def test_the_owner_of_a_folder_controls_what_is_below_it(tmp_path: Path) -> None:
    with folder_of_nobody() as account:
        (account / "link").symlink_to("/etc")
        (account / "roots").mkdir()
        assert (account / "roots").stat().st_uid == 0
        for path in (
            account,
            account / "new",
            account / "roots" / "x",
            account / "link" / "passwd",
        ):
            assert controlling_account(path) == NOBODY_UID
        (tmp_path / "to").symlink_to(account)  # root's
        assert controlling_account(tmp_path / "to" / "keys") == NOBODY_UID
    assert controlling_account(Path("/etc/passwd")) == 0
    assert controlling_account(tmp_path / "missing" / "x") == 0


def test_links_that_lead_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match="Too many levels"):
        controlling_account(tmp_path / "a" / "b")


def test_the_rights_of_root_come_back(tmp_path: Path) -> None:
    groups = os.getgroups()
    with folder_of_nobody() as account, as_owner(account / "x"):
        assert os.geteuid() == NOBODY_UID
        with pytest.raises(PermissionError):
            (tmp_path / "x").touch()
    assert (os.geteuid(), os.getegid(), os.getgroups()) == (0, 0, groups)
