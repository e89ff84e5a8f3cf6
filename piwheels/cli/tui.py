"""`piw tui`: the operator's console."""

import sys
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import click

from piwheels.cli.main import cli
from piwheels.cli.options import config_option, load_config
from piwheels.errors import UsageError

if TYPE_CHECKING:
    from piwheels.protocol.sockets import KeyPair
    from piwheels.tui.farm_contexts import ContextResolver, MasterAddress
    from piwheels.tui.settings import ContextSettings

_P = ParamSpec("_P")

RING_NAMES = ("bell", "notification", "title")


def _complete_context(_: click.Context, __: click.Parameter, typed: str) -> list[str]:
    """The names of the contexts in console.toml, for the shell's completion."""
    from piwheels.tui.settings import context_names

    return [name for name in context_names() if name.startswith(typed)]


def _starts_without_gc(command: Callable[_P, None]) -> Callable[_P, None]:
    """What is imported stays, so that searching it for garbage only delays the first frame.

    The console enables the collector again.
    """

    @wraps(command)
    def run_command(*args: _P.args, **kwargs: _P.kwargs) -> None:
        import gc

        gc.disable()
        try:
            command(*args, **kwargs)
        finally:
            gc.enable()

    return run_command


@cli.command()
@click.option(
    "--connect",
    "address",
    metavar="ADDRESS",
    help="The master's control socket: ipc://PATH, tcp://HOST:PORT or ssh://[USER@]HOST[/SOCKET] "
    "(default: the configuration's). Several, separated by commas: a master and its standbys.",
)
@click.option(
    "--context",
    "context_name",
    metavar="NAME",
    shell_complete=_complete_context,
    help="The farm with this name in console.toml (default: the one shown last, if it has any).",
)
@click.option(
    "--key",
    "key_name",
    default="console",
    show_default=True,
    metavar="NAME",
    help="Over TCP: this machine's key, created by `piw key generate NAME`.",
)
@click.option("--master-key", metavar="KEY", help="Over TCP: the master's public key.")
@click.option("--read-only", is_flag=True, help="Allow no commands; the master rejects them too.")
@click.option("--low-bandwidth", is_flag=True, help="Draw less often: for slow links.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw with ASCII characters only.")
@click.option(
    "--no-mouse", is_flag=True, help="Do not use the mouse; the terminal can select text with it."
)
@click.option(
    "--ring",
    multiple=True,
    type=click.Choice((*RING_NAMES, "none")),
    help="What a new alert does; repeatable (default: all, or as in console.toml).",
)
@click.option(
    "--snapshot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.svg",
    help="Draw one frame into a file, and exit.",
)
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Record the session to a new file for --replay.",
)
@click.option(
    "--replay",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Play a recording instead of connecting to a master.",
)
@click.option("--run-by-up", is_flag=True, hidden=True, help="Started by `piw up`.")
@config_option
@_starts_without_gc
def tui(
    address: str | None,
    context_name: str | None,
    key_name: str,
    master_key: str | None,
    read_only: bool,
    low_bandwidth: bool,
    ascii_only: bool,
    no_mouse: bool,
    ring: tuple[str, ...],
    snapshot: Path | None,
    record: Path | None,
    replay: Path | None,
    run_by_up: bool,
    config_file: Path | None,
) -> None:
    """Open the operator's console: builders, queues, builds and logs, live.

    It connects to the master's control socket and needs nothing else of the farm. Press ? for its
    keys, and : to search its commands.

    \b
    Examples:
      piw tui
      piw tui --connect ssh://user@farm.local
    """  # noqa: D301 - \b is click's mark for lines to keep
    from piwheels.tui.run import Options, run
    from piwheels.tui.settings import RingSettings

    if replay is not None and (address or record or context_name):
        raise UsageError("--replay cannot be combined with --connect, --context or --record")
    if address and context_name:
        raise UsageError("--connect and --context exclude each other")
    options = Options(
        contexts=_context_resolver(
            config_file, address, context_name, key_name, master_key, read_only
        ),
        low_bandwidth=low_bandwidth,
        ascii_only=ascii_only,
        mouse=not no_mouse,
        snapshot=snapshot,
        record=record,
        replay=replay,
        started_by_up=run_by_up,
        ring=RingSettings(**{name: name in ring for name in RING_NAMES}) if ring else None,
    )
    sys.exit(run(options))


def _context_resolver(
    config_file: Path | None,
    address: str | None,
    context_name: str | None,
    key_name: str,
    master_key: str | None,
    read_only: bool,
) -> "ContextResolver":
    from piwheels.tui.farm_contexts import ContextResolver, MasterAddress

    connect = None
    if address is not None:
        connect = MasterAddress(address)
        if address.startswith("tcp://"):
            connect = MasterAddress(address, *_keys(config_file, key_name, "", master_key))
    return ContextResolver(
        configured=lambda: MasterAddress(load_config(config_file).master.control_bind),
        with_keys=partial(_with_keys, config_file),
        chosen=context_name or "",
        connect=connect,
        ignores_last=config_file is not None,
        read_only=read_only,
    )


def _with_keys(config_file: Path | None, context: "ContextSettings") -> "MasterAddress":
    from piwheels.tui.farm_contexts import MasterAddress

    if not context.address.startswith("tcp://"):
        return MasterAddress(context.address)
    keys = _keys(config_file, context.key, context.key_dir, context.master_key or None)
    return MasterAddress(context.address, *keys)


def _keys(
    config_file: Path | None, key_name: str, key_dir: str, master_key: str | None
) -> "tuple[KeyPair, str]":
    """This machine's key pair and the master's public key.

    Raises:
        ConfigError: one of them is missing.
    """
    from piwheels.protocol.keys import KeyStore, validate_public_key

    config = load_config(config_file, builder__master_key=master_key)
    store = KeyStore(Path(key_dir).expanduser() if key_dir else config.builder.key_dir)
    key = store.require(key_name)
    masters = config.builder.master_key.split(",")  # one for all, or one of each
    return key, ",".join(validate_public_key(one, "builder.master_key") for one in masters)
