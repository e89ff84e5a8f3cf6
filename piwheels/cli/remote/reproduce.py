"""Asks the master to build wheels again, waits for the results and prints them."""

import asyncio
import time

import click
import msgspec

from piwheels.cli.remote.client import connect, parse_release, print_json
from piwheels.config import Config
from piwheels.errors import NotNowError
from piwheels.formatting import pluralize
from piwheels.model import Reproduction, ReproductionResult
from piwheels.protocol.client import ControlClient, MasterUnreachableError
from piwheels.protocol.messages import (
    CommandSucceeded,
    ListReproductions,
    Reproduce,
    ReproductionsReply,
)
from piwheels.sanitize import strip_controls

_POLL_INTERVAL_S = 1.0
#: A master that does not answer for longer ends the command.
_MAX_AWAY_S = 600.0
_DIFFERS, _FAILED = 1, 3
_SYMBOLS = {"missing": "-", "extra": "+"}


async def reproduce(
    config: Config, text: str, target: str | None, *, wait: bool, as_json: bool
) -> int:
    """Have the wheels of a release built again.

    Returns:
        0 if they are the same, 1 if one differs, 3 if one could not be built; without `wait`, 0.
    """
    name = parse_release(text)
    command = Reproduce(project=name.project, version=name.version, target=target)
    async with connect(config) as client:
        reply = await client.request(command, CommandSucceeded)
        click.echo(strip_controls(reply.text), err=wait or as_json)
        query = ListReproductions(project=name.project, version=name.version or "", target=target)
        found = () if wait else await _read(client, query)
    if wait:
        found = await _wait(config, query)
    if as_json:
        print_json([msgspec.to_builtins(each) | {"text": each.summary} for each in found])
    elif wait:
        for each in found:
            _print(each)
    return _exit_code(found) if wait else 0


async def _read(client: ControlClient, query: ListReproductions) -> tuple[Reproduction, ...]:
    return (await client.request(query, ReproductionsReply)).reproductions


async def _wait(config: Config, query: ListReproductions) -> tuple[Reproduction, ...]:
    """Wait until none of them is pending, also while the master restarts."""
    shown: dict[int, str] = {}
    away_since: float | None = None
    while True:
        try:
            async with connect(config) as client:
                return await _follow(client, query, shown)
        except (MasterUnreachableError, NotNowError):
            away_since = away_since or time.monotonic()
            if time.monotonic() - away_since > _MAX_AWAY_S:
                raise
            await asyncio.sleep(_POLL_INTERVAL_S)


async def _follow(
    client: ControlClient, query: ListReproductions, shown: dict[int, str]
) -> tuple[Reproduction, ...]:
    """The same over one connection; says meanwhile what happens and was not shown yet."""
    while True:
        found = await _read(client, query)
        for each in found:
            if shown.get(each.reproduction_id) != each.summary:
                shown[each.reproduction_id] = each.summary
                click.echo(strip_controls(f"{each.filename}: {each.summary}"), err=True)
        if not any(each.result is ReproductionResult.PENDING for each in found):
            return found
        await asyncio.sleep(_POLL_INTERVAL_S)


def _print(each: Reproduction) -> None:
    click.echo(click.style(strip_controls(f"{each.filename}: {each.result}"), bold=True))
    lines = [f"{each.summary}: built by {each.original_builder}, then by {each.builder}"]
    lines += [
        f"  {_SYMBOLS.get(item.change, '*')} {item.member}: {item.how}" for item in each.differences
    ]
    if each.unlisted:
        lines.append(f"  and {pluralize(each.unlisted, 'further member')}")
    if each.changed_inputs:
        lines += ["the builds got different inputs:", *(f"  {it}" for it in each.changed_inputs)]
    for line in lines:
        click.echo(f"  {strip_controls(line)}")


def _exit_code(found: tuple[Reproduction, ...]) -> int:
    results = {each.result for each in found}
    if not found or ReproductionResult.FAILED in results:
        return _FAILED
    return 0 if results == {ReproductionResult.SAME} else _DIFFERS
