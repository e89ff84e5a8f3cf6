"""Static files: names, writing, and the contrast of colors."""

import gzip
import os
import re
import time
from itertools import product
from pathlib import Path

import pytest

from piwheels.webroot import Webroot
from piwheels.website import assets

GROUNDS = ("ground", "surface", "sunken")
TEXTS = (
    "ink", "muted", "accent", "built", "covered", "building", "queued", "failed", "yanked",
)  # fmt: skip
SHAPES = ("edge", "berry", "c1", "c2", "c3", "c4", "c5", "c6")


def palettes() -> dict[str, dict[str, str]]:
    """The colors of both modes by name, from the style sheet."""
    style = assets.static_files()["style.css"].decode()
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    found = {
        mode: dict(re.findall(r"--([a-z0-9]+): (#[0-9a-f]{6});", block))
        for mode, block in (("light", light), ("dark", dark))
    }
    assert found["light"].keys() == found["dark"].keys()
    return found


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio of two colors, `#rrggbb`."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_contrast_is_computed_by_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_every_text_color_contrasts_with_every_background(mode: str) -> None:
    colors = palettes()[mode]
    weak = {
        (text, ground): contrast(colors[text], colors[ground])
        for text, ground in product(TEXTS, GROUNDS)
        if contrast(colors[text], colors[ground]) < 4.5
    }
    assert weak == {}


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_every_shape_color_contrasts_with_every_background(mode: str) -> None:
    colors = palettes()[mode]
    weak = {
        (shape, ground): contrast(colors[shape], colors[ground])
        for shape, ground in product(SHAPES, ("ground", "surface"))
        if contrast(colors[shape], colors[ground]) < 3
    }
    assert weak == {}


def test_a_hashed_name_follows_the_content(monkeypatch: pytest.MonkeyPatch) -> None:
    name = assets.hashed_names()["style.css"]
    assert re.fullmatch(r"style\.[0-9a-f]{12}\.css", name)
    changed = {**assets.static_files(), "style.css": b"body { }"}
    monkeypatch.setattr(assets, "static_files", lambda: changed)
    assets.hashed_names.cache_clear()
    try:
        assert assets.hashed_names()["style.css"] != name
    finally:
        assets.hashed_names.cache_clear()


def test_static_files_are_written_with_gz_files(tmp_path: Path) -> None:
    assets.write(Webroot(tmp_path))
    for path, content in assets.files_by_path().items():
        assert (tmp_path / path).read_bytes() == content
        assert gzip.decompress((tmp_path / f"{path}.gz").read_bytes()) == content


def test_files_of_an_older_version_are_kept_for_a_while(tmp_path: Path) -> None:
    static = tmp_path / "static"
    static.mkdir()
    recent, ancient = static / "style.111111111111.css", static / "style.000000000000.css"
    for path, age_days in ((recent, 30), (ancient, 100)):
        path.write_bytes(b"")
        os.utime(path, (time.time() - age_days * 86_400,) * 2)
    assets.write(Webroot(tmp_path))
    assert recent.exists()
    assert not ancient.exists()
