"""Pages of projects: states, hostile text, many releases."""

import json
import re
from datetime import date, timedelta
from html import unescape
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import msgspec
import pytest

from piwheels.model import (
    ExpectedWait,
    JobsAhead,
    Outcome,
    Patch,
    ProjectStatus,
    Recipe,
    RecipeOrigin,
    ReleaseStatusRow,
    TargetStatusRow,
    UpstreamPage,
)
from piwheels.release_status import StatusContext
from piwheels.website import json_documents
from piwheels.website.page_data import Site
from piwheels.website.project_page import (
    FIRST_PAGE_RELEASES,
    LATER_PAGE_RELEASES,
    render_alias,
    render_project,
)
from tests.website.factories import (
    CP311,
    CP313,
    HOSTILE,
    NOW,
    SHOWN,
    SITE,
    Reader,
    a_cause,
    a_project,
    a_release,
    a_reproduction,
    a_target,
    a_wheel,
    an_ended_build,
    assert_harmless,
    built_project,
    hostile_project,
    project_facts,
)

ATOM = "{http://www.w3.org/2005/Atom}"
CONTENTS = [a_project(), a_project(a_release()), built_project(), hostile_project()]


def page(content: object = None) -> Reader:
    return assert_harmless(render_project(SITE, content or built_project())["index.html"])  # type: ignore[arg-type]


def cell(target: object, **circumstances: object) -> str:
    """A cell of the table as one line."""
    known: dict[str, object] = {"served_targets": frozenset({CP311, CP313})}
    content = a_project(
        a_release("1.0", target),  # type: ignore[arg-type]
        files=(a_wheel(),),
        status_context=StatusContext(**(known | circumstances)),  # type: ignore[arg-type]
    )
    text = render_project(SITE, content)["index.html"].decode()
    grid = text[text.index("<tbody>") : text.index("</tbody>")]
    return " ".join(re.sub(r"<[^>]*>", " ", grid[grid.index("<td>") :]).split())


# --- failures in words ---

LIBPQ = a_cause("header libpq-fe.h", packages=("libpq-dev",))
LIBPQ_TEXT = "libpq-fe.h (header) is missing; Debian has it in libpq-dev"
LIBPQ_LINE = "a.c:1:10: fatal error: libpq-fe.h: No such file or directory"


def lacking_libpq(**facts: Any) -> TargetStatusRow:
    """A target whose last build lacked a header."""
    return a_target(
        last_build_id=5,
        last_outcome=Outcome.FAILED,
        last_reason=LIBPQ_LINE,
        last_cause=LIBPQ,
        **facts,
    )


def test_a_failed_target_tells_what_was_missing_and_what_follows() -> None:
    failed = lacking_libpq(last_final=True)
    assert cell(failed) == f"failed , log of build 5 {LIBPQ_TEXT}"
    text = " ".join(page(a_project(a_release("1.0", failed))).text.split())
    assert (
        f"Build 5 failed: {LIBPQ_TEXT} (line 231 of its log: "
        f"{LIBPQ_LINE}); final: no package is known that helps" in text
    )


def test_a_deferred_target_tells_what_its_retry_does() -> None:
    content = a_project(a_release("1.0", lacking_libpq(retry_at=NOW, queued=True)))
    text = " ".join(page(content).text.split())
    assert "it is retried after 2026-11-25 16:40 UTC: the farm adds the package, or finds" in text


def test_the_json_has_the_class_what_was_missing_and_the_next_step() -> None:
    content = a_project(a_release("1.0", lacking_libpq(last_final=True)))
    document = json.loads(render_project(SITE, content)["v1.json"])
    failure = document["releases"][0]["targets"][CP311]["failure"]
    assert failure.pop("next_step").startswith("final: ")
    assert failure == {
        "class": "missing-package",
        "text": LIBPQ_TEXT,
        "reason": LIBPQ_LINE,
        "missing": ["header libpq-fe.h"],
        "packages": ["libpq-dev"],
        "log_line": 231,
    }


def test_the_table_of_builds_and_the_feed_tell_why_a_build_failed() -> None:
    failed = an_ended_build(
        outcome="failed", reason=LIBPQ_LINE, files=(), cause=LIBPQ, will_retry=False
    )
    content = a_project(builds=(failed,))
    assert LIBPQ_TEXT in page(content).text
    (entry,) = ET.fromstring(render_project(SITE, content)["feed.atom"]).findall(f"{ATOM}entry")
    summary = entry.findtext(f"{ATOM}summary") or ""
    assert summary.startswith(f"{LIBPQ_TEXT} (line 231")
    assert "). Final: no package is known that helps" in summary
    terms = [category.get("term") for category in entry.findall(f"{ATOM}category")]
    assert terms == ["failed", "missing-package"]


# --- recipes ---


def test_the_page_and_the_json_have_the_recipes_of_a_project() -> None:
    written = Recipe(
        project="demo",
        constraints=("cython<3",),
        tools_date=date(2021, 8, 1),
        environment=(("CFLAGS", "-O1"),),
        patches=(Patch(name="gcc.patch", sha256="ab" * 32, text="a patch"),),
        time_limit_s=7200.0,
        contact="wheels@example.org",
    )
    learned = Recipe(
        project="demo", origin=RecipeOrigin.LEARNED, packages=("libpq-dev",), learned_at=NOW
    )
    content = a_project(recipes=(written, learned))
    text = " ".join(page(content).text.split())
    for told in (
        "The operators of this farm wrote what builds of this project need",
        "cython<3", "2021-08-01", "CFLAGS=-O1", f"gcc.patch sha256 {'ab' * 32}", "2h",
        "wheels@example.org",
        "The farm learned from builds on 25 November 2026 what this project needs", "libpq-dev",
    ):  # fmt: skip
        assert told in text
    first, second = json.loads(render_project(SITE, content)["v1.json"])["recipes"]
    assert first["tools_date"] == "2021-08-01"
    assert first["patches"] == [{"name": "gcc.patch", "sha256": "ab" * 32}]
    assert (first["contact"], first["environment"]) == ("wheels@example.org", {"CFLAGS": "-O1"})
    assert (second["origin"], second["packages"]) == ("learned", ["libpq-dev"])
    assert second["learned_at"] == "2026-11-25T16:40:00Z"


def test_a_mirrored_wheel_is_shown_as_the_upstreams_without_a_log() -> None:
    origin, attestations = "https://upstream.example/demo.whl", "https://upstream.example/attested"
    wheel = a_wheel(mirrored_from=origin, attestations_url=attestations)
    target = a_target(CP311, covered_by=wheel.filename, is_mirrored=True)
    content = a_project(a_release("1.0", target), files=(wheel,))
    rendered = render_project(SITE, content)
    reader = page(content)
    assert "from the upstream index, as it is" in reader.text
    assert "build log" not in reader.text
    assert {origin, attestations} <= set(reader.links())
    document = json.loads(rendered["v1.json"])
    (file,) = document["releases"][0]["files"]
    assert (file["mirrored_from"], file["attestations_url"]) == (origin, attestations)
    assert file["log_url"] is None
    assert file["provenance_url"] is None


def test_a_project_without_recipes_shows_none() -> None:
    assert "Recipe" not in page(built_project()).text


# --- the page ---


def test_the_commands_name_the_index_and_the_project() -> None:
    text = page().text
    assert "pip install --extra-index-url https://wheels.example.org/simple/ demo" in text
    assert (
        "--index-strategy unsafe-best-match --index https://wheels.example.org/simple/ demo" in text
    )


def needing(target: str, *packages: str, packages_target: str = "") -> TargetStatusRow:
    """A target whose wheel needs Debian packages."""
    return a_target(
        target,
        covered_by=a_wheel().filename,
        debian_packages=packages,
        packages_target=packages_target or target,
    )


def apt_lines(*targets: TargetStatusRow) -> list[str]:
    content = a_project(a_release("1.0", *targets), files=(a_wheel(),))
    return re.findall(r"sudo apt install [a-z0-9 ]+", page(content).text)


def test_the_debian_packages_of_the_newest_wheels_are_shown() -> None:
    lines = apt_lines(needing(CP311, "libfoo1", "libbar2"), needing(CP313, "libfoo1"))
    assert lines == ["sudo apt install libfoo1", "sudo apt install libbar2 libfoo1"]


def test_debian_packages_are_shown_for_each_platform() -> None:
    """A name that one release of Debian does not have makes a common command fail there."""
    old, new = "cp311-bookworm-aarch64", "cp313-trixie-aarch64"
    lines = apt_lines(needing(old, "libssl3"), needing(new, "libssl3t64"))
    assert lines == ["sudo apt install libssl3t64", "sudo apt install libssl3"]


def test_a_wheel_built_on_another_platform_shows_no_debian_packages() -> None:
    assert (
        apt_lines(
            needing("cp313-trixie-aarch64", "libssl3", packages_target="cp311-bookworm-aarch64")
        )
        == []
    )


def packages_of_file(*targets: TargetStatusRow) -> str:
    wheel = a_wheel(debian_packages=("libssl3",))
    content = a_project(a_release("1.0", *targets), files=(wheel,))
    html = render_project(SITE, content)["index.html"].decode()
    (text,) = re.findall(r"<dt>Debian packages</dt><dd>(.*?)</dd>", html)
    return str(text)


def test_the_packages_of_a_file_are_those_of_the_apt_line() -> None:
    """A wheel that was built on bookworm needs them by other names on trixie."""
    old, new = "cp311-bookworm-aarch64", "cp313-trixie-aarch64"
    assert packages_of_file(needing(new, "libssl3t64")) == "libssl3t64"
    assert packages_of_file(needing(old, "libssl3"), needing(new, "libssl3t64")) == (
        "libssl3 (Raspberry Pi OS 12 (bookworm), 64-bit); "
        "libssl3t64 (Raspberry Pi OS 13 (trixie), 64-bit)"
    )
    unknown = needing(new, "libssl3", packages_target=old)
    assert packages_of_file(unknown) == packages_of_file(a_target(CP313)) == "libssl3"


def test_what_a_wheel_lacks_is_shown() -> None:
    lacks = "the wheel lacks demo._fast, which the upstream's demo-1.0.whl has"
    assert "lacks demo._fast" in cell(
        a_target(CP311, covered_by=a_wheel().filename, build_note=lacks)
    )


@pytest.mark.parametrize(
    ("known", "requirement"), [(False, "demo==1.0"), (True, "demo")], ids=["absent", "here"]
)
def test_commands_name_the_version_if_installers_would_choose_one_that_is_not_here(
    known: bool, requirement: str
) -> None:
    seen = UpstreamPage(
        newest_version="1.0" if known else "2.0",
        newest_at=NOW,
        newest_has_sdist=True,
        newest_known=known,
    )
    built = a_release("1.0", a_target(covered_by=a_wheel().filename))
    content = a_project(facts=project_facts(built, upstream=seen), files=(a_wheel(),))
    text = page(content).text
    # One platform has one set of commands.
    assert text.count("pip install --extra-index-url") == 1
    assert f"pip install --extra-index-url {SITE.url}simple/ {requirement}Copy" in text
    assert ("The newest release, 2.0, is not in this farm." in text) is not known


@pytest.mark.parametrize(
    ("upstream", "message"),
    [
        ({"newest_version": "1.0", "newest_known": True}, "Newest release: 1.0, 2026-11-25."),
        ({"newest_version": "2.0"}, "Newest release: 2.0, 2026-11-25 (not in this farm)."),
        ({"newest_version": None}, "All releases on the upstream index are yanked"),
        (None, "Newest release in this farm: 1.0."),
    ],
)
def test_the_newest_release_is_that_of_the_upstream_index(
    upstream: dict[str, Any] | None, message: str
) -> None:
    known: dict[str, Any] = {"newest_at": NOW, "newest_has_sdist": True}
    seen = upstream and UpstreamPage(**(known | upstream))
    content = a_project(facts=project_facts(a_release("1.0", yanked="bad"), upstream=seen))
    assert message in page(content).text
    document = json.loads(render_project(SITE, content)["v1.json"])
    assert document["upstream_newest"] == (upstream or {}).get("newest_version")
    assert document["upstream_newest_known"] is bool((upstream or {}).get("newest_known"))


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (
            a_target(covered_by=a_wheel().filename, last_build_id=7, last_outcome=Outcome.BUILT),
            "wheel log of build 7",
        ),
        (a_target(covered_by=a_wheel().filename), "wheel cp311-cp311-linux_aarch64"),
        (
            a_target(claimed_by="pi4", claimed_at=NOW, current_build_id=9, queued=True),
            "building since 2026-11-25 16:40",
        ),
        (a_target(queued=True), "queued position 1"),
        (
            a_target(queued=True, expected=ExpectedWait(latest_s=1800.0)),
            "queued position 1, expected by 2026-11-25 18:00 UTC",
        ),
        (
            a_target(queued=True, jobs_ahead=JobsAhead(least=240, most=240)),
            "queued about 240 jobs ahead",
        ),
        (
            a_target(
                queued=True,
                jobs_ahead=JobsAhead(least=40_124, most=61_870),
                expected=ExpectedWait(soonest_s=86_400.0, latest_s=345_600.0),
            ),
            "queued 40,000 to 62,000 jobs ahead, expected from 2026-11-26 to 2026-11-29",
        ),
        (
            a_target(
                retry_at=NOW,
                last_build_id=5,
                last_outcome=Outcome.FETCH_FAILED,
                last_reason="no route",
            ),
            "to be retried , log of build 5 no route",
        ),
        (
            a_target(
                last_build_id=5, last_outcome=Outcome.FAILED, last_reason="no rust", last_final=True
            ),
            "failed , log of build 5 no rust",
        ),
        (a_target(python_allowed=False), "not for this Python"),
        (a_target(), "waiting for an earlier target"),
    ],
)
def test_the_table_shows_the_status_of_a_release_for_a_target(target: object, words: str) -> None:
    assert cell(target).startswith(words)


def test_an_unserved_target_and_a_paused_farm_are_shown() -> None:
    assert "no connected builder" in cell(a_target(queued=True), served_targets=frozenset())
    assert "farm paused" in cell(a_target(queued=True), paused=True)


@pytest.mark.parametrize(
    ("release", "facts", "word", "reason"),
    [
        (a_release(skip_reason="broken"), {}, "skipped", "The release is skipped: broken."),
        (
            a_release(),
            {"skip_reason": "opted out"},
            "skipped",
            "The project is skipped: opted out.",
        ),
        (a_release(has_sdist=False), {}, "no source", "no sdist of it"),
        (
            a_release(),
            {"status": ProjectStatus.QUARANTINED, "status_reason": "malware"},
            "quarantined",
            "(malware)",
        ),
        (a_release(yanked="wrong"), {}, "yanked", "This release was yanked upstream: wrong"),
    ],
)
def test_what_blocks_a_whole_release_is_shown_with_its_reason(
    release: object, facts: dict[str, str], word: str, reason: str
) -> None:
    text = page(a_project(facts=project_facts(release, **facts))).text  # type: ignore[arg-type]
    assert word in text
    assert reason in " ".join(text.split())


def test_a_quarantined_project_has_no_install_commands() -> None:
    release = a_release("1.0", a_target(covered_by="pkg-1.0-py3-none-any.whl"))
    facts = project_facts(release, status=ProjectStatus.QUARANTINED, status_reason="malware")
    content = a_project(facts=facts, files=(a_wheel(),))
    text = page(content).text
    assert "cannot be installed" in text
    assert "pip install" not in text
    assert "covered" not in text
    assert b'"targets":{}' in json_documents.project_json(SITE, content)


def test_hints_for_operators_are_not_public() -> None:
    failed = a_target(
        last_build_id=5, last_outcome=Outcome.FAILED, last_reason="x", last_final=True
    )
    for content in (a_project(a_release("1.0", failed)), a_project(a_release(skip_reason="no"))):
        assert "piw " not in page(content).text


def test_a_skipped_target_without_builds_has_no_column() -> None:
    idle = a_target(CP313, target_skip_reason="out of use")
    assert "cp313" not in page(a_project(a_release("1.0", a_target(), idle))).text


def test_the_columns_are_platforms_in_words_the_newest_first() -> None:
    shown = page(a_project(a_release("1.0", a_target(), a_target(CP313)))).text
    assert "ReleaseRaspberry Pi OS 13 (trixie), 64-bit\nPython 3.13Python 3.11\n" in shown
    other = "cp313-bookworm-armv7l"
    reader = page(a_project(a_release("1.0", a_target(other), a_target())))
    assert "Raspberry Pi OS 13 (trixie), 64-bitRaspberry Pi OS 12 (bookworm), 32-bit" in reader.text
    (table,) = (item for item in reader.all("table") if "data-targets" in item)
    assert table["data-targets"] == f"{CP311} {other}", "the script finds columns by target"


def test_older_releases_are_folded() -> None:
    releases = [a_release(f"{number}.0", a_target()) for number in range(12, 0, -1)]
    text = page(a_project(*releases)).text
    assert text.index("3.02026") < text.index("2 older releases") < text.index("\n2.02026")
    assert "older" not in page(a_project(*releases[:10])).text


def test_the_matrix_is_above_the_downloads() -> None:
    text = page().text
    assert text.index("Releases by platform") < text.index("Downloads per day")


def test_yanked_releases_and_prereleases_are_marked() -> None:
    text = page(a_project(a_release("2.0rc1"), a_release("1.0", yanked="bad"))).text
    assert "2026-11-25 pre-release" in text
    assert "2026-11-25 yanked" in text


def choices(*releases: ReleaseStatusRow) -> dict[str, str]:
    """What each platform's fold says, by its summary."""
    wheels = tuple(a_wheel(release.version) for release in releases)
    html = render_project(SITE, a_project(*releases, files=wheels))["index.html"].decode()
    folds = re.findall(r'<details class="fold choice".*?</details>', html, re.DOTALL)
    lines = [unescape(re.sub(r"<[^>]*>", "", fold)).split("\n", 2)[1:] for fold in folds]
    return {summary: " ".join(text.split()) for summary, text in lines}


def test_a_yanked_release_with_all_its_wheels_lacks_none() -> None:
    built = a_target(covered_by=a_wheel().filename, last_build_id=7, last_outcome=Outcome.BUILT)
    yanked = a_release("1.0", built, yanked="bad")
    text = page(a_project(yanked, files=(a_wheel(),))).text
    assert "Why a wheel is missing" not in text
    assert "Yanked releases" in text
    assert (
        "Why a wheel is missing"
        in page(
            a_project(
                a_release("1.0", yanked="bad"),
                a_release(
                    "0.9",
                    a_target(
                        python_allowed=True,
                        last_final=True,
                        last_build_id=5,
                        last_outcome=Outcome.FAILED,
                    ),
                ),
            )
        ).text
    )


def test_a_platform_gets_the_newest_release_with_a_wheel_there() -> None:
    failed = a_target(CP313, last_build_id=5, last_outcome=Outcome.FAILED, last_final=True)
    found = choices(
        a_release("3.0rc1", a_target(covered_by="x.whl"), a_target(CP313, covered_by="x.whl")),
        a_release("2.0", a_target(covered_by="y.whl"), failed),
        a_release("1.5", a_target(CP313, covered_by="z.whl"), yanked="bad"),
        a_release("1.0", a_target(covered_by="z.whl"), a_target(CP313, covered_by="z.whl")),
    )
    newest = found["Raspberry Pi OS 13 (trixie), 64-bit, Python 3.11: version 2.0"]
    assert "simple/ demoCopy" in newest
    assert "no wheel" not in newest
    older = found["Raspberry Pi OS 13 (trixie), 64-bit, Python 3.13: version 1.0"]
    assert older.startswith("The newest release, 2.0, has no wheel here: failed (failed)")
    assert older.count("simple/ demo==1.0Copy") == 2


def test_a_platform_without_any_wheel_is_told_so() -> None:
    found = choices(a_release("1.0", a_target(covered_by="x.whl"), a_target(CP313, queued=True)))
    without = found["Raspberry Pi OS 13 (trixie), 64-bit, Python 3.13: no wheel"]
    assert without.startswith("The newest release, 1.0, has no wheel here: queued (position 1")
    assert "pip builds it from source" in without


def test_a_page_says_where_hashes_and_packages_are_and_how_to_verify_and_report_a_file() -> None:
    wheel = a_wheel()
    release = a_release("1.0", a_target(covered_by=wheel.filename), a_target(CP313))
    reader = page(a_project(release, files=(wheel,)))
    assert "system packages, and lines for pipx and requirements with hashes" in reader.text
    assert "requirements.txt with hashes" in reader.text
    assert "any-platform" in [
        text.get("class") for text in reader.all("p")
    ]  # hides it once one is picked
    links = reader.links()
    for question in ("verify", "report"):
        assert f"../../faq.html#{question}" in links


def test_a_file_is_shown_with_its_details() -> None:
    reader = page()
    wheel = a_wheel()
    address = f"../../packages/ab/{wheel.sha256}/{wheel.filename}"
    assert {address, f"{address}.metadata", "../../logs/0000/0007/7.txt"} <= set(reader.links())
    for words in (wheel.sha256, "12.3 kB", wheel.tags, "libfoo1, libbar2", "12 downloads"):
        assert words in reader.text


def test_a_wheel_that_was_built_again_tells_the_result() -> None:
    content = msgspec.structs.replace(
        built_project(), reproductions={a_wheel().filename: a_reproduction()}
    )
    reader = page(content)
    assert "another builder made a wheel with 1 member that differs" in reader.text
    assert "demo.py: line 1: 'a' became 'b'" in reader.text
    assert "secret" not in reader.text, "who asked is not public"
    document = json.loads(render_project(SITE, content)["v1.json"])
    (file,) = document["releases"][0]["files"]
    assert file["reproduction"] == {
        "result": "differs",
        "text": "another builder made a wheel with 1 member that differs",
        "at": "2026-11-25T16:40:00Z",
        "elsewhere": True,
        "rebuilt_sha256": "cd" * 32,
        "differences": [
            {"member": "demo.py", "change": "content", "how": "line 1: 'a' became 'b'"}
        ],
        "unlisted": 0,
    }
    assert (
        json.loads(render_project(SITE, built_project())["v1.json"])["releases"][0]["files"][0][
            "reproduction"
        ]
        is None
    )


def test_downloads_are_charted_with_zero_for_days_without_any() -> None:
    reader = page()
    assert len(list(reader.all("figure"))) == 1
    rows = reader.text[reader.text.index("Downloads per day") :]
    assert all(day in rows for day in ("2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23"))


@pytest.mark.parametrize(
    ("target", "facts", "why"),
    [
        (a_target(python_allowed=False), {}, "exclude every Python of this farm"),
        (a_target(queued=True), {}, "queued, being built or to be retried"),
        (lacking_libpq(last_final=True), {}, "Every build failed so far"),
        (a_target(), {"skip_reason": "too large"}, "the table shows why"),
    ],
)
def test_a_project_without_wheels_tells_why(
    target: TargetStatusRow, facts: dict[str, Any], why: str
) -> None:
    text = page(a_project(a_release("1.0", target, **facts))).text
    assert "There are no wheels " in text
    assert why in text
    assert "build from source: what you can do." in text
    assert "ask the operators" not in text


def test_a_project_without_wheels_can_be_asked_for() -> None:
    site = Site(url=SITE.url, request_url="https://example.org/ask?x=1&y=2")
    content = a_project(facts=project_facts(a_release(), skip_reason="opted out"))
    reader = assert_harmless(render_project(site, content)["index.html"])
    assert "The operators of this farm decided not to build it." in reader.text
    assert "https://example.org/ask?x=1&y=2" in reader.links()


def test_a_project_without_releases_has_a_page() -> None:
    text = page(a_project()).text
    assert "There are no wheels here" in text
    assert "No releases are known yet" in text


@pytest.mark.parametrize("content", CONTENTS)
def test_every_link_within_a_page_has_a_target(content: object) -> None:
    reader = page(content)
    anchors = {attributes.get("id") for _, attributes in reader.elements}
    for link in reader.links():
        if link.startswith("#"):
            assert unescape(link[1:]) in anchors


def test_the_output_does_not_depend_on_the_time() -> None:
    waiting = a_project(a_release("1.0", a_target(claimed_by="pi", claimed_at=NOW, queued=True)))
    later = a_project(
        a_release("1.0", a_target(claimed_by="pi", claimed_at=NOW, queued=True)),
        written_at=NOW + timedelta(hours=5),
    )
    assert render_project(SITE, waiting) == render_project(SITE, later)


# --- many releases ---


def test_a_thousand_releases_are_split_into_pages() -> None:
    releases = [
        a_release(f"{number}.0", a_target(covered_by=f"demo-{number}.0.whl"), a_target(CP313))
        for number in range(1000, 0, -1)
    ]
    files = [
        a_wheel(f"{number}.0", filename=f"demo-{number}.0.whl") for number in range(1000, 0, -1)
    ]
    pages = render_project(SITE, a_project(*releases, files=tuple(files)))
    html = {name: content for name, content in pages.items() if name.endswith(".html")}
    assert len(html) == 1 + -(-(1000 - FIRST_PAGE_RELEASES) // LATER_PAGE_RELEASES)
    assert len(html["index.html"]) < 100_000
    assert max(map(len, html.values())) < 250_000
    shown = "".join(Reader(page).text for page in html.values())
    assert all(f"demo-{number}.0.whl" in shown for number in range(1, 1001))
    assert "1000.0" in Reader(html["index.html"]).text
    links = {link for link in Reader(html["index.html"]).links() if link.startswith("releases-")}
    assert links == html.keys() - {"index.html"}


def test_the_first_page_is_written_last() -> None:
    releases = [a_release(f"{number}.0") for number in range(100, 0, -1)]
    assert list(render_project(SITE, a_project(*releases)))[-1] == "index.html"


# --- text that stays text ---


def test_hostile_text_stays_text_on_every_page_and_in_the_feed() -> None:
    pages = render_project(SITE, hostile_project())
    reader = assert_harmless(pages["index.html"])
    assert SHOWN in reader.text
    assert HOSTILE not in reader.text
    assert "49" not in reader.text.replace("\n", "")
    feed = ET.fromstring(pages["feed.atom"])
    (entry,) = feed.findall(f"{ATOM}entry")
    assert SHOWN in (entry.findtext(f"{ATOM}title") or "")
    assert json.loads(pages["v1.json"])["releases"][0]["yanked_reason"] == HOSTILE


def test_a_long_name_is_shown_and_can_wrap() -> None:
    reader = page(hostile_project())
    assert "x" * 200 in reader.text


def test_an_alias_with_any_name_redirects_to_its_project() -> None:
    reader = assert_harmless(render_alias(SITE, HOSTILE, "demo"))
    (refresh,) = [a for a in reader.all("meta") if a.get("http-equiv") == "refresh"]
    assert refresh["content"] == "0; url=../demo/"
    assert "../demo/" in reader.links()


# --- JSON and feed ---


@pytest.mark.parametrize("content", CONTENTS)
def test_the_json_matches_its_schema(content: object) -> None:
    schema = json_documents.schema(json_documents.ProjectJson)
    document = json.loads(render_project(SITE, content)["v1.json"])  # type: ignore[arg-type]
    validator = jsonschema.Draft202012Validator
    validator.check_schema(schema)
    jsonschema.validate(document, schema, cls=validator)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "releases": 1}, schema, cls=validator)


def test_the_json_has_what_the_page_has() -> None:
    document = json.loads(render_project(SITE, built_project())["v1.json"])
    (release,) = document["releases"]
    assert document["downloads_by_day"] == {"2026-11-20": 2, "2026-11-23": 3}
    assert release["targets"][CP311]["state"] == "covered"
    assert release["targets"][CP313] == {
        "state": "queued",
        "text": "it is queued for this target, position 4",
        "file": None,
        "note": "",
        "build": None,
        "log_url": None,
        "failure": None,
        "ahead": 3,
        "ahead_at_most": 3,
    }
    (file,) = release["files"]
    assert file["url"].startswith("https://wheels.example.org/packages/ab/")
    assert file["log_url"] == "https://wheels.example.org/logs/0000/0007/7.txt"


@pytest.mark.parametrize("content", CONTENTS)
def test_the_feed_is_well_formed_atom(content: object) -> None:
    feed = ET.fromstring(render_project(SITE, content)["feed.atom"])  # type: ignore[arg-type]
    assert feed.tag == f"{ATOM}feed"
    for element in (feed, *feed.findall(f"{ATOM}entry")):
        for tag in ("id", "title", "updated"):
            assert element.findtext(f"{ATOM}{tag}")
    ids = [entry.findtext(f"{ATOM}id") for entry in feed.findall(f"{ATOM}entry")]
    assert len(ids) == len(set(ids))


def test_a_feed_entry_has_the_result_of_a_build() -> None:
    failed = an_ended_build(outcome="failed", reason="no rust", files=())
    feed = ET.fromstring(render_project(SITE, a_project(builds=(failed,)))["feed.atom"])
    (entry,) = feed.findall(f"{ATOM}entry")
    assert entry.findtext(f"{ATOM}title") == (
        "demo 1.0 for Raspberry Pi OS 13 (trixie), 64-bit, Python 3.11: failed"
    )
    assert entry.findtext(f"{ATOM}summary") == "no rust. Duration: 1 minute 15 seconds."
    assert feed.findtext(f"{ATOM}updated") == "2026-11-25T16:40:00Z"
