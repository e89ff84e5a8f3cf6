"""Wheels of two Debian releases in one index: pip installs on each what `piw explain` says."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from piwheels.db import catalog, job_queue, status_queries, target_queries
from piwheels.db.database import Database
from piwheels.errors import RejectedError
from piwheels.model import Job, Target, TargetStatusRow
from piwheels.scheduler import wheel_publisher
from piwheels.scheduler.wheel_publisher import WheelPublisher
from piwheels.webroot import Webroot
from piwheels.wheel.tags import make_target
from tests.db.scenario import RULES, complete_job_with_retry_after, make_build, make_release
from tests.timeouts import WAIT_S
from tests.wheel.factories import EM_X86_64, elf, make_wheel

#: pip itself, on a system that says to have another glibc.
_PIP = """
import sys
from pip._vendor.packaging import _manylinux
_manylinux._get_glibc_version = lambda: tuple(map(int, sys.argv[1].split(".")))
from pip._internal.cli.main import main
sys.exit(main(sys.argv[2:]))
"""
_PYTHON = ".".join(map(str, sys.version_info[:3]))
_ABI = f"cp{sys.version_info.major}{sys.version_info.minor}"


def _target(os_name: str, glibc: str) -> Target:
    return make_target(
        python_full=_PYTHON, implementation="cp", abi=_ABI, arch="x86_64", os=os_name, glibc=glibc
    )


OLD, NEW = _target("bookworm", "2.36"), _target("trixie", "2.41")


@dataclass
class Farm:
    """A farm with both systems, and pip on each of them."""

    db: Database
    publisher: WheelPublisher
    folder: Path

    async def build(self, target: Target, glibc: str, *, needs: str = "libc.so.6") -> str:
        """Build for a target, and publish; returns the wheel's name."""
        job = await job_queue.claim(self.db, "builder", [target.name])
        assert job is not None
        arrived = self.folder / str(job.build_id)
        arrived.mkdir()
        code = elf(EM_X86_64, needed=("libc.so.6", needs), versions=(f"GLIBC_{glibc}",))
        files = {"demo.so": code, "built.txt": str(job.build_id).encode()}
        tags = f"{_ABI}-{_ABI}-linux_x86_64"
        wheel = await self.publisher.publish(
            make_wheel(arrived, tags=tags, files=files), job, target
        )
        assert await complete_job_with_retry_after(
            self.db, make_build(job, "builder"), [wheel], RULES, None
        )
        return wheel.filename

    async def serve_only(self, *served: Target) -> None:
        """Builders have served only these for a day."""
        names = [target.name for target in served]
        await target_queries.record_presence(self.db, names, [], target_queries.ABSENCE_THRESHOLD_S)
        await target_queries.recompute_jobs(self.db)

    async def facts(self, target: Target) -> TargetStatusRow:
        found = await status_queries.project_status(self.db, "demo", None, [target.name])
        assert found is not None
        return found.releases[0].targets[0]

    async def wanted(self) -> list[str]:
        rows = await self.db.rows("SELECT target FROM jobs ORDER BY target")
        return [row["target"] for row in rows]

    async def installed_by_pip(self, target: Target) -> str | None:
        """What pip installs on a target, which has to match the farm's answer."""
        facts = await self.facts(target)
        message = facts.unloadable_file or facts.covered_by or facts.to_be_rebuilt
        took = self._pip(target)
        assert took == message
        return took

    def _pip(self, target: Target) -> str | None:
        got = self.folder / "got"
        links = {path.parent for path in self.publisher.webroot.root.rglob("*.whl")}
        subprocess.run(
            [
                *(sys.executable, "-c", _PIP, target.glibc, "download", "demo", "-q", "--no-deps"),
                *("--no-index", "--only-binary=:all:", "--dest", str(got)),
                *(f"--find-links={link}" for link in links),
            ],
            env={**os.environ, "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""},
            capture_output=True,
            check=False,
            timeout=WAIT_S,
        )
        found = list(got.glob("*.whl"))
        for path in found:
            path.unlink()
        return found[0].name if found else None


@pytest.fixture
async def farm(database: Database, tmp_path: Path) -> Farm:
    for target in (OLD, NEW):
        await target_queries.add_target(database, target, RULES)
    await catalog.add_project(database, "demo", "Demo")
    await catalog.add_releases(database, [make_release("demo")], RULES)
    await target_queries.recompute_jobs(database)
    return Farm(database, WheelPublisher(database, Webroot(tmp_path / "www")), tmp_path)


async def test_a_wheel_of_the_older_system_is_installed_on_both(farm: Farm) -> None:
    wheel = await farm.build(OLD, "2.34", needs="libopenblas.so.0")
    assert wheel.endswith("-linux_x86_64.whl")
    assert (await farm.installed_by_pip(OLD), await farm.installed_by_pip(NEW)) == (wheel, wheel)
    assert await farm.wanted() == []


async def test_a_wheel_of_the_newer_system_is_not_installed_on_the_older(
    farm: Farm,
) -> None:
    await farm.serve_only(NEW)
    newer = await farm.build(NEW, "2.38")
    assert newer == f"demo-1.0-{_ABI}-{_ABI}-manylinux_2_38_x86_64.whl"
    assert (await farm.installed_by_pip(OLD), await farm.installed_by_pip(NEW)) == (None, newer)
    older = await farm.build(OLD, "2.34")
    assert older == f"demo-1.0-{_ABI}-{_ABI}-manylinux_2_34_x86_64.whl"
    assert (await farm.installed_by_pip(OLD), await farm.installed_by_pip(NEW)) == (older, newer)
    assert await farm.wanted() == []


async def test_a_wheel_that_cannot_be_manylinux_is_reported_until_the_older_system_has_its_own(
    farm: Farm,
) -> None:
    await farm.serve_only(NEW)
    newer = await farm.build(NEW, "2.38", needs="libopenblas.so.0")
    assert (await farm.installed_by_pip(OLD), (await farm.facts(OLD)).unloadable_file) == (
        newer,
        newer,
    )
    assert await farm.wanted() == [OLD.name]
    older = await farm.build(OLD, "2.34", needs="libopenblas.so.0")
    assert older == f"demo-1.0-1-{_ABI}-{_ABI}-linux_x86_64.whl", "the higher number"
    assert (await farm.installed_by_pip(OLD), await farm.installed_by_pip(NEW)) == (older, older)
    assert (await farm.facts(OLD)).unloadable_file is None
    assert await farm.wanted() == []


async def late_wheel(farm: Farm) -> tuple[Job, Path]:
    """A build for the newer system that ends after the older system's wheel is published."""
    await farm.serve_only(NEW)
    job = await job_queue.claim(farm.db, "slow", [NEW.name])
    assert job is not None
    await farm.build(OLD, "2.34", needs="libopenblas.so.0")
    code = elf(EM_X86_64, needed=("libc.so.6", "libopenblas.so.0"), versions=("GLIBC_2.38",))
    tags = f"{_ABI}-{_ABI}-linux_x86_64"
    return job, make_wheel(farm.folder, tags=tags, files={"demo.so": code})


async def test_a_wheel_never_hides_one_that_needs_an_older_glibc(farm: Farm) -> None:
    job, wheel = await late_wheel(farm)
    older = await farm.installed_by_pip(OLD)
    with pytest.raises(RejectedError, match=r"needs glibc 2\.38.*instead of .*needs 2\.34"):
        await farm.publisher.publish(wheel, job, NEW)
    assert (await farm.installed_by_pip(OLD), await farm.installed_by_pip(NEW)) == (older, older)


@pytest.mark.slow
async def test_an_index_with_a_hidden_older_wheel_is_repaired(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, wheel = await late_wheel(farm)
    with monkeypatch.context() as earlier:
        earlier.setattr(wheel_publisher, "_reject_if_hiding", lambda *_: None)
        newer = await farm.publisher.publish(wheel, job, NEW)
    assert await complete_job_with_retry_after(
        farm.db, make_build(job, "slow"), [newer], RULES, None
    )
    assert (
        await farm.installed_by_pip(OLD)
        == newer.filename
        == f"demo-1.0-1-{_ABI}-{_ABI}-linux_x86_64.whl"
    )
    assert (await farm.facts(OLD)).unloadable_file == newer.filename
    assert await farm.wanted() == [OLD.name]
    mended = await farm.build(OLD, "2.34", needs="libopenblas.so.0")
    assert (await farm.installed_by_pip(OLD), await farm.installed_by_pip(NEW)) == (mended, mended)
    assert await farm.wanted() == []
