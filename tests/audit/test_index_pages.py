"""Audits of the pages of the Simple API."""

import gzip
import itertools
import os
from pathlib import Path

from piwheels.audit.finding import Problem
from piwheels.db import catalog
from tests.audit.harness import AuditedFarm

_NAMES = ("index.html", "index.html.gz", "index.v1_json", "index.v1_json.gz")


async def test_damaged_pages_are_written_again(farm: AuditedFarm) -> None:
    before = farm.files()
    kinds = itertools.cycle(("lost", "other bytes", "folder", "link", "other bytes"))
    for name, damage in zip(_NAMES * 2, kinds, strict=False):
        _damage(farm.root / "simple" / "alpha" / name, damage)
        (found,) = await farm.audit(fix=True)
        assert found.problem is (Problem.MISSING if damage == "lost" else Problem.WRONG)
        assert (found.path, found.project) == (f"simple/alpha/{name}", "alpha")
        assert await farm.audit() == []  # it is queued
        await farm.site.publisher.write_pending()
        assert farm.files() == before
        assert await farm.audit() == []


def _damage(page: Path, damage: str) -> None:
    """Damage a file; its times stay, as when a disk loses bits."""
    state = page.stat()
    content = page.read_bytes()
    page.unlink()
    if damage == "folder":
        page.mkdir()
    elif damage == "link":
        page.symlink_to("/etc/hostname")
    elif damage == "other bytes":
        wrong = content.replace(b"alpha", b"aleph")
        if page.suffix == ".gz":
            wrong = gzip.compress(gzip.decompress(content).replace(b"alpha", b"aleph"))
        page.write_bytes(wrong)
        os.utime(page, ns=(state.st_atime_ns, state.st_mtime_ns))


async def test_a_page_of_a_project_that_is_gone_is_removed(farm: AuditedFarm) -> None:
    gone = farm.root / "simple" / "beta"
    files = {path.name: path.read_bytes() for path in gone.iterdir()}
    await catalog.remove_project(farm.db, "beta")
    assert await farm.audit() == []  # it is queued, and so is the deletion of the wheel
    await farm.site.write_all()
    before = farm.files()
    for name, content in files.items():
        farm.old_file(f"simple/beta/{name}", content)
    (found,) = await farm.audit(fix=True)
    assert (found.problem, found.path) == (Problem.EXTRA, "simple/beta")
    await farm.site.write_all()
    assert farm.files() == before


async def test_an_outdated_page_is_written_again(farm: AuditedFarm) -> None:
    await farm.publish_wheel("alpha", "3.0")
    await farm.db.execute("DELETE FROM page_invalidations")
    found = await farm.audit(fix=True)
    assert {each.project for each in found} == {"alpha"}
    await farm.site.write_all()
    assert len(farm.site.page("alpha")["files"]) == 3


async def test_what_is_no_page_is_moved_aside(farm: AuditedFarm) -> None:
    before = farm.files()
    names = [
        "simple/alpha/notes.txt",
        "simple/alpha/.index.html.new",
        "simple/no project",
        "simple/.new-abcdefgh",
    ]
    for name in names:
        farm.old_file(name)
    found = await farm.audit(fix=True)
    assert sorted(each.path for each in found) == sorted(names)
    assert farm.files() == before
