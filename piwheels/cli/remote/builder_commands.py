"""Orders to builders, and to the farm as a whole."""

from collections.abc import Sequence

import click
import humanize

from piwheels.cli.remote.client import connect, print_json, send_command
from piwheels.config import Config
from piwheels.errors import RejectedError, UsageError
from piwheels.protocol.messages import (
    BuilderCommand,
    BuilderState,
    BuilderView,
    CommandBuilders,
    CommandSucceeded,
    Pause,
    Resume,
    Status,
    StatusReply,
    StopMaster,
)
from piwheels.sanitize import strip_controls

_CONFIRMATIONS = {
    BuilderCommand.KILL: "Kill {who}? Builds in hand are lost, and tried again later.",
    BuilderCommand.CANCEL_BUILD: "Drop the builds in hand of {who}? They are tried again later.",
    BuilderCommand.SLEEP: "Put {who} to sleep at once? Builds in hand start again elsewhere.",
}


async def command_builders(
    config: Config,
    command: BuilderCommand,
    labels: Sequence[str],
    *,
    all_builders: bool = False,
    immediately: bool = False,
    max_parallel: int = 0,
    yes: bool = False,
    as_json: bool = False,
) -> int:
    """Give an order to builders, after a question where that loses work.

    Returns:
        1 when some of them could not heed it.
    """
    if bool(labels) == all_builders:
        raise UsageError("name builders, or say --all")
    async with connect(config) as client:
        views = (await client.request(Status(), StatusReply)).builders
        names = _connected(views) if all_builders else tuple(dict.fromkeys(labels))
        if not names:
            raise RejectedError("no builder is connected")
        loses = command in {BuilderCommand.KILL, BuilderCommand.CANCEL_BUILD} or immediately
        if loses and not yes:
            _confirm(command, [view for view in views if view.label in names], names)
        body = CommandBuilders(
            command=command, builders=names, immediately=immediately, max_parallel=max_parallel
        )
        applied = await client.request(body, CommandSucceeded)
    if as_json:
        print_json(applied)
    else:
        click.echo(strip_controls(applied.text))
    return 0 if applied.count == len(names) else 1


def _connected(views: Sequence[BuilderView]) -> tuple[str, ...]:
    return tuple(view.label for view in views if view.state != BuilderState.LOST)


def _confirm(command: BuilderCommand, views: Sequence[BuilderView], names: Sequence[str]) -> None:
    for view in views:
        if view.build is not None:
            spent = humanize.naturaldelta(view.build_s)
            what = f"{view.project} {view.release_version} for {view.target}"
            click.echo(f"{view.label} builds {strip_controls(what)}, for {spent} now", err=True)
    who = names[0] if len(names) == 1 else f"these {len(names)} builders ({', '.join(names)})"
    click.confirm(_CONFIRMATIONS[command].format(who=who), abort=True, err=True)


async def pause(config: Config, *, paused: bool, as_json: bool) -> int:
    """Hold jobs back, or hand them out again."""
    return await send_command(config, Pause() if paused else Resume(), as_json=as_json)


async def stop_master(config: Config, *, yes: bool, as_json: bool) -> int:
    """End the master, after a question."""
    if not yes:
        question = "End the master? Builders go on with what they have, and get nothing more."
        click.confirm(question, abort=True, err=True)
    return await send_command(config, StopMaster(), as_json=as_json)
