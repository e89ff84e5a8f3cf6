"""JSON in the format that the site of piwheels.org documents, read as its examples read it."""

import json
from datetime import datetime
from typing import Any

import pytest

from piwheels.model import Outcome, ProjectMetadata
from piwheels.website import site_pages
from piwheels.website.page_data import ProjectData, Site
from piwheels.website.project_page import render_project
from tests.website.factories import (
    CP313,
    HOSTILE,
    a_listing,
    a_project,
    a_release,
    a_target,
    a_wheel,
    hostile_project,
    project_facts,
    some_packages,
)

SITE = Site(url="https://wheels.example.org/", upstream_url="https://pypi.org/simple/")


def document(content: ProjectData) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(render_project(SITE, content)["json"])
    return found


def a_project_with_files() -> ProjectData:
    abi3 = a_wheel(
        filename="demo-2.0-cp39-abi3-linux_armv7l.whl",
        version="2.0",
        tags="cp39-abi3-linux_armv7l",
        debian_packages=("libffi8",),
        built_for=CP313,
    )
    pure = a_wheel("1.0", filename="demo-1.0-py3-none-any.whl", tags="py3-none-any", build_id=99)
    built = a_target(CP313, last_build_id=8, last_outcome=Outcome.FAILED)  # it was built again
    return a_project(
        a_release("2.0", built),
        a_release("2.0rc1", yanked="bad", has_sdist=False),
        a_release("1.0", a_target()),
        files=(abi3, pure),
        metadata=ProjectMetadata(summary="Makes wheels"),
    )


def test_the_document_has_every_documented_field() -> None:
    package = document(a_project_with_files())
    assert {key: package[key] for key in package if key != "releases"} == {
        "package": "demo",
        "summary": "Makes wheels",
        "pypi_url": "https://pypi.org/project/demo/",
        "piwheels_url": "https://wheels.example.org/project/demo/",
    }
    assert package["releases"]["2.0"] == {
        "skip_reason": "",
        "prerelease": False,
        "released": "2026-11-25 16:40:00",
        "yanked": False,
        "files": {
            "demo-2.0-cp39-abi3-linux_armv7l.whl": {
                "filesize": 12_345,
                "filehash": "ab" * 32,
                "apt_dependencies": ["libffi8"],
                "platform": "linux_armv7l",
                "builder_abi": "cp313",
                "file_abi_tag": "abi3",
            }
        },
    }
    (pure,) = package["releases"]["1.0"]["files"].values()
    assert (pure["platform"], pure["file_abi_tag"], pure["builder_abi"]) == ("any", "none", "py3")
    other = package["releases"]["2.0rc1"]
    assert (other["prerelease"], other["yanked"], other["skip_reason"]) == (True, True, "no source")


def test_a_script_that_lists_the_releases_with_their_days() -> None:
    package = document(a_project_with_files())
    lines = [(version, release["released"]) for version, release in package["releases"].items()]
    assert [version for version, _ in lines] == ["2.0", "2.0rc1", "1.0"]
    assert all(datetime.strptime(day, "%Y-%m-%d %H:%M:%S") for _, day in lines)  # noqa: DTZ007


def test_a_script_that_counts_the_files_of_each_release() -> None:
    package = document(a_project_with_files())
    counts = {
        version: len(info["files"]) if info["files"] else 0
        for version, info in package["releases"].items()
    }
    assert counts == {"2.0": 1, "2.0rc1": 0, "1.0": 1}


def test_a_skip_is_told_for_each_release() -> None:
    skipped = project_facts(a_release("1.0"), a_release("0.9", skip_reason="x"), skip_reason="y")
    releases = document(a_project(facts=skipped))["releases"]
    assert [release["skip_reason"] for release in releases.values()] == ["y", "x"]


@pytest.mark.parametrize("content", [a_project(), hostile_project()])
def test_any_project_has_a_document(content: ProjectData) -> None:
    assert isinstance(document(content)["releases"], dict)


def test_the_list_of_packages_has_rows_by_position() -> None:
    listed = [a_listing("numpy", recent_downloads=5, downloads=12), a_listing(HOSTILE)]
    pages = dict(site_pages.packages_pages(SITE, some_packages(), listed))
    rows = json.loads(pages["packages.json"])
    assert rows == [["numpy", 5, 12], [HOSTILE, 5, 12]]
    assert {row[0]: row[2] for row in rows}["numpy"] == 12
