"""Package layers: what apt resolves is downloaded, unpacked and kept."""

import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from piwheels.config import Archive
from piwheels.errors import ConfigError
from piwheels.roots import apt as apt_module
from piwheels.roots.definition import RootDefinition
from piwheels.roots.emulator import mount_of
from piwheels.roots.layers import LayerStore
from piwheels.roots.mount import RootMount
from piwheels.roots.store import MadeRoot, RootRecord, RootStore
from tests.roots.debs import make_deb, regular

_DEB = "needy-dev_1-1_all.deb"
_UNKNOWN = "E: Unable to locate package needy-dev\n"
_DELETED = "E: Failed to fetch http://x/needy-dev_1-0_all.deb  404  Not Found [IP: 192.0.2.1 80]\n"


class FakeApt:
    """An archive: until the lists are updated, it answers with an error."""

    def __init__(self, folder: Path) -> None:
        self.deb = make_deb(folder / _DEB, [regular("./usr/include/needy.h")])
        self.error = ""  # of old lists
        self.unknown = False  # with new lists too
        self.updates = 0

    def __call__(self, words: Sequence[str], _: str, cwd: Path, *__: Any) -> tuple[int, str, str]:
        if words[0] == "update":
            self.updates += 1
            self.error = ""
            return 0, "", ""
        if self.error or self.unknown:
            return 100, "", self.error or _UNKNOWN
        if "--download-only" in words:
            shutil.copy(self.deb, cwd)
        return 0, f"'http://x/{_DEB}' {_DEB} {self.deb.stat().st_size} SHA256:0\n", ""


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeApt:
    found = FakeApt(tmp_path)
    monkeypatch.setattr(apt_module, "_run_apt", found)
    return found


@pytest.fixture
def make_layer(tmp_path: Path) -> Callable[[], Any]:
    """Makes a layer with needy-dev over an empty root."""
    keyring = tmp_path / "archive.gpg"
    keyring.touch()
    archives = (Archive(url="http://x", suites=("sid",), components=("main",), keyring=keyring),)
    definition = RootDefinition(name="sid-arm64", arch="arm64", archives=archives)
    store = RootStore(tmp_path / "roots", 1 << 30)
    store.prepare()
    folder = tmp_path / "made"
    (folder / "system/var/lib/dpkg").mkdir(parents=True)
    record = RootRecord(
        name="sid-arm64", title="", arch="arm64", key="a" * 64, packages=(), archive_dates=(),
        made_at=datetime.now(UTC), size_bytes=1,
    )  # fmt: skip
    root = MadeRoot(record=record, folder=folder)

    def run_inside(
        mount: RootMount,
        command: Sequence[str],
        output: str,
        on_output: Callable[[bytes], None] | None = None,
    ) -> bytes:
        assert (mount.arch, command[0], output) == ("arm64", "/sbin/ldconfig", "ld.so.cache")
        assert on_output is None
        return b"cache"

    layers = LayerStore(store, run_inside)
    mount = mount_of(root.system, "arm64", None)
    return lambda: layers.ensure(root, definition, ("needy-dev",), mount)


def test_packages_are_unpacked_once(archive: FakeApt, make_layer: Callable[[], Any]) -> None:
    layer = make_layer()
    assert layer.packages == ("sample=1-1",)
    assert (layer.folder / "usr/include/needy.h").is_file()
    assert (layer.folder / "etc/ld.so.cache").read_bytes() == b"cache"
    assert make_layer() == layer
    assert archive.updates == 0


@pytest.mark.parametrize("error", [_UNKNOWN, _DELETED])
def test_old_package_lists_are_downloaded_again(
    archive: FakeApt, make_layer: Callable[[], Any], error: str
) -> None:
    archive.error = error
    assert make_layer().packages == ("sample=1-1",)
    assert archive.updates == 1


def test_an_unknown_package_does_not_download_new_lists_again(
    archive: FakeApt, make_layer: Callable[[], Any]
) -> None:
    archive.unknown = True
    for _ in range(2):
        with pytest.raises(ConfigError, match="Unable to locate package needy-dev"):
            make_layer()
    assert archive.updates == 1
