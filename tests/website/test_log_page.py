"""The pages of failed builds' logs: numbered lines, the deciding one, size, writing."""

import gzip
from io import BytesIO
from pathlib import Path

import pytest
from msgspec.structs import replace

from piwheels.model import FailureCause, FailureClass, Outcome
from piwheels.webroot import Webroot
from piwheels.website import assets, feeds
from piwheels.website.log_excerpt import (
    FIRST_LINES,
    LAST_LINES,
    LINES_AFTER,
    LINES_BEFORE,
    MAX_WHOLE_LINES,
    LogExcerpt,
    read_excerpt,
)
from piwheels.website.log_page import FailedBuild, render_log, write_log_pages
from piwheels.website.project_page import render_project
from piwheels.website.project_writer import write_directories
from tests.website.factories import (
    CP311,
    HOSTILE,
    SITE,
    a_cause,
    a_project,
    a_release,
    a_target,
    an_ended_build,
    assert_harmless,
)

PAGE = "logs/0000/0008/8.html"


def failed_build(line: int = 3, **facts: str) -> FailedBuild:
    known = {
        "project": "demo",
        "version": "1.0",
        "target": CP311,
        "outcome": "failed",
        "reason": "fatal error: libpq-fe.h: No such file or directory",
    }
    cause = FailureCause(failure_class=FailureClass.MISSING_PACKAGE, line_number=line)
    return FailedBuild(build_id=8, cause=cause, **(known | facts))


def excerpt_of(text: str, line: int = 0) -> LogExcerpt:
    return read_excerpt(BytesIO(text.encode()), line)


def page_of(text: str, build: FailedBuild | None = None) -> bytes:
    build = build or failed_build()
    return render_log(SITE, build, excerpt_of(text, build.deciding_line))


@pytest.fixture
def webroot(tmp_path: Path) -> Webroot:
    return Webroot(tmp_path)


def store_log(webroot: Webroot, text: str) -> None:
    path = webroot.log_path(8)
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def test_lines_are_numbered_and_the_deciding_one_is_marked() -> None:
    reader = assert_harmless(page_of("one\ntwo\nlibpq-fe.h: No such file\nfour\n"))
    items = list(reader.all("li"))
    assert [item["id"] for item in items if "id" in item] == ["L1", "L2", "L3", "L4"]
    assert [item["id"] for item in items if item.get("class") == "deciding"] == ["L3"]
    assert {"#L3", "#L4", "8.txt", "../../../project/demo/"} <= set(reader.links())


@pytest.mark.parametrize("line", [0, 9])
def test_nothing_is_marked_if_the_deciding_line_is_unknown_or_not_there(line: int) -> None:
    page = page_of("one\ntwo\n", failed_build(line))
    assert b"deciding" not in page
    assert f"#L{line}" not in assert_harmless(page).links()


def test_hostile_text_of_a_log_and_of_its_build_is_harmless() -> None:
    build = replace(failed_build(1), version=HOSTILE, reason=HOSTILE, cause=a_cause(HOSTILE))
    page = page_of(HOSTILE.replace("\n", "") + "\n\x1b]8;;javascript:alert(1)\x07link\n", build)
    text = assert_harmless(page).text
    assert "<script>alert(1)</script>" in text
    assert "\x1b" not in text


def test_a_line_is_shown_as_a_terminal_would_show_it() -> None:
    excerpt = excerpt_of(
        "\x1b[31mred\x1b[0m\n10 %\r100 %\r\n\ttab\n\udcff".replace("\udcff", "\xff")
    )
    assert list(excerpt.lines.values()) == ["red", "100 %", "        tab", "\xff"]


def test_a_long_log_is_shown_in_parts() -> None:
    excerpt = excerpt_of("".join(f"line {n}\n" for n in range(1, 200_001)), 120_000)
    ranges = [(part[0][0], part[-1][0]) for part in excerpt.parts]
    assert ranges == [
        (1, FIRST_LINES),
        (120_000 - LINES_BEFORE, 120_000 + LINES_AFTER),
        (200_001 - LAST_LINES, 200_000),
    ]
    assert excerpt.lines[120_000] == "line 120000"
    page = render_log(SITE, failed_build(120_000), excerpt)
    assert len(page) < 200_000
    assert "Lines 201 to 118,999 are only in" in assert_harmless(page).text


def test_a_short_log_is_shown_whole() -> None:
    excerpt = excerpt_of("x\n" * MAX_WHOLE_LINES)
    assert (len(excerpt.lines), len(excerpt.parts)) == (MAX_WHOLE_LINES, 1)


@pytest.mark.parametrize("line", ["x" * 3000, "<&\"'" * 3000, "\U0001f600" * 3000])
def test_the_size_of_a_page_is_limited(line: str) -> None:
    page = page_of(f"{line}\n" * 4000)
    assert len(page) < 3_000_000
    assert len(page_of(line * 1000)) < 20_000


def test_a_page_is_written_once_and_again_for_another_line(webroot: Webroot) -> None:
    store_log(webroot, "one\ntwo\nthree\n")
    assert write_log_pages(webroot, SITE, [failed_build(), failed_build()]) == 1
    assert write_log_pages(webroot, SITE, [failed_build()]) == 0
    page = gzip.decompress(webroot.log_page_path(8).read_bytes())
    assert b'id="L3" class="deciding"' in page
    assert write_log_pages(webroot, SITE, [failed_build(line=2)]) == 1
    assert b'id="L2" class="deciding"' in gzip.decompress(webroot.log_page_path(8).read_bytes())
    assert sorted(path.name for path in webroot.log_path(8).parent.iterdir()) == [
        "8.html.gz",
        "8.txt.gz",
    ]


def test_a_page_is_written_again_for_another_style(
    webroot: Webroot, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_log(webroot, "one\n")
    assert write_log_pages(webroot, SITE, [failed_build()]) == 1
    newer = dict(assets.hashed_names()) | {"style.css": "style.other.css"}
    monkeypatch.setattr(assets, "hashed_names", lambda: newer)
    assert write_log_pages(webroot, SITE, [failed_build()]) == 1


def test_a_build_without_a_log_has_no_page_and_a_damaged_log_is_empty(webroot: Webroot) -> None:
    assert write_log_pages(webroot, SITE, [failed_build()]) == 0
    store_log(webroot, "x" * 1000)
    webroot.log_path(8).write_bytes(webroot.log_path(8).read_bytes()[:20])
    assert write_log_pages(webroot, SITE, [failed_build()]) == 1
    assert b"The log is empty" in gzip.decompress(webroot.log_page_path(8).read_bytes())


def test_a_project_page_links_to_the_deciding_line_and_the_page_is_there(webroot: Webroot) -> None:
    store_log(webroot, "line\n" * 300)
    failed = a_target(
        last_build_id=8,
        last_outcome=Outcome.FAILED,
        last_reason="libpq-fe.h: No such file",
        last_final=True,
        last_cause=a_cause("header libpq-fe.h", packages=("libpq-dev",)),
    )
    ended = an_ended_build(build_id=8, outcome="failed", files=(), cause=a_cause())
    content = a_project(a_release("1.0", failed), builds=(ended,))
    reader = assert_harmless(render_project(SITE, content)["index.html"])
    # The matrix, the sentence below it, and the table of builds.
    assert reader.links().count(f"../../{PAGE}#L231") == 3
    assert write_directories(webroot, SITE, {"demo": content}) == {}
    assert b'id="L231" class="deciding"' in gzip.decompress(webroot.log_page_path(8).read_bytes())


def test_a_feed_links_to_the_page_of_a_failed_build_and_to_the_text_of_others() -> None:
    failed = an_ended_build(build_id=8, outcome="failed", files=(), cause=a_cause())
    feed = feeds.failures_feed(SITE, [failed, an_ended_build()]).decode()
    assert f'type="text/html" href="{SITE.url}{PAGE}#L231"' in feed
    assert f'type="text/plain" href="{SITE.url}logs/0000/0007/7.txt"' in feed
