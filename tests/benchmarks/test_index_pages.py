"""How many project index pages are written in a second, and how many are found to be unchanged."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from piwheels.index.index_publisher import write_pages
from piwheels.index.simple_pages import render_project
from piwheels.model import IndexPage
from piwheels.webroot import Webroot
from tests.benchmarks.index_content import make_page

_PAGES, _BATCH, _SINGLY = 1000, 100, 200
#: The target figures are 700 and 9,000 a second of one core: what the machine does besides is
#: its own, so the ratios are what is held, and both are printed.
_ENOUGH = 700
_AGAINST_ONE_BY_ONE, _SKIPPED_AGAINST_WRITTEN = 1.3, 6.0


def _content(edition: int) -> list[tuple[str, IndexPage | None]]:
    return [(f"project-{n}", make_page(f"project-{n}", edition)) for n in range(_PAGES)]


def _one_by_one(root: Path, content: Sequence[tuple[str, IndexPage | None]]) -> None:
    """The peer: each file synced by itself."""
    webroot = Webroot(root)
    for project, page in content:
        assert page is not None
        rendered = render_project(page)
        webroot.write_page(webroot.simple_dir(project) / "index.v1_json", rendered.json)
        webroot.write_page(webroot.simple_dir(project) / "index.html", rendered.html)


def _rates(
    write: Callable[[Path, Sequence[tuple[str, IndexPage | None]]], object],
    root: Path,
    content: Sequence[tuple[str, IndexPage | None]],
) -> tuple[float, float]:
    """Pages a second, and pages a second of the processor."""
    began, spent = time.perf_counter(), time.process_time()
    for start in range(0, len(content), _BATCH):
        write(root, content[start : start + _BATCH])
    took, spent = time.perf_counter() - began, time.process_time() - spent
    return len(content) / took, len(content) / spent


@pytest.mark.slow
def test_pages_of_sixty_files_are_written_in_batches_and_skipped_when_unchanged(
    tmp_path: Path,
) -> None:
    first, second = _content(0), _content(1)
    singly, single_cpu = _rates(_one_by_one, tmp_path / "singly", first[:_SINGLY])
    singly_again, single_again_cpu = _rates(_one_by_one, tmp_path / "singly", second[:_SINGLY])
    (tmp_path / "www").mkdir()
    fresh, fresh_cpu = _rates(write_pages, tmp_path / "www", first)
    again, again_cpu = _rates(write_pages, tmp_path / "www", second)
    skipped, skipped_cpu = _rates(write_pages, tmp_path / "www", second)
    for what, wall, cpu in (
        ("new, one by one", singly, single_cpu),
        ("changed, one by one", singly_again, single_again_cpu),
        ("new, in batches", fresh, fresh_cpu),
        ("changed, in batches", again, again_cpu),
        ("unchanged", skipped, skipped_cpu),
    ):
        print(f"{what}: {wall:,.0f} pages a second, {cpu:,.0f} a second of one core")
    # Where syncs cost nothing, as in memory, there is nothing to share.
    assert fresh > _AGAINST_ONE_BY_ONE * singly or singly > _ENOUGH
    assert again > _AGAINST_ONE_BY_ONE * singly_again or singly_again > _ENOUGH
    assert skipped > _SKIPPED_AGAINST_WRITTEN * max(fresh, again)
