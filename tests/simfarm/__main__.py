"""Runs a simulated farm on a control socket, for a console to watch."""

import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path

import click

from tests.simfarm.model import FarmModel
from tests.simfarm.server import SimFarm

_EPILOG = """
\b
In one terminal:   python -m tests.simfarm --builders 500 --hz 5 --socket /tmp/sim.sock
in another:        piw tui --connect ipc:///tmp/sim.sock

\b
kill -USR1 PID     go away, and with the next come back as the same master
kill -USR2 PID     the same, but come back as a new master
kill -STOP PID     hang (the link notices the silence); kill -CONT PID goes on

Commands of operators are carried out in the simulation and printed here.
"""


@click.command(epilog=_EPILOG)
@click.option("--builders", default=50, show_default=True, help="How many.")
@click.option("--hz", default=1.0, show_default=True, help="Changes of each builder a second.")
@click.option(
    "--socket", "path", type=Path, default=Path("/tmp/piwheels-sim.sock"), show_default=True,
    help="Where to listen.",
)  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same farm.")
@click.option("--build-s", default=30.0, show_default=True, help="A build's mean duration.")
@click.option("--fail-share", default=0.2, show_default=True, help="Share of builds that fail.")
@click.option("--log-lines", default=2000, show_default=True, help="Lines of a whole log.")
@click.option("--lines-per-s", default=50.0, show_default=True, help="Growth of a live log.")
@click.option("--answer-after-s", default=0.0, help="Take so long over each command.")
@click.option("--refuse", default="", metavar="REASON", help="Refuse every command.")
@click.option("--well", is_flag=True, help="No builder is lost, overdue, silent, asleep ...")
@click.option("--idle", is_flag=True, help="The farm is paused, and no build is running.")
@click.option("--no-downloads", is_flag=True, help="No access log is connected.")
def main(
    *,
    builders: int,
    hz: float,
    path: Path,
    seed: int,
    build_s: float,
    fail_share: float,
    log_lines: int,
    lines_per_s: float,
    answer_after_s: float,
    refuse: str,
    well: bool,
    idle: bool,
    no_downloads: bool,
) -> None:
    """A simulated farm that speaks the real control protocol, to work on the console with."""
    world = FarmModel(
        builders=builders,
        seed=seed,
        build_s=build_s,
        fail_share=fail_share,
        downloads=not no_downloads,
        odd=not well,
        idle=idle,
    )
    farm = SimFarm(
        address=f"ipc://{path.absolute()}",
        model=world,
        hz=hz,
        log_lines=log_lines,
        lines_per_s=lines_per_s,
        reply_delay_s=answer_after_s,
        rejection=refuse,
    )
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(farm))


async def _serve(farm: SimFarm) -> None:
    loop = asyncio.get_running_loop()
    turns: asyncio.Queue[bool] = asyncio.Queue()
    loop.add_signal_handler(signal.SIGUSR1, turns.put_nowait, False)
    loop.add_signal_handler(signal.SIGUSR2, turns.put_nowait, True)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with farm:
        print(f"listening at {farm.address}", flush=True)
        helpers = [
            asyncio.create_task(_turn(farm, turns)),
            asyncio.create_task(_tell(farm)),
            asyncio.create_task(_quit(farm, ended)),
        ]
        await ended.wait()
        for helper in helpers:
            helper.cancel()


async def _turn(farm: SimFarm, turns: asyncio.Queue[bool]) -> None:
    while True:
        new = await turns.get()
        if farm.is_listening:
            await farm.stop()
            print("gone", flush=True)
        else:
            farm.start(new=new)
            print(f"back as {'a new' if new else 'the same'} master", flush=True)


async def _tell(farm: SimFarm) -> None:
    printed = 0
    while True:
        for command in farm.received_commands[printed:]:
            print(f"{command.operator}: {command.body}", flush=True)
        printed = len(farm.received_commands)
        await asyncio.sleep(0.1)


async def _quit(farm: SimFarm, ended: asyncio.Event) -> None:
    await farm.stopped.wait()
    ended.set()


if __name__ == "__main__":
    sys.exit(main())
