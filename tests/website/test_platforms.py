"""Platforms in words, and the matrix of what a farm builds for."""

import gzip

import pytest

from piwheels.model import target_words
from piwheels.website import assets, loaders, site_pages
from piwheels.website.html import keep_bits_together
from piwheels.website.platforms import platform_matrix
from tests.website.factories import SITE, a_home, an_ended_build, assert_harmless


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("cp313-trixie-aarch64", "Raspberry Pi OS 13 (trixie), 64-bit, Python 3.13"),
        ("cp311-bookworm-armv7l", "Raspberry Pi OS 12 (bookworm), 32-bit, Python 3.11"),
        ("cp37m-buster-armv6l", "Raspberry Pi OS 10 (buster), 32-bit (ARMv6), Python 3.7"),
        ("cp313t-trixie-x86_64", "Debian 13 (trixie), 64-bit x86, Python 3.13 (free-threaded)"),
        ("pypy310_pp73-noble-aarch64", "Ubuntu 24.04 (noble), 64-bit ARM, PyPy 3.10"),
        ("cp314-fedora43-loongarch64", "fedora43, loongarch64, Python 3.14"),
        ("cp314", "Python 3.14"),
        ("", ""),
        ("what<is>this", "what<is>this"),
    ],
)
def test_a_target_in_words(target: str, words: str) -> None:
    assert str(target_words(target)) == words


def test_the_matrix_has_a_row_for_each_platform() -> None:
    matrix = platform_matrix(
        ["cp311-bookworm-aarch64", "cp311-bookworm-armv7l", "cp313-trixie-aarch64"]
    )
    assert matrix.pythons == ("Python 3.11", "Python 3.13")
    assert [(row.platform, row.targets) for row in matrix.rows] == [
        ("Raspberry Pi OS 13 (trixie), 64-bit", ("", "cp313-trixie-aarch64")),
        ("Raspberry Pi OS 12 (bookworm), 32-bit", ("cp311-bookworm-armv7l", "")),
        ("Raspberry Pi OS 12 (bookworm), 64-bit", ("cp311-bookworm-aarch64", "")),
    ]


def test_the_home_page_shows_what_the_farm_builds_for() -> None:
    home = a_home(targets=("cp311-bookworm-aarch64", "cp313-trixie-aarch64"))
    reader = assert_harmless(site_pages.home_pages(SITE, home)["index.html"])
    assert "Raspberry Pi OS 13 (trixie), 64-bitnoyes: find projects for" in reader.text
    assert "faq.html#platform" in reader.links()
    assert "What this farm builds for" not in (
        assert_harmless(site_pages.home_pages(SITE, a_home())["index.html"]).text
    )


@pytest.mark.parametrize(
    ("words", "markup"),
    [
        ("Debian 12, 64-bit ARM", 'Debian 12, <span class="nowrap">64-bit</span> ARM'),
        ("<b>32-bit", '&lt;b&gt;<span class="nowrap">32-bit</span>'),
        ("a\u202e132-bits", "a\ufffd132-bits"),
    ],
)
def test_no_line_ends_within_the_number_of_bits(words: str, markup: str) -> None:
    assert keep_bits_together(words) == markup


@pytest.mark.parametrize(
    ("target", "label"),
    [
        ("cp313-trixie-aarch64", "Pi OS 13, 64-bit, 3.13"),
        ("cp311-bookworm-armv6l", "Pi OS 12, 32-bit (ARMv6), 3.11"),
        ("cp313t-trixie-x86_64", "Debian 13, 64-bit x86, 3.13 (free-threaded)"),
    ],
)
def test_charts_name_targets_in_few_words(target: str, label: str) -> None:
    assert loaders.target_label(target) == label


def test_the_first_paint_of_the_home_page_costs_less_than_20_kb() -> None:
    """The page and what it loads before it is painted, and the scripts, compressed."""
    systems = ("buster", "bullseye", "bookworm", "trixie")
    machines = ("armv6l", "armv7l", "aarch64")
    targets = tuple(f"cp3{n}-{s}-{m}" for n in (7, 9, 11, 13) for s in systems for m in machines)
    builds = tuple(
        an_ended_build(build_id=n, project=f"project-{n}", reason=f"line {n}: error " * 10)
        for n in range(12)
    )
    page = site_pages.home_pages(SITE, a_home(targets=targets, recent=builds))["index.html"]
    loaded = [page, *(assets.static_files()[n] for n in ("style.css", "site.js", "search.js"))]
    assert sum(len(gzip.compress(content, 3)) for content in loaded) < 20_000


def test_the_home_page_begins_with_the_search() -> None:
    page = site_pages.home_pages(SITE, a_home(targets=("cp313-trixie-aarch64",)))["index.html"]
    assert page.index(b'role="search"') < page.index(b'id="platform"') < page.index(b"With pip")
