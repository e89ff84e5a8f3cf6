"""Packages that a build on a root lacked are added, each once."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from msgspec.structs import replace

from piwheels.builder.build import BuildOptions
from piwheels.builder.build_runner import BuildRunner
from piwheels.builder.build_system import RootSystem
from piwheels.builder.missing_packages import package_index
from piwheels.builder.no_sandbox import NoSandbox
from piwheels.builder.package_rounds import add_packages
from piwheels.causes import classify
from piwheels.errors import ConfigError, TransientError
from piwheels.index_client.client import SimpleIndex
from piwheels.model import FailureClass, Interpreter, Outcome, Recipe, RootState
from piwheels.roots.emulator import mount_of
from piwheels.roots.layers import Layer
from piwheels.roots.store import MadeRoot, RootRecord
from tests.builder import sdists
from tests.builder.builder_harness import LIMITS, builder_for
from tests.fake_index import FakeIndex

_HEADER = "needy.c:1:10: fatal error: libxml/tree.h: No such file or directory\n"


@pytest.fixture
def system(tmp_path: Path) -> RootSystem:
    record = RootRecord(
        name="trixie-arm64", title="", arch="arm64", key="a" * 64, packages=("gcc=1",),
        archive_dates=(), made_at=datetime.now(UTC), size_bytes=1,
    )  # fmt: skip
    root = MadeRoot(record=record, folder=tmp_path)
    return RootSystem(root, mount_of(tmp_path, "arm64", None))


def test_a_builder_announces_its_roots_once_each(
    system: RootSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BuildRunner, "targets_without_compiler", lambda _: ())
    options = cast("BuildOptions", SimpleNamespace(limits=LIMITS, speed=1.0))
    runner = BuildRunner(options, {}, {"a": system, "b": system}, (), tmp_path, sandboxed=True)
    record = system.root.record
    assert runner.describe(None, 0).roots == (
        RootState(name="trixie-arm64", key=record.key, made_at=record.made_at),
    )


class Layers:
    """Makes layers of names, and remembers what it was asked for."""

    def __init__(self, answer: Layer | Exception | None) -> None:
        self.answer = answer
        self.requests: list[tuple[str, ...]] = []

    def __call__(self, _: RootSystem, packages: Iterable[str]) -> Layer | None:
        self.requests.append(tuple(packages))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_a_layer_holds_the_packages_of_all_rounds(system: RootSystem, tmp_path: Path) -> None:
    first = Layers(Layer(folder=tmp_path / "1", packages=("a=1",)))
    once, notice = await add_packages(system, ("a",), first)
    assert notice == "a added"
    assert once.inputs[1:] == ("layer 1", "deb a=1")
    second = Layers(Layer(folder=tmp_path / "2", packages=("a=1", "b=2")))
    twice, _ = await add_packages(once, ("a", "b"), second)
    assert second.requests == [("a", "b")]
    assert twice.mount.layers == (tmp_path / "2",)
    assert await add_packages(twice, ("b",), second) == (
        twice, "what it lacks was added before, and did not help",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "notice"),
    [
        (ConfigError("no such package"), "a cannot be added: no such package"),
        (None, "the root has a already"),
    ],
)
async def test_what_cannot_be_added_changes_nothing(
    system: RootSystem, answer: Exception | None, notice: str
) -> None:
    assert await add_packages(system, ("a",), Layers(answer)) == (system, notice)


async def test_an_archive_that_cannot_be_reached_fails_no_release(
    upstream: FakeIndex, oldest: Interpreter, system: RootSystem, tmp_path: Path
) -> None:
    host = RootSystem(system.root, mount_of(Path("/"), "amd64", None))
    job = replace(
        sdists.make_job(upstream, "needy", sdists.extension_sdist("needy")),
        recipe=Recipe(project="needy", packages=("libyaml-dev",)),
    )
    async with SimpleIndex(upstream.simple) as index:
        builder = builder_for(index, tmp_path, NoSandbox())
        builder.add_packages(Layers(TransientError("the archive does not answer")))
        result = await builder.build(job, oldest, system=host)
    assert (result.outcome, result.failure_class, result.reason) == (
        Outcome.FETCH_FAILED, FailureClass.INDEX_FAULT, "the archive does not answer",
    )  # fmt: skip


def test_packages_are_found_by_the_release_of_the_root() -> None:
    assert classify(_HEADER, packages=package_index("trixie")).packages == ("libxml2-dev",)
    assert package_index("potato") is None
