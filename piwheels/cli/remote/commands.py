"""Sends an operator command, made from what was entered on the command line."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import click

from piwheels.cli.options import given_duration
from piwheels.cli.remote.client import connect, parse_release, print_json
from piwheels.config import Config
from piwheels.errors import RejectedError, UsageError
from piwheels.formatting import format_duration
from piwheels.protocol.commands.definition import (
    MAX_PACKAGES,
    CommandDefinition,
    Inputs,
    Kind,
    Parameter,
    parse_packages,
    parse_until,
    release_text,
)
from piwheels.protocol.messages import (
    BuilderState,
    BuilderView,
    CommandSucceeded,
    Status,
    StatusReply,
)
from piwheels.sanitize import strip_controls

#: The states of builders that a command to all does not name.
_ABSENT_STATES = frozenset({BuilderState.LOST, BuilderState.ENDED})


async def run_command(
    config: Config, definition: CommandDefinition[Any], values: Mapping[str, Any]
) -> int:
    """Send a command, after a question where that discards work; print the result.

    Args:
        config: names the master's control socket.
        definition: of the command.
        values: what click parsed, by parameter.

    Returns:
        1 when some of the builders did not accept it.
    """
    if definition.build is None:
        raise UsageError(f"{definition.name}: this command is not sent from the command line")
    entered = parse_inputs(definition, values)
    if any(it.kind is Kind.UNTIL for it in definition.parameters) and not entered.number:
        raise UsageError("say for how long: --for 2h, or --until 18:00")
    async with connect(config) as client:
        views: Sequence[BuilderView] = ()
        if any(it.kind is Kind.BUILDERS for it in definition.parameters):
            views = (await client.request(Status(), StatusReply)).builders
            entered = replace(entered, builders=_labels(views, values))
        body = definition.build(entered)
        if definition.discards_work(body) and not values.get("yes"):
            _confirm(definition, entered, views)
        reply = await client.request(body, CommandSucceeded)
    if values.get("as_json"):
        print_json(reply)
    else:
        click.echo(strip_controls(reply.text))
    return 1 if entered.builders and reply.count < len(entered.builders) else 0


def parse_inputs(definition: CommandDefinition[Any], values: Mapping[str, Any]) -> Inputs:
    """What was entered, by the kinds of the command's parameters.

    Raises:
        UsageError: something cannot be understood, or no builder or all of them are named.
    """
    inputs = Inputs()
    for parameter in definition.parameters:
        value: Any = values.get(parameter.name.lstrip("-").replace("-", "_"))
        match parameter.kind:
            case Kind.BUILDERS:
                _require_builders(values)
            case Kind.ALERTS:
                inputs = replace(inputs, alerts=tuple(dict.fromkeys(values["alerts"])))
            case Kind.RELEASE | Kind.PROJECT if value:
                release = parse_release(value)
                version = release.version if parameter.kind is Kind.RELEASE else None
                inputs = replace(inputs, project=release.project, version=version)
            case Kind.TARGET | Kind.WAITING:
                inputs = replace(inputs, **{parameter.kind: value})
            case Kind.PACKAGES:
                inputs = replace(inputs, packages=_packages(values["packages"]))
            case Kind.TEXT | Kind.CHOICE:
                inputs = replace(inputs, text=value)
            case Kind.DURATION | Kind.COUNT | Kind.UNTIL if value:
                inputs = replace(inputs, number=_number(parameter, value))
            case Kind.FLAG:
                inputs = replace(inputs, flag=bool(value))
    return inputs


def _require_builders(values: Mapping[str, Any]) -> None:
    if bool(values.get("labels")) == bool(values.get("all_builders")):
        raise UsageError("name builders, or use --all")


def _packages(names: Sequence[str]) -> tuple[str, ...]:
    packages = parse_packages(" ".join(names))
    if not packages:
        raise UsageError(f"{' '.join(names)!r}: name up to {MAX_PACKAGES} Debian packages")
    return packages


def _number(parameter: Parameter, value: str) -> float:
    if parameter.kind is Kind.COUNT:
        return float(value)
    if parameter.kind is Kind.DURATION:
        return given_duration(value)
    if seconds := parse_until(value):
        return seconds
    raise UsageError(f"{parameter.name} {value!r}: write 90m, 2h, 3d, or a time such as 18:00")


def _labels(views: Sequence[BuilderView], values: Mapping[str, Any]) -> tuple[str, ...]:
    if not values.get("all_builders"):
        return tuple(dict.fromkeys(values["labels"]))
    connected = tuple(view.label for view in views if view.state not in _ABSENT_STATES)
    if not connected:
        raise RejectedError("no builder is connected")
    return connected


def _confirm(
    definition: CommandDefinition[Any], entered: Inputs, views: Sequence[BuilderView]
) -> None:
    for view in views:
        if view.label in entered.builders and view.build is not None:
            spent = format_duration(view.build_s)
            release = f"{view.project} {view.release_version} for {view.target}"
            line = f"{view.label} is building {strip_controls(release)} (for {spent})"
            click.echo(line, err=True)
    question = definition.question.format(what=_what(entered))
    click.confirm(f"{question} {definition.consequence}".rstrip(), abort=True, err=True)


def _what(entered: Inputs) -> str:
    labels = entered.builders
    if len(labels) > 1:
        return f"these {len(labels)} builders ({', '.join(labels)})"
    return labels[0] if labels else release_text(entered.project, entered.version)
