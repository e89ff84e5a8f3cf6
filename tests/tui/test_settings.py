"""What an operator chose: kept whole, and never in the way of a start."""

import os
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from piwheels.tui.settings import (
    ContextSettings,
    RingSettings,
    Settings,
    settings_file,
    settings_path,
    view_path,
)
from piwheels.tui.toml_file import Loaded

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def test_the_file_is_in_the_configuration_directory(tmp_path: Path) -> None:
    assert settings_path({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}) == Path(
        "/x/piwheels/console.toml"
    )
    for odd in ({}, {"XDG_CONFIG_HOME": ""}, {"XDG_CONFIG_HOME": "relative"}):
        assert settings_path({"HOME": "/h", **odd}) == Path("/h/.config/piwheels/console.toml")


def test_the_view_is_in_the_state_directory() -> None:
    assert view_path({"XDG_STATE_HOME": "/x", "HOME": "/h"}) == Path("/x/piwheels/console.toml")
    assert view_path({"HOME": "/h"}) == Path("/h/.local/state/piwheels/console.toml")


def test_without_a_file_defaults_are_used(tmp_path: Path) -> None:
    assert settings_file(tmp_path / "none" / "console.toml").load() == Loaded(Settings())


@given(_TEXTS, st.dictionaries(_TEXTS, _TEXTS))
def test_saved_settings_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, theme: str, keys: dict[str, str]
) -> None:
    file = tmp_path_factory.getbasetemp() / "settings" / "console.toml"
    file.unlink(missing_ok=True)
    chosen = Settings(theme=theme, keys=keys)
    assert settings_file(file).save(chosen) == ""
    if chosen != Settings():
        assert settings_file(file).load() == Loaded(chosen)
    tomllib.loads(file.read_text(encoding="utf-8"))
    assert [left.name for left in file.parent.iterdir()] == ["console.toml"]


@pytest.mark.parametrize("content", [b"theme = ", b"\xff\xfe", b"\x00" * 5000])
def test_a_file_that_is_not_toml_is_renamed_and_reported_in_one_line(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "console.toml"
    for aside in ("console.toml.broken", "console.toml.broken1"):
        file.write_bytes(content)
        settings, problem = settings_file(file).load()
        assert settings == Settings()
        assert problem.startswith(f"{file} is not valid (")
        assert problem.endswith(f"it was renamed to {aside}")
        assert "\n" not in problem
        assert not file.exists()
        assert (tmp_path / aside).read_bytes() == content
    assert settings_file(file).save(Settings(theme="dark")) == ""
    assert settings_file(file).load().values.theme == "dark"


_CONTEXTS = """
[contexts.main]
address = "ssh://pi@farm.local"
color = "green"
"""


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("theme = 3", "theme"),
        ("keys = 'all'", "keys"),
        ("[keys]\nkill = ['K']", "keys.kill"),
        ("contexts.lab.color = 'blue'", "contexts.lab"),
        ("contexts.lab = { address = 'ipc:///x', color = 'pink' }", "contexts.lab"),
        ("contexts.lab = { address = 'ipc:///x', shade = 'red' }", "contexts.lab"),
        ("contexts.lab = 'ipc:///x'", "contexts.lab"),
    ],
)
def test_an_invalid_setting_is_reported_ignored_and_kept(
    tmp_path: Path, content: str, name: str
) -> None:
    file = tmp_path / "console.toml"
    file.write_text(content + _CONTEXTS)
    before = tomllib.loads(file.read_text())
    store = settings_file(file)
    settings, problem = store.load()
    expected = ContextSettings(address="ssh://pi@farm.local", color="green")
    assert settings == Settings(contexts={"main": expected})
    assert problem.startswith(f"{file}: {name} is ignored: ")
    assert "\n" not in problem
    alerts = RingSettings(bell=False)
    assert store.save(msgspec.structs.replace(settings, alerts=alerts)) == ""
    stored = tomllib.loads(file.read_text())
    assert stored.pop("alerts")["bell"] is False
    assert stored == before


def test_settings_of_a_newer_version_are_reported_ignored_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "console.toml"
    file.write_text("theme = 'dark'\nfont = 'big'\n[sound]\nvolume = 1\n")
    store = settings_file(file)
    settings, problem = store.load()
    assert settings == Settings(theme="dark")
    assert problem == f"{file}: unknown settings are ignored: font, sound"
    assert store.save(msgspec.structs.replace(settings, theme="light")) == ""
    assert tomllib.loads(file.read_text()) == {
        "theme": "light",
        "font": "big",
        "sound": {"volume": 1},
    }


def test_what_another_console_has_saved_meanwhile_is_kept(tmp_path: Path) -> None:
    one, other = settings_file(tmp_path / "c.toml"), settings_file(tmp_path / "c.toml")
    assert one.load().values == other.load().values == Settings()
    assert one.save(Settings(theme="dark")) == ""
    assert other.save(Settings(keys={"kill": "f9"})) == ""
    assert one.load() == Loaded(Settings(theme="dark", keys={"kill": "f9"}))


def test_a_file_that_was_damaged_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    store = settings_file(tmp_path / "console.toml")
    store.path.write_text("theme = ")
    problem = store.save(Settings(theme="dark"))
    assert "cannot be written: " in problem
    assert "\n" not in problem
    assert store.path.read_text() == "theme = "


def test_a_symbolic_link_to_the_file_is_kept(tmp_path: Path) -> None:
    kept = tmp_path / "dotfiles" / "console.toml"
    kept.parent.mkdir()
    kept.write_text("")
    link = tmp_path / "console.toml"
    link.symlink_to(kept)
    assert settings_file(link).save(Settings(theme="dark")) == ""
    assert link.is_symlink()
    assert settings_file(kept).load().values.theme == "dark"


def test_an_error_while_saving_is_reported_and_the_old_file_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "console.toml"
    store = settings_file(file)
    assert store.save(Settings(theme="old")) == ""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    problem = store.save(Settings(theme="new"))
    assert "cannot be written: No space left on device" in problem
    assert store.load().values.theme == "old"
    assert [left.name for left in tmp_path.iterdir()] == ["console.toml"]
    blocked = settings_file(tmp_path / "console.toml" / "console.toml")
    assert "cannot be written" in blocked.save(Settings())
    assert "cannot be read" in blocked.load().problem
