"""The definitions of operator commands, and what is derived from them."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner

from piwheels.cli.commands import add_commands
from piwheels.control.authorization import Caller
from piwheels.control.command_executor import Call, ChunkQueue, CommandExecutor
from piwheels.control.command_handlers import CommandHandlers
from piwheels.db.database import Database
from piwheels.model import AuditEvent
from piwheels.protocol import messages as m
from piwheels.protocol.commands import (
    console_actions,
    definition_of,
    definitions,
    needed_role,
    registered,
)
from piwheels.protocol.commands.definition import (
    CommandDefinition,
    ConsoleAction,
    Inputs,
    Kind,
    Parameter,
    Requirement,
)
from piwheels.protocol.control_roles import ControlRole
from piwheels.protocol.message_base import CommandMessage
from piwheels.scheduler.event_bus import EventBus
from piwheels.scheduler.event_publisher import EventPublisher
from piwheels.tui.model.actions import all_actions
from piwheels.tui.model.commands import build_messages
from tests.reference import command_table
from tests.tui.app_harness import run_console
from tests.tui.sample_farm import snapshot
from tests.tui.static_source import StaticSource

INPUTS = Inputs(
    builders=("pi1",),
    project="demo",
    version="1.0",
    releases=(("demo", "1.0", "t"),),
    alerts=("hot:pi1",),
    packages=("libpq-dev",),
    text="home",
    number=2.0,
)


@pytest.mark.parametrize("definition", definitions(), ids=lambda it: it.name or it.message.__name__)
def test_a_definition_is_complete(definition: CommandDefinition[Any]) -> None:
    assert issubclass(definition.message, CommandMessage)
    assert definition.summary.endswith((".", ")."))
    assert bool(definition.examples) == bool(definition.name)
    assert all(example.startswith(f"piw {definition.name}") for example in definition.examples)
    if definition.build is not None:
        body = definition.build(INPUTS)
        assert definition_of(body) is definition
        assert definition.audit(body)
        assert needed_role(body) is definition.role is not ControlRole.WATCH


def test_every_command_message_has_a_definition_and_a_handler(
    handlers: CommandHandlers,
) -> None:
    defined = {definition.message for definition in definitions()}
    assert all(map(handlers.handles, defined))
    messages = {
        kind
        for kind in vars(m).values()
        if isinstance(kind, type) and issubclass(kind, CommandMessage)
    }
    assert messages - {CommandMessage} == defined


def test_queries_need_no_more_than_watching() -> None:
    assert definition_of(m.Status()) is None
    assert needed_role(m.Status()) is ControlRole.WATCH


def test_names_and_keys_of_console_actions_are_unique() -> None:
    actions = [action for _, action in console_actions()]
    assert len({action.name for action in actions}) == len(actions)
    # Those of groups of failures are on a screen of their own, and hide the others there.
    for are_of_groups in (False, True):
        keys = [
            action.key
            for action in actions
            if action.key and (action.requires is Requirement.FAILURES) is are_of_groups
        ]
        assert len(set(keys)) == len(keys)


@pytest.fixture
def handlers(database: Database) -> CommandHandlers:
    """The real handlers; none of these tests needs what they work on."""
    absent: Any = SimpleNamespace(run=None)
    invitations: Any = SimpleNamespace(invite=None, revoke=None, authorize=None, reject=None)
    return CommandHandlers(
        db=database,
        dispatcher=absent,
        alerts=absent,
        queries=absent,
        importer=absent,
        invitations=invitations,
        index=absent,
        rules=absent,
    )


# --- a new command is its definition and its handler ---


class CountStars(CommandMessage, frozen=True, kw_only=True):
    """A command that exists only in this test."""

    limit: int = 0


def _definition() -> CommandDefinition[CountStars]:
    return CommandDefinition(
        name="stars count",
        message=CountStars,
        summary="Count the stars above the farm.",
        examples=("piw stars count --limit 3",),
        parameters=(Parameter("--limit", Kind.COUNT, "Stop counting at N.", metavar="N"),),
        build=lambda inputs: CountStars(limit=int(inputs.number)),
        audit=lambda body: f"count {body.limit} stars",
        console=(ConsoleAction(name="stars", key="f9", label="Stars", help="Count the stars."),),
    )


@pytest.fixture
def count_stars() -> Iterator[CommandDefinition[CountStars]]:
    definition = _definition()
    with registered(definition):
        yield definition


def test_a_new_command_is_in_the_help(count_stars: CommandDefinition[CountStars]) -> None:
    root = click.Group("piw")
    add_commands(root)
    shown = CliRunner().invoke(root, ["stars", "count", "--help"]).output
    assert "Count the stars above the farm." in shown
    assert "piw stars count --limit 3" in shown
    assert "--limit N" in shown


def test_a_new_command_is_an_action_in_the_console(
    count_stars: CommandDefinition[CountStars],
) -> None:
    (action,) = (action for action in all_actions() if action.name == "stars")
    assert (action.label, action.keys, action.changes_farm) == ("Stars", "f9", True)
    assert [body for body, _ in build_messages(action, ())] == [CountStars(limit=0)]


async def test_a_new_command_has_its_key_binding_in_the_console(
    count_stars: CommandDefinition[CountStars],
) -> None:
    source = StaticSource(snapshot())
    async with run_console(source) as stage:
        await stage.wait_for_text("running")
        await stage.press("f9")
        await stage.wait_until(lambda: source.commands, "the command was sent")
    assert source.commands == [CountStars(limit=0)]


def test_a_new_command_is_in_the_reference(count_stars: CommandDefinition[CountStars]) -> None:
    row = (
        "| `piw stars count` | [CountStars](#countstars) | operate | Stars "
        "| Count the stars above the farm. |"
    )
    assert row in command_table()


async def test_a_new_command_is_executed_and_in_the_audit_log(
    count_stars: CommandDefinition[CountStars], handlers: CommandHandlers
) -> None:
    async def count(command: CountStars, _: Call) -> m.CommandSucceeded:
        return m.CommandSucceeded(text=f"{command.limit} stars", count=command.limit)

    async def discard(_: m.ReplyBody) -> None:
        pass

    handlers.register(CountStars, count)
    bus = EventBus()
    executor = CommandExecutor(handlers.handle, EventPublisher(handlers.db, bus), lambda: None)
    request = m.Request(request_id=1, body=CountStars(limit=3))
    call = Call(Caller("ann@desk"), discard, ChunkQueue(request.body))
    with bus.subscribe() as events:
        reply = await executor.execute(request, call)
        assert reply == m.CommandSucceeded(text="3 stars", count=3)
        event = await events.get()
    assert isinstance(event, AuditEvent)
    assert (event.who, event.what, event.outcome) == ("ann@desk", "count 3 stars", "applied")
