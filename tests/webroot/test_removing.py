"""What is removed, in which order, and what is not."""

from pathlib import Path

import pytest

from piwheels.webroot import Webroot, replace_file
from tests.webroot.factories import NAME, OTHER, SHA, files


def test_removal_deletes_empty_directories_but_not_the_root(tree: Webroot) -> None:
    for sha in (SHA, OTHER):
        tree.write(tree.wheel_path(sha, NAME), b"wheel")
        tree.write(tree.metadata_path(sha, NAME), b"metadata")
    tree.remove([tree.metadata_path(SHA, NAME), tree.wheel_path(SHA, NAME)])
    assert files(tree.root) == {
        f"packages/ab/{OTHER}/{NAME}",
        f"packages/ab/{OTHER}/{NAME}.metadata",
    }
    assert not tree.wheel_path(SHA, NAME).parent.exists()
    tree.remove([tree.metadata_path(OTHER, NAME), tree.wheel_path(OTHER, NAME)])
    assert list(tree.root.iterdir()) == []


def test_files_are_removed_in_the_given_order(
    tree: Webroot, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = [tree.root / name for name in ("page", "metadata", "wheel")]
    for path in order:
        tree.write(path, b"content")
    removed: list[Path] = []
    unlink = Path.unlink

    def record(path: Path, missing_ok: bool = False) -> None:
        removed.append(path)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", record)
    tree.remove(order)
    assert removed == order


def test_removing_a_missing_file_is_not_an_error(tree: Webroot) -> None:
    path = tree.wheel_path(SHA, NAME)
    tree.write(path, b"wheel")
    path.unlink()
    tree.remove([path])
    tree.remove([path])
    assert list(tree.root.iterdir()) == []


def test_removal_never_leaves_the_tree(tree: Webroot, tmp_path: Path) -> None:
    outside = tmp_path / "other" / "file"
    replace_file(outside, b"content")
    tree.remove([outside])
    assert outside.parent.is_dir()


def test_installing_and_deleting_wheels_exclude_each_other(tree: Webroot) -> None:
    with tree.packages_lock() as first, Webroot(tree.root).packages_lock(wait=False) as second:
        assert first
        assert not second
    with tree.packages_lock(wait=False) as third:
        assert third
