"""Damage of every kind, at random: exactly that is found, and repaired to the same bytes."""

import gzip
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from piwheels.audit.finding import Problem
from piwheels.db import site_queries
from tests.audit.harness import AuditedFarm
from tests.sample import sampled

MISSING, EXTRA, WRONG = Problem.MISSING, Problem.EXTRA, Problem.WRONG
_PROJECTS = [f"project{number}" for number in range(8)]
#: Of each kind of damage, what is found: the problem, and the path of it.
Found = tuple[Problem, str]
Damage = Callable[[AuditedFarm, str], Found]


def lose(farm: AuditedFarm, name: str) -> Found:
    (farm.root / name).unlink()
    return MISSING, name


def flip(farm: AuditedFarm, name: str) -> Found:
    """Change a byte in the middle; size and times stay, as when a disk loses a bit."""
    path = farm.root / name
    state, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    return WRONG, name


def truncate(farm: AuditedFarm, name: str) -> Found:
    path = farm.root / name
    os.truncate(path, path.stat().st_size // 2)
    return WRONG, name


def link(farm: AuditedFarm, name: str) -> Found:
    path = farm.root / name
    path.unlink()
    path.symlink_to("/etc/passwd")
    return WRONG, name


def fold(farm: AuditedFarm, name: str) -> Found:
    path = farm.root / name
    path.unlink()
    path.mkdir()
    return WRONG, name


def pipe(farm: AuditedFarm, name: str) -> Found:
    path = farm.root / name
    path.unlink()
    os.mkfifo(path)
    return WRONG, name


def add(farm: AuditedFarm, name: str) -> Found:
    farm.old_file(name)
    return EXTRA, name


def add_page(farm: AuditedFarm, name: str) -> Found:
    """Put back the pages of a project that is gone."""
    shutil.copytree(farm.root / Path(name).parent / "beta", farm.root / name)
    return EXTRA, name


def outdate(farm: AuditedFarm, name: str) -> Found:
    """A page and its compressed file that agree, of another time."""
    path = farm.root / name
    content = path.read_bytes().replace(b"project", b"PROJECT")
    path.write_bytes(content)
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content))
    return WRONG, name


def twin(farm: AuditedFarm, name: str) -> Found:
    """A website page that differs from its compressed file, which is named: only that is known."""
    flip(farm, name)
    return WRONG, f"{name}.gz"


def damages(farm: AuditedFarm, names: list[str], build: int) -> list[tuple[Damage, str]]:
    """One of each kind, each on another project where it is about one."""
    project = iter(names).__next__
    wheels = {name: str(farm.wheel(name).relative_to(farm.root)) for name in names}
    lost, wrong, other = project(), project(), project()
    broken = random.Random(lost).choice([flip, truncate, link, fold, pipe])
    broken_page = random.Random(other).choice([flip, truncate, link, fold, pipe, lose])
    place = str(Path(wheels[other]).parent)
    return [
        (lose, wheels[lost]),
        (broken, wheels[wrong]),
        (random.Random(wrong).choice([flip, lose, link, pipe]), f"{wheels[other]}.metadata"),
        (add, f"{place}/a\nb\x1b[31m"),
        (add, f"{place}/.new-abcd_123"),
        (add, f"packages/ff/{'f' * 64}/demo-1.0-py3-none-any.whl"),
        (add, "packages/ff/" + os.fsdecode(b"\xff\xfe")),
        (broken_page, f"simple/{other}/index.html"),
        (broken_page, f"simple/{project()}/index.v1_json.gz"),
        (add, f"simple/{other}/.index.html.new"),
        (add_page, "simple/gone"),
        (random.Random(lost).choice([flip, lose, pipe]), "simple/index.v1_json"),
        (lose, f"project/{other}/feed.atom"),
        (twin, f"project/{other}/index.html"),
        (lose, f"project/{project()}/json.gz"),
        (add_page, "project/gone"),
        (add, f"project/{other}/x.html"),
        (lose, f"project/{_PROJECTS[0]}-alias/index.html"),
        (lose, "stats.html"),
        (flip, "faq.html.gz"),
        (add, "static/.style.css.new"),
        (truncate, f"logs/0000/{build:04}/{build}.txt.gz"),
        (add, "logs/0000/0002/2.txt"),
        (add, "logs/notes"),
    ]


async def test_random_damage_is_found_and_repaired(farm: AuditedFarm) -> None:
    await _damage_and_repair(farm, random.Random(14), rounds=2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(sampled(1, full=8)))
async def test_more_random_damage_is_found_and_repaired(farm: AuditedFarm, seed: int) -> None:
    await _damage_and_repair(farm, random.Random(seed), rounds=10)


async def _damage_and_repair(farm: AuditedFarm, generator: random.Random, rounds: int) -> None:
    await _publish_projects(farm)
    before = farm.files()
    for build in range(1, rounds + 1):
        names = generator.sample(_PROJECTS, len(_PROJECTS))
        chosen = generator.sample(damages(farm, names, build), 14)
        expected = {damage(farm, name) for damage, name in chosen}
        found = await farm.audit()
        assert {(each.problem, each.path) for each in found} == {
            (problem, escaped(path)) for problem, path in expected
        }
        repaired = await farm.audit(fix=True)
        assert [each for each in repaired if not each.repaired] == []
        assert await farm.audit() == []
        await farm.site.write_all()
        await rebuild(farm)
        assert await farm.audit() == []
        compare(farm, before)


async def _publish_projects(farm: AuditedFarm) -> None:
    for name in _PROJECTS:
        await farm.publish_wheel(name)
    alias = f"{_PROJECTS[0]}-alias"
    assert await site_queries.set_alias(farm.db, alias, _PROJECTS[0])
    await farm.site.write_all()


def escaped(path: str) -> str:
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in path
    )


async def rebuild(farm: AuditedFarm) -> None:
    """Build what was lost: the same sources give the same bytes."""
    for row in await farm.db.rows("SELECT project, version FROM jobs"):
        await farm.publish_wheel(row["project"], row["version"])
    await farm.site.write_all()


def compare(farm: AuditedFarm, before: dict[str, bytes]) -> None:
    """The index is as before; pages about builds name the new ones, whose logs came."""
    after = farm.files()
    exact = ("packages/", "simple/")
    assert {name: after[name] for name in after if name.startswith(exact)} == {
        name: before[name] for name in before if name.startswith(exact)
    }
    # The index of the search is written at intervals.
    others = ("logs/", "search/", "search-words/")
    assert {name for name in after if not name.startswith(others)} == {
        name for name in before if not name.startswith(others)
    }
