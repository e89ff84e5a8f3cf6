"""The console's connection as a program: prints what happens, and sends commands from its input.

    python -m tests.links.console FOLDER NAME MASTER_ADDRESS

Each line of the input is the name of a project to skip; each line of the output an `Entry` in JSON.
"""

import asyncio
import sys
import time
from pathlib import Path

import msgspec

from piwheels.protocol.commands.projects import Skip
from piwheels.protocol.keys import MASTER, KeyStore
from piwheels.tui.client.connection import MasterConnection
from piwheels.tui.model.source_events import Connected, Disconnected

CONTROL_PORT = 5554


class Entry(msgspec.Struct, frozen=True):
    """Something that a console shows; `at` is in seconds of the machine's monotonic clock."""

    at: float
    what: str  # "connected", "disconnected", "alive", or a command's state
    text: str = ""
    project: str = ""  # of a command


def _print(what: str, text: str = "", project: str = "") -> None:
    entry = Entry(time.monotonic(), what, text, project)
    print(msgspec.json.encode(entry).decode(), flush=True)


async def _watch(connection: MasterConnection) -> None:
    async for event in connection.events():
        match event:
            case Connected():
                _print("connected")
            case Disconnected(reason=reason):
                _print("disconnected", reason)
            case _:
                _print("alive")


async def _command(connection: MasterConnection, project: str) -> None:
    status = await connection.command(
        Skip(project=project, reason="a test"), description=f"skip {project}"
    )
    _print(status.state, status.text, project)


async def _main(folder: Path, name: str, address: str) -> None:
    keys = KeyStore(folder / "keys")
    connection = MasterConnection(
        f"tcp://{address}:{CONTROL_PORT}",
        key=keys.require(name),
        server_key=keys.require(MASTER).public,
    )
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_watch(connection))
        while line := await asyncio.to_thread(sys.stdin.readline):
            group.create_task(_command(connection, line.strip()))
        watching.cancel()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), *sys.argv[2:]))
