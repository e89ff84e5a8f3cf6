"""Audits of trees that hold what no publisher writes, and of disks that cannot be written."""

import errno
import os
from pathlib import Path

import pytest

from piwheels.audit.errors import AuditError
from piwheels.audit.finding import Problem
from piwheels.audit.moved_aside import MovedAside
from tests.audit.harness import LONG_AGO_S, AuditedFarm
from tests.unprivileged import inaccessible


async def test_a_linked_directory_is_one_finding_and_not_followed(
    farm: AuditedFarm, tmp_path: Path
) -> None:
    names = ["logs", "packages", "project", "simple", "static"]
    for name in names:
        (farm.root / name).rename(tmp_path / name)
        (farm.root / name).symlink_to(tmp_path / name)
        (tmp_path / name / "unknown").mkdir()
        os.utime(tmp_path / name / "unknown", (LONG_AGO_S, LONG_AGO_S))
    before = [path for name in names for path in sorted((tmp_path / name).rglob("*"))]
    found = [each for each in await farm.audit(fix=True) if not each.repaired]
    assert sorted((each.path, each.problem) for each in found) == [
        (name, Problem.WRONG) for name in names
    ]
    assert {each.detail for each in found} == {"a symbolic link is where a directory ought to be"}
    assert [path for name in names for path in sorted((tmp_path / name).rglob("*"))] == before
    assert await farm.db.value("SELECT count(*) FROM files") == 3


async def test_links_and_devices_inside_are_one_finding_each(
    farm: AuditedFarm, tmp_path: Path
) -> None:
    wheel = farm.wheel("beta")
    outside = tmp_path / "outside"
    wheel.parent.rename(outside)
    wheel.parent.symlink_to(outside)
    page_dir = farm.root / "simple" / "alpha"
    page_dir.rename(tmp_path / "alpha")
    page_dir.symlink_to(tmp_path / "alpha")
    os.mkfifo(farm.root / "logs" / "pipe")
    names = ["packages/00", "logs/" + os.fsdecode(b"\xff\n\x1b]0;x\x07")]
    for name in names:
        (farm.root / name).symlink_to("/dev/zero")
    outside_before = sorted(outside.rglob("*"))
    found = {each.path: each for each in await farm.audit(fix=True)}
    assert found.keys() == {
        str(wheel.parent.relative_to(farm.root)),
        "simple/alpha",
        "logs/pipe",
        "packages/00",
        r"logs/\udcff\n\x1b]0;x\x07",
    }
    assert [path for path, each in found.items() if not each.repaired] == ["packages/00"]
    assert sorted(outside.rglob("*")) == outside_before
    await farm.site.write_all()
    assert not page_dir.is_symlink()
    (farm.root / "packages" / "00").unlink()
    assert await farm.audit() == []


async def test_what_cannot_be_read_is_one_finding(farm: AuditedFarm) -> None:
    wheel = farm.wheel("alpha")
    for folder in farm.root.parents:
        if "pytest-" in str(folder):
            folder.chmod(0o755)
    farm.state_dir.chmod(0o777)
    with inaccessible(wheel.parent):
        found = await farm.audit("alpha")
    assert [(each.problem, each.path) for each in found] == [
        (Problem.WRONG, str(wheel.parent.relative_to(farm.root)))
    ]
    assert "Permission denied" in found[0].detail


async def test_a_full_disk_stops_the_repair_which_goes_on_later(
    farm: AuditedFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm.old_file("packages/unknown")
    farm.old_file("simple/unknown file")

    def full(_: MovedAside, path: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(MovedAside, "move", full)
        with pytest.raises(AuditError, match="No space left on device; make room, then run"):
            await farm.audit(fix=True)
    assert (farm.root / "packages" / "unknown").exists()
    found = await farm.audit(fix=True)
    assert [each.path for each in found] == ["packages/unknown", "simple/unknown file"]
    assert await farm.audit() == []


async def test_a_moved_file_keeps_every_earlier_one(farm: AuditedFarm) -> None:
    for content in (b"first", b"second", b"third"):
        farm.old_file("packages/unknown", content)
        await farm.audit(fix=True)
    kept = (farm.state_dir / "moved-aside").rglob("unknown*")
    assert sorted(path.read_bytes() for path in kept) == [b"first", b"second", b"third"]
    assert (farm.state_dir / "moved-aside").stat().st_mode & 0o777 == 0o700


async def test_an_older_tree_and_an_older_database(farm: AuditedFarm) -> None:
    """After a restore: wheels that the tree lacks are built, those that the database lacks moved."""
    before = farm.files()
    newer = farm.wheel("alpha", "2.0")
    await farm.db.execute("DELETE FROM files WHERE filename = %(name)s", {"name": newer.name})
    await farm.db.execute("TRUNCATE file_deletions, page_invalidations, page_queue")
    farm.wheel("beta").unlink()
    found = await farm.audit(fix=True)
    assert {(each.problem, each.project) for each in found if "packages" in each.path} == {
        (Problem.MISSING, "beta"),
        (Problem.EXTRA, ""),
    }
    await farm.site.write_all()
    assert await farm.audit() == []
    for row in await farm.db.rows("SELECT project, version FROM jobs"):
        await farm.publish_wheel(row["project"], row["version"])
    await farm.site.write_all()
    assert await farm.audit() == []
    after = farm.files()
    assert {name: after[name] for name in after if name.startswith(("packages/", "simple/"))} == {
        name: before[name] for name in before if name.startswith(("packages/", "simple/"))
    }
