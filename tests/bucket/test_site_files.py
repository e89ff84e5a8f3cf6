"""Files of the site that changed, in folders that cannot be read, and in a web root that is gone."""

import logging
import os
from pathlib import Path

import pytest

from piwheels.bucket.site_files import SiteFiles
from piwheels.webroot import TreeMissingError
from piwheels.webroot.tree_epoch import EPOCH_FILE, TreeEpoch


def test_a_folder_that_cannot_be_read_is_no_removal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like lost+found of a file system, or one of a disk with errors."""
    for name in ("index.html", "search/a.json", "static/style.css"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("content")
    files = SiteFiles(tmp_path)
    for key, state in files.changed().items():
        files.mark_copied(key, state)
    scan = os.scandir

    def refuse(folder: Path) -> object:
        if folder == tmp_path / "search":
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    (tmp_path / "static/style.css").unlink()
    with caplog.at_level(logging.ERROR):
        assert files.changed() == {"static/style.css": None}
        assert files.changed() == {"static/style.css": None}
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'search'} is not copied: Permission denied"
    ]
    monkeypatch.setattr(os, "scandir", scan)
    assert files.changed() == {"static/style.css": None}


def test_a_web_root_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        SiteFiles(tmp_path / "unmounted").changed()


def test_a_claimed_web_root_without_its_epoch_is_not_there(tmp_path: Path) -> None:
    tree = TreeEpoch(tmp_path)
    tree.check_there()
    tree.claim(1, 0.0)
    tree.check_there()
    (tmp_path / EPOCH_FILE).unlink()
    with pytest.raises(TreeMissingError, match="is not there"):
        tree.check_there()
    tree.release()
