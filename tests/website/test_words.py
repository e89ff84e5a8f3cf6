"""Words on pages: no codes of failure classes, outcomes and states, which are for programs."""

import re
from itertools import chain
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from piwheels.causes.class_texts import CLASS_TEXTS
from piwheels.causes.outcome_texts import OUTCOME_TEXTS, outcome_label, outcome_verb
from piwheels.model import FailureCause, FailureClass, Outcome
from piwheels.website import log_page, site_pages
from piwheels.website.log_excerpt import LogExcerpt
from piwheels.website.project_page import render_project
from tests.website.codes import codes_in
from tests.website.factories import (
    CP311,
    NOW,
    SITE,
    Reader,
    a_home,
    a_project,
    a_release,
    a_target,
    an_ended_build,
)

ATOM = "{http://www.w3.org/2005/Atom}"
FAILURES = [outcome for outcome in Outcome if outcome is not Outcome.BUILT]
#: What a target without a wheel can be, and a release.
TARGETS: list[dict[str, Any]] = [
    {"last_final": True},
    {"retry_at": NOW, "queued": True},
    {"queued": True},
    {"queued": True, "needs_compiler": True},
    {"hold_reason": "it filled the disk", "queued": True},
    {"claimed_by": "pi4", "claimed_at": NOW, "current_build_id": 9, "queued": True},
    {"python_allowed": False},
    {"upstream_wheel": "demo-1.0-py3-none-any.whl"},
    {"upstream_wheel": "demo-1.0-py3-none-any.whl", "to_be_mirrored": True},
    {"target_skip_reason": "no need"},
    {"skip_reason": "too large"},
    {},
]
RELEASES: list[dict[str, Any]] = [
    {"has_sdist": False},
    {"missing_since": NOW},
    {"skip_reason": "too large"},
    {"yanked": "broken"},
]


def words_of(pages: dict[str, bytes]) -> str:
    """All that people read on pages and in feeds."""
    texts = [Reader(content).text for name, content in pages.items() if name.endswith(".html")]
    feeds = (ET.fromstring(content) for name, content in pages.items() if name.endswith(".atom"))
    entries = chain.from_iterable(feed.findall(f"{ATOM}entry") for feed in feeds)
    told = [
        entry.findtext(f"{ATOM}{tag}") or "" for entry in entries for tag in ("title", "summary")
    ]
    return "\n".join([*texts, *told])


@pytest.mark.parametrize("failure_class", list(FailureClass))
def test_a_failure_class_has_words(failure_class: FailureClass) -> None:
    assert CLASS_TEXTS[failure_class].cause
    assert codes_in(CLASS_TEXTS[failure_class].cause) == []


@pytest.mark.parametrize("outcome", list(Outcome))
def test_an_outcome_has_words(outcome: Outcome) -> None:
    texts = OUTCOME_TEXTS[outcome]
    assert texts.label
    assert codes_in(f"{texts.label} {texts.verb}") == []


def test_an_outcome_of_a_later_version_stays_as_it_is() -> None:
    assert outcome_label("melted") == "melted"
    assert outcome_verb("melted") == "ended as melted"


@pytest.mark.parametrize("outcome", FAILURES)
def test_no_page_shows_the_code_of_an_outcome(outcome: Outcome) -> None:
    build = an_ended_build(outcome=str(outcome), reason="", files=(), will_retry=False)
    target = a_target(last_build_id=7, last_outcome=outcome, last_reason="", last_final=True)
    pages = render_project(SITE, a_project(a_release("1.0", target), builds=(build,)))
    words = words_of(pages) + words_of(site_pages.home_pages(SITE, a_home(recent=(build,))))
    assert codes_in(words) == []
    assert words.count(OUTCOME_TEXTS[outcome].label) >= 3, "home page, table and feed"
    assert f"Build 7 {OUTCOME_TEXTS[outcome].verb}" in " ".join(words.split())


@pytest.mark.parametrize("state", TARGETS, ids=str)
def test_no_page_shows_the_code_of_a_class_or_state(state: dict[str, Any]) -> None:
    releases, builds = [], []
    for number, failure_class in enumerate(FailureClass):
        cause = FailureCause(failure_class=failure_class, line_number=3)
        failed = {"outcome": "failed", "reason": "it broke", "files": (), "will_retry": True}
        builds.append(an_ended_build(cause=cause, **failed))
        known: dict[str, Any] = {
            "last_build_id": 7,
            "last_outcome": Outcome.FAILED,
            "last_reason": "it broke",
        }
        target = a_target(**(known | {"last_cause": cause} | state))
        releases.append(a_release(f"1.{number}", target))
    content = a_project(*releases, builds=tuple(builds))
    assert codes_in(words_of(render_project(SITE, content))) == []
    logs = [
        log_page.render_log(SITE, build, LogExcerpt(lines={}, total=0))
        for build in log_page.linked_builds(content)
    ]
    assert codes_in("\n".join(Reader(log).text for log in logs)) == []


@pytest.mark.parametrize("release", RELEASES, ids=str)
def test_no_page_shows_the_code_of_what_blocks_a_release(release: dict[str, Any]) -> None:
    content = a_project(a_release("1.0", a_target(), **release))
    assert codes_in(words_of(render_project(SITE, content))) == []


def test_no_page_names_a_target_by_its_code() -> None:
    pages = render_project(SITE, a_project(a_release(), builds=(an_ended_build(),)))
    assert not re.search(rf"\b{CP311}\b", words_of(pages))
