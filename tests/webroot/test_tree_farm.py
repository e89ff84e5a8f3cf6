"""Which folders a farm takes for its web root, and what a master does while its own is gone."""

from pathlib import Path

import pytest

from piwheels.webroot import OtherTreeError, TreeMissingError, Webroot
from piwheels.webroot.tree_epoch import EPOCH_FILE
from piwheels.webroot.tree_farm import FARM_FILE, give_up, require_farm, store_farm


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff", b'{"farm": 1}'])
def test_a_folder_that_names_no_farm_is_the_web_root_of_a_new_one_alone(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / FARM_FILE).write_bytes(content)
    require_farm(tmp_path, "a", is_new=True)
    with pytest.raises(OtherTreeError, match=r"is its file system mounted.*adopt") as caught:
        require_farm(tmp_path, "a", is_new=False)
    assert "\n" not in str(caught.value)


def test_the_web_root_of_another_farm_is_refused_until_it_is_given_up(tmp_path: Path) -> None:
    store_farm(tmp_path, "b")
    for is_new in (True, False):
        with pytest.raises(OtherTreeError, match=r"the web root of another farm.*adopt"):
            require_farm(tmp_path, "a", is_new=is_new)
    store_farm(tmp_path, "")
    require_farm(tmp_path, "a", is_new=False)


def test_an_older_copy_of_a_web_root_is_refused_until_it_is_adopted(tmp_path: Path) -> None:
    store_farm(tmp_path, "a")
    for epoch in (None, b'{"epoch": 4}'):
        if epoch:
            (tmp_path / EPOCH_FILE).write_bytes(epoch)
        with pytest.raises(OtherTreeError, match=r"an older copy .*mount point.*adopt"):
            require_farm(tmp_path, "a", is_new=False, least_epoch=5)
    require_farm(tmp_path, "a", is_new=False, least_epoch=4)
    give_up(tmp_path)
    require_farm(tmp_path, "a", is_new=False, least_epoch=5)


def test_a_master_writes_nothing_into_an_older_copy_of_its_web_root(tmp_path: Path) -> None:
    webroot = Webroot(tmp_path)
    webroot.tree_epoch.claim(5, 0.0)
    (tmp_path / EPOCH_FILE).write_bytes(b'{"epoch": 4}')
    with pytest.raises(TreeMissingError, match="older copy"):
        webroot.check_writer()
    webroot.tree_epoch.release()


def test_a_master_writes_nothing_into_the_mount_point_of_its_web_root(tmp_path: Path) -> None:
    webroot = Webroot(tmp_path / "www")
    webroot.root.mkdir()
    webroot.check_writer()
    webroot.tree_epoch.claim(1, 0.0)
    webroot.root.rename(tmp_path / "unmounted")
    webroot.root.mkdir()
    with pytest.raises(TreeMissingError, match="is not there"):
        webroot.check_writer()
    with pytest.raises(TreeMissingError), webroot.packages_lock():
        pass
    for epoch in (1, 2):
        with pytest.raises(TreeMissingError) as caught:
            webroot.tree_epoch.renew(epoch)
        assert isinstance(caught.value, OSError), "it is waited for, as for a full disk"
    assert list(webroot.root.iterdir()) == []
    webroot.root.rmdir()
    (tmp_path / "unmounted").rename(webroot.root)
    webroot.tree_epoch.renew(2)
    webroot.tree_epoch.release()
