"""The command line of every operator command, made from its definition."""

from collections.abc import Callable, Iterator
from typing import Any

import click

from piwheels.cli.options import config_option, json_option, load_config, run_and_exit, yes_option
from piwheels.protocol.commands import definitions
from piwheels.protocol.commands.definition import CommandDefinition, Kind, Parameter

#: Groups that only hold commands, with their help.
GROUP_HELP = {"pages": "Manage the pages of the index and the web site."}


class TargetCommand(click.Command):
    """Takes the target as a second argument, as before `--target`, with a line that says so."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and move a single extra argument to `target`."""
        ctx.allow_extra_args = True
        super().parse_args(ctx, args)
        if len(ctx.args) == 1 and ctx.params.get("target") is None:
            ctx.params["target"] = ctx.args.pop()
            click.echo(
                f"piw: `{ctx.command_path} ... TARGET` is now `{ctx.command_path} ... --target "
                "TARGET`; the old form will be removed in the next release",
                err=True,
            )
        if ctx.args:
            ctx.fail(f"Got unexpected extra argument ({' '.join(ctx.args)})")
        return ctx.args


def help_text(definition: CommandDefinition[Any]) -> str:
    """The help of a command: what it does, and examples of it."""
    role = f"Requires the role {definition.role}; see `piw key authorize --help`."
    blocks = [definition.summary, definition.details, role]
    if definition.examples:
        blocks.append(
            "\n".join(("\b", "Examples:", *(f"  {line}" for line in definition.examples)))
        )
    return "\n\n".join(filter(None, blocks))


def add_commands(root: click.Group) -> None:
    """Add every defined command to the root or to its group."""
    for definition in definitions():
        if definition.build is not None and definition.name:
            add_command(root, definition)


def add_command(root: click.Group, definition: CommandDefinition[Any]) -> None:
    """Add one command; a group that does not exist yet is made."""
    *path, name = definition.name.split()
    group = root
    for word in path:
        child = group.commands.get(word)
        if not isinstance(child, click.Group):
            child = click.Group(word, help=GROUP_HELP.get(word, f"Commands of {word}."))
            group.add_command(child)
        group = child
    group.add_command(make_command(definition, name))


def make_command(definition: CommandDefinition[Any], name: str) -> click.Command:
    """The click command of a definition."""

    def run(**values: Any) -> None:
        from piwheels.cli.remote.commands import run_command

        if not_named := _missing(definition, values):
            raise click.UsageError(not_named)
        config = load_config(values["config_file"])
        run_and_exit(run_command(config, definition, values))

    function: Callable[..., Any] = run
    for decorator in reversed([*_decorators(definition)]):
        function = decorator(function)
    kinds = {parameter.kind for parameter in definition.parameters}
    return click.command(
        name,
        cls=TargetCommand if kinds >= {Kind.TARGET, Kind.RELEASE} else click.Command,
        help=help_text(definition),
        short_help=definition.summary,
    )(function)


def _missing(definition: CommandDefinition[Any], values: dict[str, Any]) -> str:
    """What has to be named where the release is optional; "" if something is."""
    optional = [it for it in definition.parameters if it.kind is Kind.RELEASE and not it.required]
    if not optional or values["release"] or values["target"]:
        return ""
    return "name a PROJECT[==VERSION] or a --target"


def _decorators(definition: CommandDefinition[Any]) -> Iterator[Callable[..., Any]]:
    for parameter in definition.parameters:
        yield from _parameter_decorators(parameter)
    if definition.question:
        yield yes_option
    yield config_option
    yield json_option


def _parameter_decorators(parameter: Parameter) -> Iterator[Callable[..., Any]]:
    match parameter.kind:
        case Kind.BUILDERS:
            yield click.argument("labels", nargs=-1, metavar="[BUILDER]...")
            yield click.option(
                "--all", "all_builders", is_flag=True, help="All connected builders."
            )
        case Kind.ALERTS:
            yield click.argument("alerts", nargs=-1, required=True, metavar="ID...")
        case Kind.PACKAGES:
            yield click.argument(parameter.name, nargs=-1, required=True, metavar="PACKAGE...")
        case _ if not parameter.name.startswith("-"):
            yield click.argument(
                parameter.name,
                type=_option_type(parameter),
                required=parameter.required,
                metavar=parameter.metavar or None,
            )
        case Kind.FLAG:
            yield click.option(parameter.name, is_flag=True, help=parameter.help)
        case _:
            yield click.option(
                parameter.name,
                type=_option_type(parameter),
                default=parameter.default,
                show_default=parameter.default is not None,
                metavar=parameter.metavar or None,
                help=parameter.help,
            )


def _option_type(parameter: Parameter) -> click.ParamType[Any] | None:
    match parameter.kind:
        case Kind.CHOICE:
            return click.Choice(parameter.choices)
        case Kind.COUNT:
            return click.IntRange(min=1)
        case _:
            return None
