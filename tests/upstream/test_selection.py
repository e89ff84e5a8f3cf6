"""Releases of a page, and their selection."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from packaging.requirements import Requirement

from piwheels.errors import RejectedError
from piwheels.index_client.client import SimpleIndex
from piwheels.index_client.page import FileKind, IndexFile, ProjectPage
from piwheels.model import Release
from piwheels.upstream.selection import is_new, releases_of, select_releases
from tests.fake_index import fake_index

NOW = datetime(2026, 11, 1, tzinfo=UTC)


async def page_of(*files: tuple[str, dict[str, Any]]) -> ProjectPage:
    """A page with these files, read by the client."""
    with fake_index() as index:
        for filename, extra in files:
            index.add("demo", filename, b"x", **extra)
        async with SimpleIndex(index.simple) as client:
            page = await client.project("demo")
    assert page is not None
    return page


async def releases(*files: str, **extra: Any) -> list[Release]:
    return releases_of(await page_of(*((name, extra) for name in files)), seen_at=NOW)


def versions(chosen: list[Release]) -> list[str]:
    return [release.version for release in chosen]


async def test_releases_are_sorted_by_version() -> None:
    found = await releases("demo-1.10.tar.gz", "demo-1.9.tar.gz", "demo-1.9-py3-none-any.whl")
    assert versions(found) == ["1.9", "1.10"]
    assert found[0].sdist is not None
    assert found[0].sdist.filename == "demo-1.9.tar.gz"


async def test_the_earliest_upload_time_is_used() -> None:
    page = await page_of(
        ("demo-1.0.tar.gz", {"upload-time": "2026-02-02T00:00:00Z"}),
        ("demo-1.0-py3-none-any.whl", {"upload-time": "2026-02-01T00:00:00.123456Z"}),
        ("demo-2.0.tar.gz", {"upload-time": None}),
    )
    first, second = releases_of(page, seen_at=NOW)
    assert first.released_at == datetime(2026, 2, 1, microsecond=123456, tzinfo=UTC)
    assert second.released_at == NOW


async def test_a_tar_is_preferred_to_a_zip_and_a_file_with_a_hash_to_one_without() -> None:
    both = await releases("demo-1.0.zip", "demo-1.0.tar.gz")
    assert both[0].sdist is not None
    assert both[0].sdist.filename.endswith(".tar.gz")
    unhashed = await releases("demo-1.0.tar.gz", hashes={})
    assert unhashed[0].sdist is not None
    assert (unhashed[0].sdist.sha256, unhashed[0].sdist.digest) == ("", "")
    page = await page_of(
        ("demo-1.0.tar.gz", {"hashes": {}}),
        ("demo-1.0.zip", {"hashes": {"md5": "c" * 32, "sha1": "d" * 40}}),
    )
    sdist = releases_of(page, seen_at=NOW)[0].sdist
    assert sdist is not None
    assert (sdist.filename, sdist.digest) == ("demo-1.0.zip", f"sha1={'d' * 40}")


@pytest.mark.parametrize(
    ("yanks", "expected"),
    [((False, False), None), ((True, False), None), (("bad", True), "bad"), ((True, True), "")],
)
async def test_a_release_is_yanked_when_all_its_files_are(
    yanks: tuple[Any, Any], expected: str | None
) -> None:
    page = await page_of(
        ("demo-1.0.tar.gz", {"yanked": yanks[0]}),
        ("demo-1.0-py3-none-any.whl", {"yanked": yanks[1]}),
    )
    assert releases_of(page, seen_at=NOW)[0].yanked == expected


async def test_files_without_a_version_are_ignored() -> None:
    assert await releases("demo-1.0.exe", "demo-abc.tar.gz", "readme.txt") == []


@pytest.mark.parametrize(
    ("requirement", "latest", "expected"),
    [
        ("demo", 1, ["2.0"]),
        ("demo", 2, ["2.0", "1.1"]),
        ("demo", 0, ["2.0", "1.1", "1.0"]),
        ("demo<2", 1, ["1.1"]),
        ("demo==1.0", 1, ["1.0"]),
        ("demo==3.0a1", 1, ["3.0a1"]),
    ],
)
async def test_the_newest_final_releases_are_selected(
    requirement: str, latest: int, expected: list[str]
) -> None:
    files = [f"demo-{version}.tar.gz" for version in ("1.0", "1.1", "2.0", "3.0a1")]
    found = await releases(*files)
    assert versions(select_releases(found, Requirement(requirement), latest)) == expected


async def test_pre_releases_are_selected_if_there_is_nothing_else() -> None:
    found = await releases("demo-1.0a1.tar.gz", "demo-1.0a2.tar.gz")
    assert versions(select_releases(found, Requirement("demo"), 1)) == ["1.0a2"]


async def test_the_newest_release_with_an_sdist_is_selected() -> None:
    found = await releases("demo-1.0.tar.gz", "demo-2.0-py3-none-any.whl")
    assert versions(select_releases(found, Requirement("demo"), 1)) == ["1.0"]


async def test_a_yanked_release_is_selected_only_if_pinned() -> None:
    found = await releases("demo-1.0.tar.gz", yanked="broken")
    with pytest.raises(RejectedError, match="yanked; pin one with =="):
        select_releases(found, Requirement("demo"), 1)
    assert versions(select_releases(found, Requirement("demo==1.0"), 1)) == ["1.0"]


@pytest.mark.parametrize(
    ("files", "requirement", "message"),
    [
        ([], "demo", "has no release"),
        (["demo-1.0.tar.gz"], "demo>5", "the newest is 1.0"),
        (["demo-1.0-py3-none-any.whl"], "demo==1.0", "no sdist of release 1.0"),
        (["demo-1.0-py3-none-any.whl", "demo-2.0-py3-none-any.whl"], "demo", "no sdist of any"),
    ],
)
async def test_why_nothing_is_selected(files: list[str], requirement: str, message: str) -> None:
    found = await releases(*files) if files else []
    with pytest.raises(RejectedError, match=message):
        select_releases(found, Requirement(requirement), 1)


def test_other_kinds_of_files_are_ignored() -> None:
    file = IndexFile(filename="x.exe", url="u", kind=FileKind.OTHER, version="1.0")
    page = ProjectPage(project="x", display_name="x", files=(file,))
    assert releases_of(page, seen_at=NOW - timedelta(1)) == []


def test_an_unknown_release_is_new_unless_it_was_uploaded_earlier() -> None:
    def new(version: str, uploaded_at: datetime | None) -> bool:
        existing = frozenset({"1.0"})
        return is_new(version, uploaded_at, since=NOW, known_versions=existing, now=NOW)

    assert new("2.0", NOW)  # some indexes give times to the second, or one time for all
    assert new("2.0", None)
    assert not new("0.5", NOW - timedelta(seconds=1))
    assert not new("1.0", NOW + timedelta(days=1))
