"""A root that was made otherwise is tried, and only referred to."""

import platform
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from piwheels.errors import ConfigError
from piwheels.roots.architectures import host_architecture
from piwheels.roots.definition import RootDefinition
from piwheels.roots.maker import RootMaker
from piwheels.roots.mount import RootMount
from piwheels.roots.store import RootStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The file system of a root."""
    found = tmp_path / "found"
    (found / "usr").mkdir(parents=True)
    (found / "etc").mkdir()
    for name in ("passwd", "group", "nsswitch.conf", "hosts"):
        (found / "etc" / name).touch()
    return found


class Sandbox:
    """Remembers what runs in roots."""

    def __init__(self) -> None:
        self.ran: list[tuple[Path, tuple[str, ...]]] = []
        self.error = ""

    def __call__(
        self,
        mount: RootMount,
        command: Sequence[str],
        output: str,
        on_output: Callable[[bytes], None] | None = None,
    ) -> bytes:
        self.ran.append((mount.root, tuple(command)))
        if self.error:
            raise ConfigError(self.error)
        return b""


def _definition(folder: Path) -> RootDefinition:
    return RootDefinition(name="found", arch=host_architecture(platform.machine()), folder=folder)


def test_it_is_tried_and_stays_where_it_is(tmp_path: Path, folder: Path) -> None:
    store, sandbox = RootStore(tmp_path / "roots", 1 << 30), Sandbox()
    made = RootMaker(store, sandbox).make(_definition(folder), lambda *_: None)
    assert sandbox.ran == [(folder, ("true",))]
    assert made.system.resolve() == folder
    store.remove("found")
    assert store.roots() == []
    assert (folder / "usr").is_dir()


def test_one_that_does_not_run_is_not_kept(tmp_path: Path, folder: Path) -> None:
    store, sandbox = RootStore(tmp_path / "roots", 1 << 30), Sandbox()
    sandbox.error = "true does not run in it: Exec format error"
    with pytest.raises(ConfigError, match="Exec format error"):
        RootMaker(store, sandbox).make(_definition(folder), lambda *_: None)
    assert store.roots() == []


def test_what_it_lacks_is_named(tmp_path: Path, folder: Path) -> None:
    store = RootStore(tmp_path / "roots", 1 << 30)
    (folder / "etc/hosts").unlink()
    with pytest.raises(ConfigError, match="found has no etc/hosts; the files in etc may be empty"):
        RootMaker(store, Sandbox()).make(_definition(folder), lambda *_: None)
