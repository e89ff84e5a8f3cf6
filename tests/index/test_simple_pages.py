"""Index pages: every field of Simple API 1.4, and hostile text."""

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypi_simple import ProjectPage

from piwheels.index.simple_pages import (
    RENDER_VERSION,
    RenderedPage,
    content_marker,
    render_project,
    render_project_list,
)
from piwheels.model import IndexEntry, IndexPage, ProjectStatus
from tests.website.factories import Reader

SHA = "ab" * 32
METADATA_SHA = "cd" * 32
HOSTILE = '</script><a href="javascript:x">&amp;\n\N{RIGHT-TO-LEFT OVERRIDE}é\'\0'


def a_file(**facts: Any) -> IndexEntry:
    known: dict[str, Any] = {
        "filename": "demo-1.0-py3-none-any.whl",
        "sha256": SHA,
        "size_bytes": 1234,
        "metadata_sha256": METADATA_SHA,
        "requires_python": ">=3.8,<4",
        "version": "1.0",
        "released_at": datetime(2026, 1, 28, 18, 14, 54, tzinfo=UTC),
        "yanked": None,
    }
    return IndexEntry(**(known | facts))


def page_of(*files: IndexEntry, **facts: Any) -> IndexPage:
    known: dict[str, Any] = {
        "project": "demo",
        "status": ProjectStatus.ACTIVE,
        "status_reason": "",
        "files": files,
    }
    return IndexPage(**(known | facts))


def render(*files: IndexEntry, **facts: Any) -> RenderedPage:
    return render_project(page_of(*files, **facts))


def test_the_html_has_every_attribute() -> None:
    page = Reader(render(a_file(yanked="too old")).html)
    assert page.only("a") == {
        "href": f"../../packages/ab/{SHA}/demo-1.0-py3-none-any.whl#sha256={SHA}",
        "data-requires-python": ">=3.8,<4",
        "data-yanked": "too old",
        "data-core-metadata": f"sha256={METADATA_SHA}",
        "data-dist-info-metadata": f"sha256={METADATA_SHA}",
    }
    assert page.meta() == {"pypi:repository-version": "1.4"}


def test_the_specifier_is_escaped_in_the_source() -> None:
    assert b'data-requires-python="&gt;=3.8,&lt;4"' in render(a_file()).html


def test_the_json_has_every_key() -> None:
    page = json.loads(render(a_file(yanked="too old")).json)
    assert page == {
        "meta": {"api-version": "1.4"},
        "name": "demo",
        "project-status": {"status": "active"},
        "versions": ["1.0"],
        "files": [
            {
                "filename": "demo-1.0-py3-none-any.whl",
                "url": f"../../packages/ab/{SHA}/demo-1.0-py3-none-any.whl",
                "hashes": {"sha256": SHA},
                "size": 1234,
                "upload-time": "2026-01-28T18:14:54.000000Z",
                "yanked": "too old",
                "core-metadata": {"sha256": METADATA_SHA},
                "requires-python": ">=3.8,<4",
            }
        ],
    }


@pytest.mark.parametrize(("yanked", "in_json"), [(None, False), ("", True), ("bad", "bad")])
def test_a_yank_may_have_a_reason(yanked: str | None, in_json: object) -> None:
    rendered = render(a_file(yanked=yanked))
    assert json.loads(rendered.json)["files"][0]["yanked"] == in_json
    assert Reader(rendered.html).only("a").get("data-yanked") == yanked


def test_upload_times_are_converted_to_utc() -> None:
    there = datetime(2026, 1, 28, 23, 0, tzinfo=timezone(timedelta(hours=5)))
    page = json.loads(render(a_file(released_at=there)).json)
    assert page["files"][0]["upload-time"] == "2026-01-28T18:00:00.000000Z"


def test_the_status_of_a_project_is_in_both_formats() -> None:
    rendered = render(a_file(), status=ProjectStatus.ARCHIVED, status_reason='moved to "new"')
    assert json.loads(rendered.json)["project-status"] == {
        "status": "archived",
        "reason": 'moved to "new"',
    }
    assert Reader(rendered.html).meta() == {
        "pypi:repository-version": "1.4",
        "pypi:project-status": "archived",
        "pypi:project-status-reason": 'moved to "new"',
    }


def test_a_quarantined_project_lists_no_files() -> None:
    rendered = render(a_file(), status=ProjectStatus.QUARANTINED)
    page = json.loads(rendered.json)
    assert (page["files"], page["versions"]) == ([], [])
    assert SHA.encode() not in rendered.html


def test_versions_are_unique_and_in_the_order_of_files() -> None:
    files = [a_file(version=version) for version in ("1.0", "1.0", "1.9", "1.10")]
    assert json.loads(render(*files).json)["versions"] == ["1.0", "1.9", "1.10"]


def test_hostile_text_stays_text() -> None:
    rendered = render(
        a_file(yanked=HOSTILE, requires_python=HOSTILE),
        status=ProjectStatus.DEPRECATED,
        status_reason=HOSTILE,
    )
    page = Reader(rendered.html)
    assert [tag for tag, _ in page.elements if tag in {"a", "script"}] == ["a"]
    assert page.only("a")["data-requires-python"] == HOSTILE
    assert json.loads(rendered.json)["files"][0]["yanked"] == HOSTILE


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_reason_is_escaped_in_its_attribute(reason: str) -> None:
    page = Reader(render(a_file(yanked=reason)).html)
    assert len([tag for tag, _ in page.elements if tag == "a"]) == 1


def test_the_client_library_reads_both_formats_alike() -> None:
    rendered = render(a_file(yanked="bad"), a_file(filename="demo-1.0-1-py3-none-any.whl"))
    here = "http://farm.example/simple/demo/"
    by_html = ProjectPage.from_html("demo", rendered.html.decode(), base_url=here)
    by_json = ProjectPage.from_json_data(json.loads(rendered.json), base_url=here)
    assert by_html.repository_version == by_json.repository_version == "1.4"
    for one, other in zip(by_html.packages, by_json.packages, strict=True):
        assert (one.filename, one.url, one.digests) == (other.filename, other.url, other.digests)
        assert one.requires_python == other.requires_python
        assert one.metadata_digests == other.metadata_digests
        assert (one.is_yanked, one.yanked_reason) == (other.is_yanked, other.yanked_reason)


def test_the_output_is_deterministic() -> None:
    assert render(a_file()) == render(a_file())


def test_a_page_starts_with_a_marker_of_its_content_and_render_version() -> None:
    page = page_of(a_file())
    assert render_project(page).html.startswith(content_marker(page))
    others = [page_of(a_file(yanked="")), page_of(), page_of(a_file(), project="demo-2")]
    assert len({content_marker(page), *map(content_marker, others)}) == 4


def test_changed_output_requires_a_new_render_version() -> None:
    rendered = render(a_file(yanked="too old"), status=ProjectStatus.ARCHIVED, status_reason="old")
    without_mark = rendered.html.split(b"-->", 1)[1]
    digest = hashlib.sha256(without_mark + rendered.json).hexdigest()[:16]
    assert (RENDER_VERSION, digest) == (
        1,
        "3034eacd773f8f82",
    )  # raise FORM in site.pages together with this digest


def test_the_project_list_has_every_project() -> None:
    rendered = render_project_list(["alpha", "beta-2"])
    page = Reader(rendered.html)
    hrefs = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert hrefs == ["alpha/", "beta-2/"]
    assert json.loads(rendered.json) == {
        "meta": {"api-version": "1.4"},
        "projects": [{"name": "alpha"}, {"name": "beta-2"}],
    }
