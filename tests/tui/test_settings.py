"""What an operator chose: kept whole, and never in the way of a start."""

import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piwheels.tui.settings import (
    LoadedSettings,
    Settings,
    load_settings,
    save_settings,
    settings_path,
)

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def test_the_file_is_in_the_configuration_directory(tmp_path: Path) -> None:
    assert settings_path({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}) == Path(
        "/x/piwheels/console.toml"
    )
    for odd in ({}, {"XDG_CONFIG_HOME": ""}, {"XDG_CONFIG_HOME": "relative"}):
        assert settings_path({"HOME": "/h", **odd}) == Path("/h/.config/piwheels/console.toml")


def test_without_a_file_defaults_are_used(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "none" / "console.toml") == LoadedSettings(Settings())


@given(_TEXTS, st.dictionaries(_TEXTS, _TEXTS))
def test_saved_settings_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, theme: str, keys: dict[str, str]
) -> None:
    file = tmp_path_factory.getbasetemp() / "settings" / "console.toml"
    chosen = Settings(theme=theme, keys=keys)
    assert save_settings(file, chosen) == ""
    assert load_settings(file) == LoadedSettings(chosen)
    tomllib.loads(file.read_text(encoding="utf-8"))
    assert [left.name for left in file.parent.iterdir()] == ["console.toml"]


@pytest.mark.parametrize(
    "content",
    [
        b"theme = ",
        b"\xff\xfe",
        b"theme = 3\n",
        b"keys = 'all'\n",
        b"[keys]\nkill = ['K']\n",
        b"\x00" * 5000,
    ],
)
def test_an_invalid_file_is_renamed_and_reported_in_one_line(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "console.toml"
    for aside in ("console.toml.broken", "console.toml.broken1"):
        file.write_bytes(content)
        loaded = load_settings(file)
        assert loaded.settings == Settings()
        assert loaded.problem.startswith(f"{file} is not valid (")
        assert loaded.problem.endswith(f"it was renamed to {aside}")
        assert "\n" not in loaded.problem
        assert not file.exists()
        assert (tmp_path / aside).read_bytes() == content
    assert save_settings(file, Settings(theme="dark")) == ""
    assert load_settings(file).settings.theme == "dark"


def test_unknown_settings_are_reported_and_ignored(tmp_path: Path) -> None:
    file = tmp_path / "console.toml"
    file.write_text("theme = 'dark'\nfont = 'big'\nsound = 1\n")
    loaded = load_settings(file)
    assert loaded.settings == Settings(theme="dark")
    assert loaded.problem == f"{file}: unknown settings are ignored: font, sound"
    assert file.exists()


def test_a_symbolic_link_to_the_file_is_kept(tmp_path: Path) -> None:
    kept = tmp_path / "dotfiles" / "console.toml"
    kept.parent.mkdir()
    kept.write_text("")
    link = tmp_path / "console.toml"
    link.symlink_to(kept)
    assert save_settings(link, Settings(theme="dark")) == ""
    assert link.is_symlink()
    assert load_settings(kept).settings.theme == "dark"


def test_an_error_while_saving_is_reported_and_the_old_file_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "console.toml"
    assert save_settings(file, Settings(theme="old")) == ""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    problem = save_settings(file, Settings(theme="new"))
    assert "cannot be written: No space left on device" in problem
    assert load_settings(file).settings.theme == "old"
    assert [left.name for left in tmp_path.iterdir()] == ["console.toml"]
    blocked = tmp_path / "console.toml" / "console.toml"
    assert "cannot be written" in save_settings(blocked, Settings())
    assert "cannot be read" in load_settings(blocked).problem
