"""Roots on disk: complete or absent, and within their limit."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from piwheels.errors import ConfigError
from piwheels.roots.store import RootRecord, RootStore, hold, remove_unused

_DAY = 86400


@pytest.fixture
def store(tmp_path: Path) -> RootStore:
    made = RootStore(tmp_path / "roots", max_bytes=1 << 30)
    made.prepare()
    return made


def _record(key: str) -> RootRecord:
    return RootRecord(
        name="trixie-arm64", title="", arch="arm64", key=key * 64, packages=("a=1",),
        archive_dates=(), made_at=datetime.now(UTC), size_bytes=1,
    )  # fmt: skip


def _make(store: RootStore, key: str) -> Path:
    with store.making("trixie-arm64") as folder:
        (folder / "system").mkdir()
        return store.publish(folder, _record(key)).folder


def test_a_root_is_there_when_it_is_complete(store: RootStore) -> None:
    with pytest.raises(ZeroDivisionError), store.making("trixie-arm64"):
        _ = 1 / 0
    assert store.find("trixie-arm64") is None
    assert not list(store.folder.glob("*making"))
    folder = _make(store, "a")
    assert [made.folder for made in store.roots()] == [folder]


def test_a_new_state_replaces_the_former_one_when_nothing_uses_it(store: RootStore) -> None:
    first = _make(store, "a")
    found = store.find("trixie-arm64")
    assert found is not None
    holding = store.hold(found)
    second = _make(store, "b")
    assert first.exists(), "a builder uses it"
    os.close(holding)
    third = _make(store, "c")
    assert [path.exists() for path in (first, second, third)] == [False, False, True]
    store.remove("trixie-arm64")
    assert store.roots() == []
    assert not third.exists()


def test_downloads_go_first_then_the_layers_that_were_not_used_for_longest(
    store: RootStore,
) -> None:
    store.max_bytes = 40 << 20
    deb = store.archive_cache / "a_1_arm64.deb"
    deb.write_bytes(bytes(8 << 20))
    layers = []
    for age in (3, 2, 1):
        layer = store.layers_dir / f"{age:064x}"
        layer.mkdir()
        (layer / "file").write_bytes(bytes(8 << 20))
        hold_closed = hold(layer)
        os.close(hold_closed)
        for path in (layer, layer / ".in-use"):
            os.utime(path, (0, 1_700_000_000 - age * _DAY))
        layers.append(layer)
    store.reserve(20 << 20, "a layer")
    assert not deb.exists()
    assert [layer.exists() for layer in layers] == [False, True, True]
    using = hold(layers[1])
    assert not remove_unused(layers[1])
    os.close(using)


def test_what_does_not_fit_is_one_line(store: RootStore) -> None:
    store.max_bytes = 1 << 20
    with pytest.raises(ConfigError, match=r"the root x needs 100.* builder\.max_roots_mb allows"):
        store.reserve(100 << 20, "the root x")
    store.max_bytes = 1 << 60
    with pytest.raises(ConfigError, match="more than the disk of"):
        store.reserve(1 << 50, "the root x")
