"""The verbs that tell builders, the queue and the master what to do."""

from pathlib import Path
from typing import Any

import click

from piwheels.cli.main import cli, config_option, json_option, load_config, run_and_exit, yes_option

_labels_argument = click.argument("labels", nargs=-1, metavar="[BUILDER]...")
_all_builders_option = click.option(
    "--all", "every", is_flag=True, help="All builders that are connected."
)


def _command_builders(
    order: str, labels: tuple[str, ...], config_file: Path | None, **how: Any
) -> None:
    from piwheels.cli.remote import builder_commands
    from piwheels.protocol.messages import BuilderCommand

    run_and_exit(
        builder_commands.command_builders(
            load_config(config_file), BuilderCommand(order), labels, **how
        )
    )


@cli.command()
@_labels_argument
@_all_builders_option
@click.option(
    "--rolling",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="N at a time: the next when one is back, or is gone for good.",
)
@config_option
@json_option
def drain(
    labels: tuple[str, ...],
    every: bool,
    rolling: int | None,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Let builders end after the build in hand, for a restart or an upgrade."""
    _command_builders(
        "restart" if rolling else "drain",
        labels,
        config_file,
        every=every,
        rolling=rolling or 0,
        as_json=as_json,
    )


@cli.command()
@_labels_argument
@_all_builders_option
@click.option("--now", is_flag=True, help="Do not wait for builds in hand: they start elsewhere.")
@yes_option
@config_option
@json_option
def sleep(
    labels: tuple[str, ...],
    every: bool,
    now: bool,
    yes: bool,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Give builders no more jobs until they are woken, also after a restart.

    A build that is dropped with --now goes back into the queue as if it had not begun: it counts
    neither as a try nor as a failure.
    """
    _command_builders(
        "sleep", labels, config_file, every=every, at_once=now, yes=yes, as_json=as_json
    )


@cli.command()
@_labels_argument
@_all_builders_option
@config_option
@json_option
def wake(labels: tuple[str, ...], every: bool, config_file: Path | None, as_json: bool) -> None:
    """Give builders jobs again that were put to sleep, or quarantined for their failures."""
    _command_builders("wake", labels, config_file, every=every, as_json=as_json)


@cli.command()
@_labels_argument
@_all_builders_option
@yes_option
@config_option
@json_option
def abandon(
    labels: tuple[str, ...], every: bool, yes: bool, config_file: Path | None, as_json: bool
) -> None:
    """Drop the builds that builders have in hand; they are tried again later."""
    _command_builders("cancel", labels, config_file, every=every, yes=yes, as_json=as_json)


@cli.command()
@_labels_argument
@_all_builders_option
@yes_option
@config_option
@json_option
def kill(
    labels: tuple[str, ...], every: bool, yes: bool, config_file: Path | None, as_json: bool
) -> None:
    """End builders at once; the builds that they have in hand are tried again later."""
    _command_builders("kill", labels, config_file, every=every, yes=yes, as_json=as_json)


@cli.command()
@click.argument("release", metavar="PROJECT[==VERSION]")
@click.argument("target", required=False)
@click.option(
    "--by",
    default="1d",
    show_default=True,
    metavar="DURATION",
    help="How much earlier than queued (90s, 15m, 2h, 1d); later with a minus; 0 as queued.",
)
@config_option
@json_option
def prioritise(
    release: str, target: str | None, by: str, config_file: Path | None, as_json: bool
) -> None:
    """Build what waits of a project or release before what was queued up to a day earlier."""
    from piwheels.cli.remote import projects

    run_and_exit(
        projects.prioritize(load_config(config_file), release, by, target=target, as_json=as_json)
    )


@cli.command()
@config_option
@json_option
def pause(config_file: Path | None, as_json: bool) -> None:
    """Hand out no more jobs; builds in hand go on."""
    from piwheels.cli.remote import builder_commands

    run_and_exit(builder_commands.pause(load_config(config_file), paused=True, as_json=as_json))


@cli.command()
@config_option
@json_option
def resume(config_file: Path | None, as_json: bool) -> None:
    """Hand out jobs again."""
    from piwheels.cli.remote import builder_commands

    run_and_exit(builder_commands.pause(load_config(config_file), paused=False, as_json=as_json))


@cli.command()
@yes_option
@config_option
@json_option
def quit(yes: bool, config_file: Path | None, as_json: bool) -> None:  # noqa: A001 - the verb
    """End the master (systemd starts it again); builders go on and wait for the next one."""
    from piwheels.cli.remote import builder_commands

    run_and_exit(builder_commands.stop_master(load_config(config_file), yes=yes, as_json=as_json))
