"""Orders to builders, and to the farm as a whole."""

from collections.abc import Sequence

import click
import humanize

from piwheels.admin.asking import apply, connect, print_json
from piwheels.config import Config
from piwheels.errors import RefusedError, UsageError
from piwheels.lines import plain
from piwheels.protocol.messages import (
    Applied,
    BuilderState,
    BuilderView,
    Order,
    OrderBuilders,
    Pause,
    Quit,
    Resume,
    Status,
    StatusReply,
)

_LOSES = {
    Order.KILL: "Kill {who}? Builds in hand are lost, and tried again later.",
    Order.SKIP: "Drop the builds in hand of {who}? They are tried again later.",
    Order.SLEEP: "Put {who} to sleep at once? Builds in hand start again elsewhere.",
}


async def order(
    config: Config,
    which: Order,
    labels: Sequence[str],
    *,
    every: bool = False,
    at_once: bool = False,
    rolling: int = 0,
    yes: bool = False,
    as_json: bool = False,
) -> int:
    """Give an order to builders, after a question where that loses work.

    Returns:
        1 when some of them could not heed it.
    """
    if bool(labels) == every:
        raise UsageError("name builders, or say --all")
    async with connect(config) as client:
        views = (await client.ask(Status(), StatusReply)).builders
        names = _there(views) if every else tuple(dict.fromkeys(labels))
        if not names:
            raise RefusedError("no builder is connected")
        loses = which in {Order.KILL, Order.SKIP} or at_once
        if loses and not yes:
            _ask(which, [view for view in views if view.label in names], names)
        body = OrderBuilders(order=which, builders=names, at_once=at_once, rolling=rolling)
        applied = await client.ask(body, Applied)
    if as_json:
        print_json(applied)
    else:
        click.echo(plain(applied.text))
    return 0 if applied.count == len(names) else 1


def _there(views: Sequence[BuilderView]) -> tuple[str, ...]:
    return tuple(view.label for view in views if view.state != BuilderState.LOST)


def _ask(which: Order, views: Sequence[BuilderView], names: Sequence[str]) -> None:
    for view in views:
        if view.build is not None:
            spent = humanize.naturaldelta(view.build_s)
            what = f"{view.project} {view.version_built} for {view.target}"
            click.echo(f"{view.label} builds {plain(what)}, for {spent} now", err=True)
    who = names[0] if len(names) == 1 else f"these {len(names)} builders ({', '.join(names)})"
    click.confirm(_LOSES[which].format(who=who), abort=True, err=True)


async def pause(config: Config, *, paused: bool, as_json: bool) -> int:
    """Hold jobs back, or hand them out again."""
    return await apply(config, Pause() if paused else Resume(), as_json=as_json)


async def end_master(config: Config, *, yes: bool, as_json: bool) -> int:
    """End the master, after a question."""
    if not yes:
        question = "End the master? Builders go on with what they have, and get nothing more."
        click.confirm(question, abort=True, err=True)
    return await apply(config, Quit(), as_json=as_json)
