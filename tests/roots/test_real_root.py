"""Builds on real roots."""

import dataclasses
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from piwheels.builder.bubblewrap import Bubblewrap, find_bubblewrap
from piwheels.builder.build_system import RootSystem
from piwheels.builder.import_check import ImportPolicy, clean_system
from piwheels.builder.package_rounds import add_packages
from piwheels.builder.process_runner import LimitExceeded, Limits
from piwheels.builder.root_programs import run_program
from piwheels.builder.root_systems import Roots
from piwheels.builder.sandbox import SandboxCommand
from piwheels.config import BuilderSection
from piwheels.errors import ConfigError
from piwheels.index_client.client import SimpleIndex
from piwheels.model import Outcome, Recipe
from piwheels.roots.architectures import EMULATION_FACTOR
from tests import requires
from tests.builder import sdists
from tests.builder.builder_harness import BuilderHarness, builder_for
from tests.builder.conftest import tools, upstream
from tests.fake_index import FakeIndex
from tests.roots.real_roots import FOREIGN, NATIVE, root_system, shared_roots

pytestmark = [pytest.mark.slow, requires.requires_program("apt-get"), requires.requires_sandbox()]

__all__ = ["tools", "upstream"]

#: In no root; its header is in /usr/include.
_YAML = "#include <yaml.h>\nconst char *v(void) { return yaml_get_version_string(); }"
#: Imports the module whose bytes are in cext.hex.
_IMPORT_IN_ROOT = """
cd /build && python3 -c '
import pathlib
pathlib.Path("cext.so").write_bytes(bytes.fromhex(pathlib.Path("cext.hex").read_text()))
import cext
print(cext.__name__)'
"""


@pytest.fixture(scope="module")
def native() -> RootSystem:
    return root_system(NATIVE)


@pytest.fixture(scope="module")
def foreign() -> RootSystem:
    return root_system(FOREIGN)


@pytest.fixture
async def builder(upstream: FakeIndex, tmp_path: Path) -> AsyncIterator[BuilderHarness]:
    async with SimpleIndex(upstream.simple) as index:
        made = builder_for(index, tmp_path, Bubblewrap(find_bubblewrap()))
        made.add_packages(shared_roots().layer)
        yield made


async def test_a_root_says_what_it_is(native: RootSystem) -> None:
    ((interpreter, _),) = await shared_roots().interpreters(NATIVE)
    assert (interpreter.os, interpreter.abi, interpreter.glibc) == ("trixie", "cp313", "2.41")
    assert native.missing_toolchain(interpreter) == ""
    assert native.has_executable(interpreter)
    record = native.root.record
    assert any(package.startswith("gcc=") for package in record.packages)
    assert native.inputs == (
        f"root {NATIVE} {record.key} {'; '.join(record.archive_dates)}",
    )  # fmt: skip


async def test_the_packages_of_a_recipe_are_added_and_written_down(
    builder: BuilderHarness, upstream: FakeIndex, native: RootSystem
) -> None:
    ((interpreter, _),) = await shared_roots().interpreters(NATIVE)
    content = sdists.extension_sdist("needy", _YAML, libraries=("yaml",))
    recipe = Recipe(project="needy", packages=("libyaml-dev",))
    job = replace(sdists.make_job(upstream, "needy", content), recipe=recipe)
    result = await builder.build(job, interpreter, system=native)
    assert result.outcome is Outcome.BUILT, builder.log.decode()
    assert builder.phases == [
        "fetching", "adding libyaml-dev", "preparing", "building", "inspecting",
    ]  # fmt: skip
    assert b"libyaml-dev added" in builder.log
    assert any(text.startswith("deb libyaml-dev=") for text in result.build_inputs)
    assert result.files[0].debian_packages == ("libyaml-0-2",)
    assert result.added_packages == ("libyaml-dev",)


async def test_what_a_build_lacks_is_found_and_added(
    builder: BuilderHarness, upstream: FakeIndex, native: RootSystem
) -> None:
    ((interpreter, _),) = await shared_roots().interpreters(NATIVE)
    content = sdists.extension_sdist("needy", _YAML, libraries=("yaml",))
    job = sdists.make_job(upstream, "needy", content)
    result = await builder.build(job, interpreter, system=native)
    assert result.outcome is Outcome.BUILT, builder.log.decode()
    assert builder.phases == [
        "fetching", "preparing", "building", "adding libyaml-dev", "preparing", "building",
        "inspecting",
    ]  # fmt: skip
    assert any(text.startswith("deb libyaml-dev=") for text in result.build_inputs)
    assert result.added_packages == ("libyaml-dev",)


async def test_a_wheel_is_imported_in_the_root_with_just_the_packages_that_it_needs(
    builder: BuilderHarness, upstream: FakeIndex, native: RootSystem
) -> None:
    """Its build had libyaml-dev; the import has libyaml-0-2 alone."""
    builder.options = dataclasses.replace(builder.options, import_check=ImportPolicy.REFUSE)
    ((interpreter, _),) = await shared_roots().interpreters(NATIVE)
    content = sdists.extension_sdist("needy", _YAML, libraries=("yaml",))
    job = sdists.make_job(upstream, "needy", content)
    result = await builder.build(job, interpreter, system=native)
    assert (result.outcome, result.reason) == (Outcome.BUILT, ""), builder.log.decode()
    assert b"--- piwheels: its modules are imported (" in builder.log
    made, _ = await add_packages(native, ("libyaml-dev",), shared_roots().layer)
    clean = await clean_system(made, ("libyaml-0.so.2",), shared_roots().layer)
    assert isinstance(clean, RootSystem)
    assert [package.partition("=")[0] for package in clean.layer_packages] == ["libyaml-0-2"]


async def test_another_processor_is_emulated(
    builder: BuilderHarness, upstream: FakeIndex, foreign: RootSystem
) -> None:
    ((interpreter, _),) = await shared_roots().interpreters(FOREIGN)
    assert interpreter.arch == {"trixie-arm64": "aarch64"}.get(FOREIGN, "riscv64")
    assert foreign.slowdown == EMULATION_FACTOR
    job = sdists.make_job(upstream, "cext", sdists.extension_sdist("cext"))
    result = await builder.build(job, interpreter, system=foreign)
    assert result.outcome is Outcome.BUILT, builder.log.decode()
    assert b", emulated" in builder.log
    assert result.files[0].filename == (
        f"cext-1.0-{interpreter.abi}-{interpreter.abi}-linux_{interpreter.arch}.whl"
    )
    printed = await run_program(
        shared_roots().sandbox,
        foreign.mount,
        ("sh", "-c", _IMPORT_IN_ROOT),
        files={"cext.hex": _module(builder.wheels[0]).hex()},
    )
    assert printed == b"cext\n"


async def test_memory_is_limited_under_emulation(foreign: RootSystem, tmp_path: Path) -> None:
    sandbox, work = shared_roots().sandbox, tmp_path / "work"
    sandbox.prepare(work)
    script = "x = bytearray(600 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\nimport time; time.sleep(60)"
    command = SandboxCommand(
        command=("python3", "-c", script),
        environment={"PATH": "/usr/bin:/bin"},
        work_dir=work,
        limits=Limits(memory_bytes=300 << 20, disk_reserve_bytes=0),
        mount=foreign.mount,
    )
    result = await sandbox.run(command, lambda _: None)
    assert result.limit_exceeded is LimitExceeded.MEMORY


def test_an_unknown_package_leaves_nothing(native: RootSystem) -> None:
    before = sorted(shared_roots().store.layers_dir.iterdir())
    with pytest.raises(ConfigError, match="Unable to locate package libnothing-dev"):
        shared_roots().layer(native, ("libnothing-dev",))
    assert sorted(shared_roots().store.layers_dir.iterdir()) == before
    assert shared_roots().layer(native, ("gcc",)) is None, "the root has it"


def test_a_root_that_does_not_fit_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    small = Roots(BuilderSection(roots_dir=tmp_path / "roots", max_roots_mb=50), {})
    with pytest.raises(ConfigError, match=r"needs .*builder\.max_roots_mb allows"):
        small.make(NATIVE, lambda *_: None)
    assert small.store.roots() == []
    assert not list(small.store.folder.glob(".*making*"))
    assert not list(small.store.archive_cache.glob("*.deb"))


def _module(wheel: Path) -> bytes:
    """The only extension module of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".so")]
        return archive.read(name)
