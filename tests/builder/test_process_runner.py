"""What a program used is measured while it runs."""

import os
from pathlib import Path

from piwheels.builder.disk_usage import folder_bytes
from piwheels.builder.process_runner import Limits, run_process

_MIB = 1 << 20


async def test_the_disk_that_a_program_used_is_measured_also_if_it_cleans_up(
    tmp_path: Path,
) -> None:
    script = f"mkdir -p a/b; head -c {8 * _MIB} /dev/urandom > a/b/large; sleep 4"
    result = await run_process(
        ["sh", "-c", f"{script}; rm -r a"],
        environment={"PATH": "/usr/bin:/bin"},
        limits=Limits(disk_reserve_bytes=0, inode_reserve=0),
        folder=tmp_path,
        on_output=lambda _: None,
        cwd=tmp_path,
    )
    assert (result.status, result.limit_exceeded) == (0, None)
    assert 8 * _MIB <= result.peak_disk_bytes < 9 * _MIB


def test_links_are_not_followed_and_files_with_several_names_count_once(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    empty = folder_bytes(folder)
    (folder / "one").write_bytes(b"x" * _MIB)
    (folder / "two").hardlink_to(folder / "one")
    (tmp_path / "outside").write_bytes(b"x" * _MIB)
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "loop").symlink_to(folder)
    assert _MIB <= folder_bytes(folder) - empty < 1.1 * _MIB


def test_a_tree_of_any_size_and_depth_is_measured_in_part(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}").write_bytes(b"x" * 8192)
    assert 0 < folder_bytes(tmp_path, max_entries=10) < folder_bytes(tmp_path)
    before = Path.cwd()
    try:
        os.chdir(tmp_path)
        for _ in range(60):  # a path of over 4096 characters
            Path("d" * 100).mkdir()
            os.chdir("d" * 100)
    finally:
        os.chdir(before)
    assert folder_bytes(tmp_path) > 20 * 8192
    assert folder_bytes(tmp_path / "missing") == 0
