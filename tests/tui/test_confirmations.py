"""The list of all actions, and what each of them sends."""

from collections import Counter
from dataclasses import replace

import pytest
from textual.theme import BUILTIN_THEMES

from piwheels.model import BuildRequest
from piwheels.protocol.commands import registered
from piwheels.protocol.commands.definition import (
    CommandDefinition,
    Confirm,
    ConsoleAction,
    Requirement,
)
from piwheels.protocol.messages import (
    AcknowledgeAlerts,
    Add,
    AddPackages,
    AuthorizeBuilder,
    BuilderCommand,
    CommandBuilders,
    MuteAlerts,
    Pause,
    Prioritize,
    RejectBuilder,
    Reproduce,
    RequestBody,
    Resume,
    Retry,
    RetryReleases,
    Skip,
    SkipReleases,
    StopMaster,
)
from piwheels.tui.model import actions
from piwheels.tui.model.action_types import ActionTarget
from piwheels.tui.model.actions import action_named, actions_of, all_actions
from piwheels.tui.model.commands import (
    build_messages,
    confirmation_for,
    skipped_text,
    still_applicable,
    validation_error,
)
from piwheels.tui.model.key_names import (
    _RENAMED_ACTIONS,
    conflicting_action,
    key_labels,
    rename_actions,
    validate_keys,
)
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.themes import THEMES

BUSY = ActionTarget(
    key="pi1",
    name="pi1",
    builder="pi1",
    build=7,
    is_building=True,
    project="numpy",
    version="2.1",
    target="cp313-trixie-aarch64",
    alert="hot:pi1",
    waiting="1f" * 32,
    waiting_name="shed",
    details=("numpy 2.1", "building"),
    running="14m",
)
IDLE = ActionTarget(key="pi2", name="pi2", builder="pi2")
ALL_BUILDERS = frozenset({"pi1", "pi2", "pi3"})

SENT: dict[str, RequestBody] = {
    "pause": Pause(),
    "resume": Resume(),
    "stop_master": StopMaster(),
    "add_project": Add(requests=(BuildRequest(requirement="2"),)),
    "sleep": CommandBuilders(command=BuilderCommand.SLEEP, builders=("pi1",)),
    "sleep_now": CommandBuilders(command=BuilderCommand.SLEEP, builders=("pi1",), immediately=True),
    "wake": CommandBuilders(command=BuilderCommand.WAKE, builders=("pi1",)),
    "cancel_build": CommandBuilders(command=BuilderCommand.CANCEL_BUILD, builders=("pi1",)),
    "drain": CommandBuilders(command=BuilderCommand.RESTART, builders=("pi1",), max_parallel=2),
    "rolling_restart": CommandBuilders(
        command=BuilderCommand.RESTART, builders=("pi1",), max_parallel=2
    ),
    "kill": CommandBuilders(command=BuilderCommand.KILL, builders=("pi1",)),
    "retry": Retry(project="numpy", version="2.1", target="cp313-trixie-aarch64"),
    "reproduce": Reproduce(project="numpy", version="2.1", target="cp313-trixie-aarch64"),
    "skip_project": Skip(project="numpy", reason="2"),
    "unskip_project": Skip(project="numpy", reason=None),
    "retry_group": RetryReleases(releases=(("numpy", "2.1", "cp313-trixie-aarch64"),)),
    "skip_group": SkipReleases(releases=(("numpy", "2.1", "cp313-trixie-aarch64"),), reason="2"),
    "add_packages": AddPackages(
        packages=("libpq-dev",), releases=(("numpy", "2.1", "cp313-trixie-aarch64"),)
    ),
    "raise_priority": Prioritize(project="numpy", version="2.1", advance_s=7200.0),
    "acknowledge": AcknowledgeAlerts(alerts=("hot:pi1",), note="2"),
    "mute": MuteAlerts(alerts=("hot:pi1",), duration_s=7200.0),
    "reset_priority": Prioritize(project="numpy", version="2.1", advance_s=0.0),
    "authorize_builder": AuthorizeBuilder(builder="1f" * 32, name="shed"),
    "reject_builder": RejectBuilder(builder="1f" * 32),
}
CHANGING = [action.name for action in all_actions() if action.changes_farm]


@pytest.mark.parametrize("name", CHANGING)
def test_an_action_sends_its_message(name: str) -> None:
    texts = {"mute": "2h", "add_packages": "libpq-dev", "authorize_builder": "shed"}
    entered = texts.get(name, "2")
    ((body, what),) = build_messages(action_named(name), [BUSY], entered)
    assert body == SENT[name]
    assert what.startswith(action_named(name).label.lower())


def test_a_command_to_several_builders_is_one_message() -> None:
    ((body, what),) = build_messages(action_named("drain"), [BUSY, IDLE], "all")
    assert body == CommandBuilders(command=BuilderCommand.DRAIN, builders=("pi1", "pi2"))
    assert what == "drain pi1, pi2"


def test_rows_of_one_release_give_one_command_for_each_target() -> None:
    other = ActionTarget(
        key="8", name="", project="numpy", version="2.1", target="cp311-trixie-aarch64"
    )
    assert len(build_messages(action_named("retry"), [BUSY, other, BUSY])) == 2
    assert len(build_messages(action_named("skip_project"), [BUSY, other], "broken")) == 1


# --- what is asked first ---


def confirmation(name: str, *subjects: ActionTarget, hidden: int = 0) -> bool:
    found = confirmation_for(
        action_named(name), subjects, hidden_count=hidden, all_builders=ALL_BUILDERS
    )
    return found is not None


def test_only_destructive_or_bulk_actions_ask_for_confirmation() -> None:
    assert not confirmation("pause")
    assert not confirmation("wake", IDLE)
    assert not confirmation("sleep_now", IDLE)
    assert confirmation("sleep_now", BUSY)
    assert confirmation("cancel_build", BUSY)
    assert confirmation("kill", IDLE)
    assert confirmation("stop_master")
    assert confirmation("drain", IDLE)
    assert confirmation("wake", BUSY, IDLE)
    assert confirmation("wake", BUSY, hidden=1)


def test_several_builders_that_wait_get_the_names_under_which_they_do() -> None:
    other = ActionTarget(key="9", name="attic", waiting="2e" * 32, waiting_name="attic")
    action = action_named("authorize_builder")
    one = confirmation_for(action, [other], all_builders=ALL_BUILDERS)
    assert one is not None
    assert (one.title, one.prompt and one.prompt.default) == ("Authorize builder attic", "attic")
    both = confirmation_for(action, [BUSY, other], all_builders=ALL_BUILDERS)
    assert both is not None
    assert (both.title, both.prompt) == ("Authorize builder 2 builders", None)
    bodies = [body for body, _ in build_messages(action, [BUSY, other])]
    assert bodies == [
        AuthorizeBuilder(builder="1f" * 32, name=""), AuthorizeBuilder(builder="2e" * 32, name="")
    ]  # fmt: skip


def test_destructive_actions_ask_and_name_what_is_lost() -> None:
    losing = [action for action in all_actions() if action.console and action.console.consequence]
    assert {action.name for action in losing} == {
        "kill",
        "cancel_build",
        "sleep_now",
        "stop_master",
    }
    assert all(action.console and action.console.confirm is not Confirm.NEVER for action in losing)


def test_a_confirmation_keeps_its_subjects_and_names_what_is_lost() -> None:
    requested = confirmation_for(
        action_named("kill"), [BUSY, IDLE], hidden_count=1, all_builders=ALL_BUILDERS
    )
    assert requested is not None
    assert requested.targets == (BUSY, IDLE)
    assert requested.target_lines == ("pi1  numpy 2.1  building  14m of work is lost", "pi2")
    assert requested.note == "These 2, whatever is marked or sorted later."
    assert requested.title == "Kill 2 builders"
    assert requested.hidden_count == 1


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("skip_project", "Skip project numpy"),
        ("raise_priority", "Raise priority numpy 2.1"),
        ("cancel_build", "Cancel build pi1"),
    ],
)
def test_a_confirmation_names_its_subjects(name: str, title: str) -> None:
    requested = confirmation_for(action_named(name), [BUSY], all_builders=ALL_BUILDERS)
    assert requested is not None
    assert requested.title == title
    assert len(requested.target_lines) == 1


def test_a_project_is_named_once_for_several_marked_rows() -> None:
    other = ActionTarget(key="8", name="", project="numpy", version="2.2", target="cp311")
    requested = confirmation_for(
        action_named("skip_project"), [BUSY, other], all_builders=ALL_BUILDERS
    )
    assert requested is not None
    assert (requested.title, requested.target_lines) == ("Skip project numpy", ("numpy",))
    again = confirmation_for(action_named("retry"), [BUSY, other], all_builders=ALL_BUILDERS)
    assert again is not None
    assert again.title == "Retry 2 releases"


def test_typing_the_word_is_required_for_two_builders_and_more_and_the_master() -> None:
    def word(name: str, *subjects: ActionTarget) -> str:
        requested = confirmation_for(action_named(name), subjects, all_builders=ALL_BUILDERS)
        return requested.confirm_word if requested else "not asked"

    third = ActionTarget(key="pi3", name="pi3", builder="pi3")
    assert word("kill", BUSY) == ""
    assert word("kill", BUSY, IDLE) == "kill"
    assert word("stop_master") == "stop"
    assert word("cancel_build", BUSY, IDLE, third) == ""


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("rolling_restart", ["", "0", "-1", "two", "1.5", "1001", "9" * 5000], "3"),
        ("drain", ["", "none", "-1", "1001"], "all"),
        ("drain", [], "2"),
        ("add_project", ["", " "], "numpy"),
        ("raise_priority", ["", "0", "-4", "soon", "nan", "1e9"], "1.5"),
        ("skip_project", ["", "  "], "does not build on ARM"),
    ],
)
def test_invalid_actions_are_rejected(name: str, wrong: list[str], right: str) -> None:
    console = action_named(name).console
    assert console
    assert all(validation_error(console.prompt, answer) for answer in wrong)
    assert validation_error(console.prompt, right) == ""


def test_draining_one_builder_is_only_confirmed_and_of_several_asks_how_many() -> None:
    one = confirmation_for(action_named("drain"), [BUSY], all_builders=ALL_BUILDERS)
    two = confirmation_for(action_named("drain"), [BUSY, IDLE], all_builders=ALL_BUILDERS)
    assert one is not None
    assert two is not None
    assert one.prompt is None
    assert "process ends after its build and stays stopped. Sleep (z) only stops new" in one.note
    assert two.prompt is not None
    assert two.prompt.label == "Type all, or how many at a time are restarted"
    assert two.prompt.default == ""
    ((body, _),) = build_messages(action_named("drain"), [BUSY])
    assert body == CommandBuilders(command=BuilderCommand.DRAIN, builders=("pi1",))


# --- keys ---


def test_keys_are_unique_on_each_screen() -> None:
    for place in ScreenName:
        here = Counter(
            key
            for action in actions_of(place)
            if action.screens and action.keys
            for key in action.keys.split(",")
        )
        anywhere = Counter(
            key
            for action in all_actions()
            if not action.screens and action.keys
            for key in action.keys.split(",")
        )
        assert max(here.values(), default=0) <= 1, (place, here)
        assert max(anywhere.values()) == 1, anywhere


def test_every_action_has_a_description() -> None:
    for action in all_actions():
        assert action.help.endswith("."), action.name
        assert action.label
        assert action.keys == "" or key_labels(action.keys)[0]


def test_every_command_action_is_tested_here() -> None:
    assert set(CHANGING) == set(SENT)
    assert all(action_named(name).requires is not Requirement.TABLE for name in CHANGING)


def test_an_ended_build_is_not_canceled_in_place_of_another() -> None:
    asked_of = tuple(
        replace(BUSY, key=label, builder=label, build=build)
        for label, build in (("pi1", 1), ("pi2", 2), ("pi3", 3))
    )
    in_hand = {"pi1": 1, "pi2": 7, "pi3": None}
    skip, kill = action_named("cancel_build"), action_named("kill")
    left = still_applicable(skip, asked_of, in_hand)
    assert left == asked_of[:1]
    assert skipped_text(asked_of, left) == "not pi2, pi3: the build has ended meanwhile"
    assert skipped_text(asked_of, asked_of) == ""
    assert still_applicable(kill, asked_of, in_hand) == asked_of  # which is of builders


def test_a_used_key_is_reported() -> None:
    taken = conflicting_action(action_named("drain"), "p", {})
    assert taken is not None
    assert taken.name == "pause"
    assert conflicting_action(action_named("drain"), "f12", {}) is None
    assert conflicting_action(action_named("drain"), "p", {"pause": "f1"}) is None
    assert conflicting_action(actions.SEARCH, "f", {}) is action_named("follow")
    assert conflicting_action(actions.SEARCH, "p", {}) is None, (
        "the log's own keys hide those of everywhere"
    )


def test_settings_with_invalid_keys_are_reported() -> None:
    assert validate_keys({}) == ""
    assert validate_keys({"drain": "f12"}) == ""
    assert "unknown action fly" in validate_keys({"fly": "f1"})
    assert "both" in validate_keys({"drain": "p"})
    assert "moves the cursor" in validate_keys({"drain": "f12,up"})


def test_theme_names_are_unique() -> None:
    assert not {theme.name for theme in THEMES} & set(BUILTIN_THEMES)


def test_a_defined_command_is_an_action_with_its_message() -> None:
    definition = CommandDefinition(
        name="hibernate",
        message=Pause,
        summary="Hibernate the farm.",
        build=lambda _: Pause(),
        audit=lambda _: "hibernate the farm",
        console=(
            ConsoleAction(
                name="hibernate", key="f8", label="Hibernate", help="Hibernate the farm."
            ),
        ),
    )
    with registered(definition):
        action = action_named("hibernate")
        assert action in actions_of(ScreenName.BUILDERS)
        assert build_messages(action, ()) == [(Pause(), "hibernate")]
        assert conflicting_action(action, "f8", {}) is None
    assert "hibernate" not in {action.name for action in all_actions()}


def test_old_names_of_actions_are_renamed_and_reported() -> None:
    keys, line = rename_actions({"drain_rolling": "f7", "sort": "f8"})
    assert keys == {"rolling_restart": "f7", "sort": "f8"}
    assert line == "[keys]: drain_rolling is called rolling_restart now"
    assert rename_actions({"sort": "f8"}) == ({"sort": "f8"}, "")
    assert set(_RENAMED_ACTIONS.values()) <= {action.name for action in all_actions()}
