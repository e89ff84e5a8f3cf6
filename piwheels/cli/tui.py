"""The verb that opens the operator's console."""

import sys
from pathlib import Path

import click

from piwheels.cli.main import cli, config_option, load_config
from piwheels.errors import UsageError


@cli.command()
@click.option(
    "--connect",
    "address",
    metavar="ADDRESS",
    help="The master's control socket: ipc://PATH, tcp://HOST:PORT or ssh://[USER@]HOST[/SOCKET] "
    "(default: the configuration's).",
)
@click.option(
    "--key",
    "key_name",
    default="console",
    show_default=True,
    metavar="NAME",
    help="Over TCP: the key of this machine, as `piw key new NAME` made it.",
)
@click.option("--master-key", metavar="KEY", help="Over TCP: the master's public key.")
@click.option("--read-only", is_flag=True, help="Change nothing; the master refuses it too.")
@click.option("--low-bandwidth", is_flag=True, help="Send little: for slow links.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw with ASCII alone.")
@click.option("--no-mouse", is_flag=True, help="Leave the mouse to the terminal.")
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
    help="Write all that is heard into a new file, to be played later.",
)
@click.option(
    "--replay",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Play a recording instead of asking a master.",
)
@click.option("--run-by-up", is_flag=True, hidden=True, help="Started by `piw up`.")
@config_option
def tui(
    address: str | None,
    key_name: str,
    master_key: str | None,
    read_only: bool,
    low_bandwidth: bool,
    ascii_only: bool,
    no_mouse: bool,
    snapshot: Path | None,
    record: Path | None,
    replay: Path | None,
    run_by_up: bool,
    config_file: Path | None,
) -> None:
    """Open the operator's console: builders, queues, builds and logs, live, in this terminal.

    It needs nothing of the farm on this machine but a way to the master's control socket. Press ?
    in it for its keys, and : for all that it can do.
    """
    from piwheels.tui.run import Options, run

    key = None
    if replay is not None:
        if address or record:
            raise UsageError("--replay plays a file; --connect and --record want a master")
        address = ""
    elif address is None:
        address = load_config(config_file).master.control_bind
    elif address.startswith("tcp://"):
        from piwheels.protocol.keys import KeyStore, validate_public_key

        config = load_config(config_file, builder__master_key=master_key)
        key = KeyStore(config.builder.key_dir).require(key_name)
        master_key = validate_public_key(config.builder.master_key, "builder.master_key")
    options = Options(
        address=address,
        key=key,
        master_key=master_key or "",
        read_only=read_only,
        low_bandwidth=low_bandwidth,
        ascii_only=ascii_only,
        mouse=not no_mouse,
        snapshot=snapshot,
        record=record,
        replay=replay,
        started_by_up=run_by_up,
    )
    sys.exit(run(options))
