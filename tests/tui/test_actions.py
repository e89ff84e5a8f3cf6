"""The list of all actions, and what each of them sends."""

from collections import Counter
from dataclasses import replace

import pytest
from textual.theme import BUILTIN_THEMES

from piwheels.protocol.messages import (
    Body,
    Order,
    OrderBuilders,
    Pause,
    Prioritise,
    Quit,
    Resume,
    Retry,
    Skip,
)
from piwheels.tui.actions import (
    ACTIONS,
    BY_NAME,
    PLACES,
    Asks,
    Needs,
    Subject,
    clash,
    key_texts,
    shown_on,
    wrong_keys,
)
from piwheels.tui.orders import commands, objection, question, still_so, told_too_late
from piwheels.tui.themes import THEMES

BUSY = Subject(
    key="pi1",
    name="pi1",
    builder="pi1",
    build=7,
    in_hand=True,
    project="numpy",
    version="2.1",
    target="cp313-trixie-aarch64",
    stake="14m 00s of numpy 2.1",
)
IDLE = Subject(key="pi2", name="pi2", builder="pi2")
EVERYONE = frozenset({"pi1", "pi2", "pi3"})

SENT: dict[str, Body] = {
    "pause": Pause(),
    "resume": Resume(),
    "quit_master": Quit(),
    "sleep": OrderBuilders(order=Order.SLEEP, builders=("pi1",)),
    "sleep_now": OrderBuilders(order=Order.SLEEP, builders=("pi1",), at_once=True),
    "wake": OrderBuilders(order=Order.WAKE, builders=("pi1",)),
    "skip_build": OrderBuilders(order=Order.SKIP, builders=("pi1",)),
    "drain": OrderBuilders(order=Order.DRAIN, builders=("pi1",)),
    "drain_rolling": OrderBuilders(order=Order.DRAIN, builders=("pi1",), rolling=2),
    "kill": OrderBuilders(order=Order.KILL, builders=("pi1",)),
    "retry": Retry(project="numpy", version="2.1", target="cp313-trixie-aarch64"),
    "skip_project": Skip(project="numpy", reason="2"),
    "unskip_project": Skip(project="numpy", reason=None),
    "raise_priority": Prioritise(project="numpy", version="2.1", by_s=7200.0),
    "usual_priority": Prioritise(project="numpy", version="2.1", by_s=0.0),
}
CHANGING = [action.name for action in ACTIONS if action.changes]


@pytest.mark.parametrize("name", CHANGING)
def test_an_action_sends_what_it_is_for(name: str) -> None:
    ((body, what),) = commands(BY_NAME[name], [BUSY], "2")
    assert body == SENT[name]
    assert what.startswith(BY_NAME[name].label.lower())


def test_an_order_to_several_builders_is_one_command() -> None:
    ((body, what),) = commands(BY_NAME["drain"], [BUSY, IDLE])
    assert body == OrderBuilders(order=Order.DRAIN, builders=("pi1", "pi2"))
    assert what == "drain pi1, pi2"


def test_rows_of_one_release_give_one_command_for_each_target() -> None:
    other = Subject(key="8", name="", project="numpy", version="2.1", target="cp311-trixie-aarch64")
    assert len(commands(BY_NAME["retry"], [BUSY, other, BUSY])) == 2
    assert len(commands(BY_NAME["skip_project"], [BUSY, other], "broken")) == 1


# --- what is asked first ---


def asks(name: str, *subjects: Subject, hidden: int = 0) -> bool:
    found = question(BY_NAME[name], subjects, hidden=hidden, everyone=EVERYONE)
    return found is not None


def test_only_what_loses_work_or_is_done_to_many_asks() -> None:
    assert not asks("pause")
    assert not asks("drain", BUSY)
    assert not asks("sleep_now", IDLE)
    assert asks("sleep_now", BUSY)
    assert asks("skip_build", BUSY)
    assert asks("kill", IDLE)
    assert asks("quit_master")
    assert asks("drain", BUSY, IDLE)
    assert asks("drain", BUSY, hidden=1)


def test_what_loses_something_says_what_and_asks() -> None:
    losing = [action for action in ACTIONS if action.loses]
    assert {action.name for action in losing} == {"kill", "skip_build", "sleep_now", "quit_master"}
    assert all(action.asks is not Asks.NEVER and action.changes for action in losing)


def test_a_question_keeps_its_subjects_and_names_what_would_be_lost() -> None:
    asked = question(BY_NAME["kill"], [BUSY, IDLE], hidden=1, everyone=EVERYONE)
    assert asked is not None
    assert asked.subjects == (BUSY, IDLE)
    assert asked.targets == ("pi1: 14m 00s of numpy 2.1", "pi2")
    assert asked.title == "Kill 2 builders?"
    assert asked.hidden == 1


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("skip_project", "Skip project numpy?"),
        ("raise_priority", "Sooner numpy 2.1?"),
        ("skip_build", "Skip build pi1?"),
    ],
)
def test_a_question_names_what_it_is_done_to(name: str, title: str) -> None:
    asked = question(BY_NAME[name], [BUSY], everyone=EVERYONE)
    assert asked is not None
    assert asked.title == title
    assert len(asked.targets) == 1


def test_a_project_is_named_once_however_many_of_its_rows_are_marked() -> None:
    other = Subject(key="8", name="", project="numpy", version="2.2", target="cp311")
    asked = question(BY_NAME["skip_project"], [BUSY, other], everyone=EVERYONE)
    assert asked is not None
    assert (asked.title, asked.targets) == ("Skip project numpy?", ("numpy",))
    again = question(BY_NAME["retry"], [BUSY, other], everyone=EVERYONE)
    assert again is not None
    assert again.title == "Retry 2 releases?"


def test_the_word_is_wanted_for_all_builders_and_for_the_master_alone() -> None:
    def word(name: str, *subjects: Subject) -> str:
        asked = question(BY_NAME[name], subjects, everyone=EVERYONE)
        return asked.word if asked else "not asked"

    third = Subject(key="pi3", name="pi3", builder="pi3")
    assert word("kill", BUSY, IDLE) == ""
    assert word("kill", BUSY, IDLE, third) == "kill"
    assert word("quit_master") == "quit"
    assert word("skip_build", BUSY, IDLE, third) == ""


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("drain_rolling", ["", "0", "-1", "two", "1.5", "1001", "9" * 5000], "3"),
        ("raise_priority", ["", "0", "-4", "soon", "nan", "1e9"], "1.5"),
        ("skip_project", ["", "  "], "does not build on ARM"),
    ],
)
def test_what_makes_no_sense_is_objected_to(name: str, wrong: list[str], right: str) -> None:
    assert all(objection(BY_NAME[name], answer) for answer in wrong)
    assert objection(BY_NAME[name], right) == ""


# --- keys ---


def test_no_screen_has_two_actions_on_one_key() -> None:
    for place in (*PLACES, "fates"):
        here = Counter(
            key for action in shown_on(place) if action.screens for key in action.keys.split(",")
        )
        anywhere = Counter(
            key for action in ACTIONS if not action.screens for key in action.keys.split(",")
        )
        assert max(here.values(), default=0) <= 1, (place, here)
        assert max(anywhere.values()) == 1, anywhere


def test_every_action_says_what_it_does_in_a_sentence() -> None:
    for action in ACTIONS:
        assert action.help.endswith("."), action.name
        assert action.label
        assert key_texts(action.keys)[0]


def test_every_action_that_changes_something_is_tried_here() -> None:
    assert set(CHANGING) == set(SENT)
    assert all(BY_NAME[name].needs is not Needs.ROWS for name in CHANGING)


def test_a_build_that_has_ended_meanwhile_is_not_dropped_in_another_s_stead() -> None:
    asked_of = tuple(
        replace(BUSY, key=label, builder=label, build=build)
        for label, build in (("pi1", 1), ("pi2", 2), ("pi3", 3))
    )
    in_hand = {"pi1": 1, "pi2": 7, "pi3": None}
    skip, kill = BY_NAME["skip_build"], BY_NAME["kill"]
    left = still_so(skip, asked_of, in_hand)
    assert left == asked_of[:1]
    assert told_too_late(asked_of, left).startswith("Not done to pi2, pi3: ")
    assert still_so(kill, asked_of, in_hand) == asked_of  # which is of builders


def test_a_key_that_is_taken_is_told() -> None:
    taken = clash("drain", "p", {})
    assert taken is not None
    assert taken.name == "pause"
    assert clash("drain", "f12", {}) is None
    assert clash("drain", "p", {"pause": "f1"}) is None
    assert clash("search", "f", {}) is BY_NAME["follow"]
    assert clash("search", "p", {}) is None, "the log's own keys hide those of everywhere"


def test_settings_with_wrong_keys_are_told() -> None:
    assert wrong_keys({}) == ""
    assert wrong_keys({"drain": "f12"}) == ""
    assert "no action fly" in wrong_keys({"fly": "f1"})
    assert "both" in wrong_keys({"drain": "p"})
    assert "moves about" in wrong_keys({"drain": "f12,up"})


def test_themes_have_names_of_their_own() -> None:
    assert not {theme.name for theme in THEMES} & set(BUILTIN_THEMES)
