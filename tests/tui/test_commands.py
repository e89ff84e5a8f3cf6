"""Every action by its key, and the command that the simulated master received."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from piwheels.model import BuildRequest, RefusedKey
from piwheels.protocol.control_roles import ControlRole
from piwheels.protocol.messages import (
    Add,
    AuthorizeBuilder,
    BuilderCommand,
    CommandBuilders,
    Pause,
    Prioritize,
    RejectBuilder,
    Reproduce,
    RequestBody,
    Resume,
    Retry,
    Skip,
    StopMaster,
)
from piwheels.tui.app import Console
from piwheels.tui.client.connection import MasterConnection
from piwheels.tui.model.actions import all_actions
from piwheels.tui.model.command_status import CommandState
from piwheels.tui.screens.dialogs import ConfirmDialog
from tests.simfarm import FarmModel, SimFarm
from tests.simfarm.server import control_address
from tests.tui.app_harness import AppHarness, run_console
from tests.tui.sample_farm import snapshot
from tests.tui.static_source import StaticSource

pytestmark = pytest.mark.farm  # each runs the whole console

CONFIRM_KEYS = ("right", "enter")


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[SimFarm]:
    """Eight builders that do not change; pi006 to pi008 are building."""
    async with SimFarm(control_address(tmp_path), FarmModel(builders=8), hz=0) as farm:
        yield farm


@pytest.fixture
async def stage(farm: SimFarm) -> AsyncIterator[AppHarness]:
    async with run_console(MasterConnection(farm.address, operator_name="ada@here")) as stage:
        await stage.wait_for_text("pi007")
        yield stage


def sent_messages(farm: SimFarm) -> list[RequestBody]:
    return [requested.body for requested in farm.received_commands]


async def move_to(stage: AppHarness, label: str) -> None:
    """Put the cursor on a builder."""
    stage.table.table.move_cursor(label)
    await stage.pilot.pause()


def builder_command(
    what: BuilderCommand, *labels: str, at_once: bool = False, rolling: int = 0
) -> CommandBuilders:
    return CommandBuilders(command=what, builders=labels, immediately=at_once, max_parallel=rolling)


def release(farm: SimFarm, label: str) -> tuple[str, str, str]:
    view = next(view for view in farm.model.snapshot().status.builders if view.label == label)
    return view.project, view.release_version, view.target


@pytest.mark.parametrize(
    ("name", "keys", "body"),
    [
        ("pause", (), Pause()),
        ("resume", (), Resume()),
        ("stop_master", (*"stop", "enter"), StopMaster()),
        ("sleep", (), builder_command(BuilderCommand.SLEEP, "pi007")),
        ("sleep_now", CONFIRM_KEYS, builder_command(BuilderCommand.SLEEP, "pi007", at_once=True)),
        ("wake", (), builder_command(BuilderCommand.WAKE, "pi007")),
        ("cancel_build", CONFIRM_KEYS, builder_command(BuilderCommand.CANCEL_BUILD, "pi007")),
        ("drain", CONFIRM_KEYS, builder_command(BuilderCommand.DRAIN, "pi007")),
        (
            "rolling_restart",
            CONFIRM_KEYS,
            builder_command(BuilderCommand.RESTART, "pi007", rolling=1),
        ),
        ("kill", CONFIRM_KEYS, builder_command(BuilderCommand.KILL, "pi007")),
    ],
)
async def test_keys_send_commands_to_the_farm_and_its_builders(
    farm: SimFarm, stage: AppHarness, name: str, keys: tuple[str, ...], body: RequestBody
) -> None:
    await move_to(stage, "pi007")
    await stage.act(name)
    if keys:
        await stage.wait_until(lambda: isinstance(stage.console.screen, ConfirmDialog), "it asks")
        assert sent_messages(farm) == [], "nothing is sent before the answer"
        await stage.press(*keys)
    await stage.wait_until(lambda: farm.received_commands, "the master was asked")
    assert sent_messages(farm) == [body]
    assert farm.received_commands[0].operator == "ada@here"
    assert farm.received_commands[0].identity
    # A rolling drain is under way until the builder has gone and come.
    message = (
        {CommandState.ACCEPTED, CommandState.APPLIED}
        if isinstance(body, CommandBuilders) and body.max_parallel
        else {CommandState.APPLIED}
    )
    await stage.wait_until(
        lambda: next(iter(stage.console.command_history)).state in message, "its result is known"
    )


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("retry", ()),
        ("reproduce", CONFIRM_KEYS),
        ("skip_project", CONFIRM_KEYS),
        ("unskip_project", ()),
        ("raise_priority", ("ctrl+u", "2", "enter")),
        ("reset_priority", CONFIRM_KEYS),
    ],
)
async def test_keys_send_commands_about_projects(
    farm: SimFarm, stage: AppHarness, name: str, keys: tuple[str, ...]
) -> None:
    project, version, target = release(farm, "pi007")
    expected = {
        "retry": Retry(project=project, version=version, target=target),
        "reproduce": Reproduce(project=project, version=version, target=target),
        "skip_project": Skip(project=project, reason="by an operator"),
        "unskip_project": Skip(project=project, reason=None),
        "raise_priority": Prioritize(project=project, version=version, advance_s=7200.0),
        "reset_priority": Prioritize(project=project, version=version, advance_s=0.0),
    }
    await move_to(stage, "pi007")
    await stage.act(name)
    if keys:
        await stage.wait_until(lambda: isinstance(stage.console.screen, ConfirmDialog), "it asks")
        await stage.press(*keys)
    await stage.wait_until(lambda: farm.received_commands, "the master was asked")
    assert sent_messages(farm) == [expected[name]]


NAMED, NAMELESS = "1f" * 32, "2e" * 32


async def have_waiting_builders(stage: AppHarness) -> None:
    """Two builders wait to be authorized, of which one has a name."""
    at = datetime.fromtimestamp(1_764_000_000, UTC)
    status = stage.console.farm.status
    assert status is not None
    refused = (
        RefusedKey("builder", NAMED, at, "192.0.2.7", "shed"),
        RefusedKey("builder", NAMELESS, at, "192.0.2.8"),
    )
    stage.console.farm.status = msgspec.structs.replace(status, refused_keys=refused)
    stage.table.refresh_content()
    await stage.wait_for_text("shed")


@pytest.mark.parametrize(
    ("name", "keys", "body"),
    [
        ("authorize_builder", ("enter",), AuthorizeBuilder(builder=NAMED, name="shed")),
        (
            "authorize_builder",
            ("ctrl+u", *"attic", "enter"),
            AuthorizeBuilder(builder=NAMED, name="attic"),
        ),
        (
            "authorize_builder",
            ("enter", *"pi9", "enter"),  # the first says that a name is needed
            AuthorizeBuilder(builder=NAMELESS, name="pi9"),
        ),
        ("reject_builder", CONFIRM_KEYS, RejectBuilder(builder=NAMED)),
    ],
)
async def test_the_builder_that_waits_in_this_row_is_authorized_or_rejected(
    farm: SimFarm,
    stage: AppHarness,
    name: str,
    keys: tuple[str, ...],
    body: AuthorizeBuilder | RejectBuilder,
) -> None:
    await have_waiting_builders(stage)
    await move_to(stage, f"waiting {body.builder}")
    await stage.act(name)
    await stage.wait_until(lambda: isinstance(stage.console.screen, ConfirmDialog), "it asks")
    await stage.press(*keys)
    await stage.wait_until(lambda: farm.received_commands, "the master was asked")
    assert sent_messages(farm) == [body]


async def test_a_row_of_a_builder_that_builds_is_not_authorized(
    farm: SimFarm, stage: AppHarness
) -> None:
    await move_to(stage, "pi007")
    await stage.act("authorize_builder")
    await stage.wait_for_text("Authorize builder requires a builder that waits.")
    assert sent_messages(farm) == []


def test_every_command_action_is_tested_above() -> None:
    tried = {
        *("pause", "resume", "stop_master", "sleep", "sleep_now", "wake", "cancel_build", "drain"),
        *("rolling_restart", "kill", "retry", "skip_project", "unskip_project", "raise_priority"),
        *("reset_priority", "reproduce"),
        *("authorize_builder", "reject_builder"),
        *("retry_group", "skip_group"),  # in test_failures.py
        "add_project",  # below
        "add_packages",  # in test_with_master.py
        *("acknowledge", "mute"),  # in test_confirmations.py and test_with_master.py
    }
    assert {action.name for action in all_actions() if action.changes_farm} == tried


async def test_a_project_is_added_by_its_key(farm: SimFarm, stage: AppHarness) -> None:
    await stage.press("A")
    await stage.wait_for_text("Project (numpy")
    await stage.press("enter")
    await stage.wait_for_text("Enter a project.")
    await stage.press(*"numpy==2.1", "enter")
    await stage.wait_until(lambda: farm.received_commands, "the master was asked")
    assert sent_messages(farm) == [Add(requests=(BuildRequest(requirement="numpy==2.1"),))]


async def test_escape_and_cancel_send_nothing(farm: SimFarm, stage: AppHarness) -> None:
    await move_to(stage, "pi007")
    for answer in ("escape", "enter"):
        await stage.press("K")
        await stage.wait_until(lambda: isinstance(stage.console.screen, ConfirmDialog), "it asks")
        await stage.press(answer)
        await stage.wait_until(lambda: stage.console.screen is stage.table, "the dialog is gone")
        await stage.wait_for_text("Kill canceled, nothing was sent.")
        await stage.press("down")
        assert "nothing was sent" not in stage.text
    assert sent_messages(farm) == []


async def test_a_sheet_tells_what_enter_does_to_what_has_the_focus(stage: AppHarness) -> None:
    await move_to(stage, "pi007")
    await stage.press("K")
    await stage.wait_for_text("Enter Cancel, nothing is sent")
    await stage.press("tab")
    await stage.wait_for_text("Enter Send")
    await stage.press("shift+tab")
    await stage.wait_for_text("Enter Cancel, nothing is sent")
    await stage.press("escape", "asterisk", "K")
    await stage.wait_for_text("Enter Nothing yet")
    await stage.press(*"kill")
    await stage.wait_for_text("Enter Send")


async def test_an_answer_replaces_a_notice_and_a_key_or_escape_dismisses_it(
    stage: AppHarness,
) -> None:
    notice = "Fold is a key of Log."
    await move_to(stage, "pi007")
    await stage.press("o")
    await stage.wait_for_text(notice)
    await stage.press("z")
    await stage.wait_for_text("sleep pi007")
    assert notice not in stage.text
    stage.console.notify(notice)
    await stage.wait_for_text(notice)
    stage.console.send(Pause(), "pause")
    await stage.wait_for_text("pause: ")
    assert notice not in stage.text
    await stage.press("space", "o")
    await stage.wait_for_text(notice)
    await stage.press("escape")
    assert notice not in stage.text
    assert stage.table.table.marks == {"pi007"}, "Esc did nothing else"


async def test_marked_rows_are_commanded_together_and_unmarked(
    farm: SimFarm, stage: AppHarness
) -> None:
    stage.table.table.set_marks({"pi006", "pi008"})
    await stage.press("D")
    await stage.wait_for_text("Drain 2 builders")
    await stage.press(*"all", "enter")
    await stage.wait_until(lambda: farm.received_commands, "the master was asked")
    (requested,) = sent_messages(farm)
    assert isinstance(requested, CommandBuilders)
    assert set(requested.builders) == {"pi006", "pi008"}
    assert stage.table.table.marks == frozenset()


async def test_an_event_says_that_a_builder_has_ended_by_order(
    farm: SimFarm, stage: AppHarness
) -> None:
    await move_to(stage, "pi007")
    await stage.press("K", *CONFIRM_KEYS)
    await stage.wait_for_text("kill: 1 builder")
    assert "1 builders" not in stage.text
    await stage.press("8")
    await stage.wait_for_text("builder pi007 left: killed by ada@here")


async def test_nothing_is_sent_to_a_builder_that_has_ended(
    farm: SimFarm, stage: AppHarness
) -> None:
    await move_to(stage, "pi007")
    await stage.press("K", *CONFIRM_KEYS)
    await stage.wait_for_text("■ ended")
    await move_to(stage, "pi007")
    for key in "DKz":
        await stage.press(key)
        await stage.wait_for_text("pi007 has ended; start its process on its machine")
        assert stage.console.screen is stage.table  # it asks nothing
    assert len(sent_messages(farm)) == 1


async def test_a_sheet_leaves_marked_rows_in_sight(farm: SimFarm) -> None:
    async with run_console(
        MasterConnection(farm.address, operator_name="ada@here"), size=(80, 16)
    ) as stage:
        await stage.wait_for_text("pi007")
        await stage.press("G", "k", "space", "space", "g", "K")
        await stage.wait_for_text("Kill 2 builders")
        sheet = stage.console.screen.query_one("#sheet").region
        await stage.wait_until(
            lambda: all(
                label in "".join(stage.text.splitlines()[: sheet.y]) for label in ("pi007", "pi008")
            ),
            "both rows are above the sheet",
        )
        assert "work is lost" in stage.text
        await stage.press("escape")
        await stage.wait_until(lambda: stage.console.screen is stage.table, "the sheet is gone")
        assert stage.table.table.region.bottom > sheet.y
    assert sent_messages(farm) == []


async def test_a_dialog_keeps_the_targets_it_was_opened_for(
    farm: SimFarm, stage: AppHarness
) -> None:
    await move_to(stage, "pi006")
    await stage.press("K")
    await stage.wait_for_text("Kill pi006")
    console: Console = stage.console
    before = console.farm.builders["pi006"].view
    await farm.step(30.0)  # builds end, rows move
    await stage.wait_until(
        lambda: console.farm.builders["pi006"].view != before, "news came meanwhile"
    )
    await stage.press(*CONFIRM_KEYS)
    await stage.wait_until(lambda: farm.received_commands, "the master was asked")
    assert sent_messages(farm) == [builder_command(BuilderCommand.KILL, "pi006")]


async def test_marked_rows_hidden_by_a_filter_are_counted(farm: SimFarm, stage: AppHarness) -> None:
    stage.table.table.set_marks({"pi006", "pi007"})
    await stage.press("slash", *"pi006", "enter")
    await stage.wait_until(lambda: stage.keys == ["pi006"], "the filter holds")
    await stage.wait_for_text("1 hidden by the filter")
    await stage.press("K")
    await stage.wait_for_text("1 of them is hidden by the filter.")
    await stage.press("escape")
    assert sent_messages(farm) == []


async def test_killing_all_builders_requires_typing_the_word(
    farm: SimFarm, stage: AppHarness
) -> None:
    await stage.press("asterisk", "K")
    await stage.wait_for_text("Type kill and press Enter")
    await stage.press("right", "enter")  # the button is dead as yet: this is Cancel or nothing
    assert sent_messages(farm) == []
    if isinstance(stage.console.screen, ConfirmDialog):
        await stage.press("escape")
    await stage.press("K")
    await stage.wait_for_text("Type kill and press Enter")
    await stage.press(*"kill", "enter")
    await stage.wait_until(lambda: farm.received_commands, "the master was asked")
    (requested,) = sent_messages(farm)
    assert isinstance(requested, CommandBuilders)
    assert len(requested.builders) == 8


async def test_a_rejection_is_shown_with_its_reason(farm: SimFarm, stage: AppHarness) -> None:
    farm.rejection = "the farm is being moved"
    await stage.press("p")
    await stage.wait_for_text("rejected (the farm is being moved)")
    await stage.act("commands")
    await stage.wait_for_text("the farm is being moved")
    assert stage.console.current_screen.screen_name == "commands"


async def test_a_command_without_a_master_fails_immediately_and_is_not_queued(
    farm: SimFarm, stage: AppHarness
) -> None:
    await farm.stop()
    await stage.wait_for_text("LINK LOST")
    await stage.press("p")
    await stage.wait_for_text("pause: not sent")
    farm.start()
    await stage.wait_until(lambda: stage.console.farm.connected, "the link is back")
    await stage.wait_for_text("Reconnected; the master did not restart")
    assert sent_messages(farm) == []


async def test_a_new_master_is_distinguished_from_the_old_one(
    farm: SimFarm, stage: AppHarness
) -> None:
    await farm.stop()
    await stage.wait_for_text("LINK LOST")
    farm.start(new=True)
    await stage.wait_for_text("Reconnected; the master has restarted")


async def test_keys_are_disabled_in_read_only_mode_and_the_master_rejects_commands(
    farm: SimFarm,
) -> None:
    async with run_console(MasterConnection(farm.address, read_only=True)) as stage:
        await stage.wait_for_text("read-only")
        await move_to(stage, "pi007")
        for action in all_actions():
            if action.changes_farm:
                assert stage.console.is_available(action) in {None, False}
                await stage.press(*filter(None, [action.keys]))
        assert stage.console.screen is stage.table
        assert len(stage.console.command_history) == 0
        assert sent_messages(farm) == []
        status = await stage.console.source.command(Pause(), description="pause")
    assert status.state == "rejected"
    assert not farm.model.paused


@pytest.mark.parametrize("role", ControlRole)
async def test_a_console_offers_what_its_role_may_do_and_says_why_not_the_rest(
    role: ControlRole,
) -> None:
    source = StaticSource(msgspec.structs.replace(snapshot(), role=role))
    async with run_console(source) as stage:
        await stage.wait_for_text("running")
        console = stage.console
        assert (f"may {role}" in stage.text) is (role is not ControlRole.ADMINISTER)
        for action in all_actions():
            if action.command is None:
                continue
            if role.includes(action.command.role):
                assert "role" not in console.unavailable_reason(action)
            else:
                assert console.is_available(action) in {None, False}
                assert console.unavailable_reason(action).endswith(
                    f"needs the role {action.command.role}, and this console has {role}."
                )
        await stage.press("p")
        wanted = [] if role is ControlRole.WATCH else [Pause()]
        if not wanted:
            await stage.wait_for_text("Pause needs the role operate, and this console has watch.")
        await stage.wait_until(lambda: source.commands == wanted, "it is sent if it may be")


async def test_text_typed_into_a_dialog_is_sent(farm: SimFarm, stage: AppHarness) -> None:
    await move_to(stage, "pi007")
    await stage.act("skip_project")
    await stage.wait_until(lambda: isinstance(stage.console.screen, ConfirmDialog), "it asks")
    await stage.press("ctrl+u", *"broken", "enter")
    await stage.wait_until(lambda: farm.received_commands, "the master was asked")
    project, _, _ = release(farm, "pi007")
    assert sent_messages(farm) == [Skip(project=project, reason="broken")]


async def test_the_footer_can_be_clicked(farm: SimFarm, stage: AppHarness) -> None:
    await move_to(stage, "pi007")
    line = stage.text.splitlines()[-1]
    await stage.pilot.click("#keys", offset=(line.index("Sleep"), 0))
    await stage.wait_until(lambda: farm.received_commands, "the master was asked")
    assert sent_messages(farm) == [builder_command(BuilderCommand.SLEEP, "pi007")]


async def test_a_key_of_former_versions_does_nothing_dangerous(
    farm: SimFarm, stage: AppHarness
) -> None:
    await move_to(stage, "pi007")
    for key in ("d", "Z", "Q", "b", "h", "v", "Y", "S", "T", "minus"):
        await stage.press(key)
    assert stage.console.screen is stage.table
    await stage.press("D")
    await stage.wait_until(lambda: isinstance(stage.console.screen, ConfirmDialog), "it asks")
    await stage.press("enter")  # restarted one at a time, once
    await stage.wait_for_text("Drain canceled, nothing was sent.")
    await stage.press("asterisk", "D")
    await stage.wait_for_text("Type all, or how many at a time are restarted")
    await stage.press("enter")
    assert isinstance(stage.console.screen, ConfirmDialog)
    await stage.press("escape")
    assert sent_messages(farm) == []


async def test_a_key_that_cannot_act_says_why(farm: SimFarm, stage: AppHarness) -> None:
    await stage.press("8")
    for key, reason in (
        ("d", "Details is a key of Builders and Builds."),
        ("z", "Sleep requires a builder."),
        ("left_curly_bracket", "Slower requires a recording."),
    ):
        await stage.press(key)
        await stage.wait_for_text(reason)
    assert sent_messages(farm) == []
