"""`piw import`: sends wheels that were built elsewhere to the master."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import click

from piwheels.cli.remote.client import connect, print_json
from piwheels.config import Config
from piwheels.errors import ConfigError
from piwheels.protocol.client import ControlClient, unexpected_reply
from piwheels.protocol.messages import (
    Accepted,
    CommandSucceeded,
    ImportChunk,
    ImportChunkRequest,
    ImportWheel,
)
from piwheels.sanitize import strip_controls

_IMPORT_TIMEOUT_S = 600.0


async def import_wheels(config: Config, paths: Sequence[Path], *, as_json: bool) -> int:
    """Publish wheels that were built elsewhere."""
    async with connect(config) as client:
        for path in paths:
            applied = await _import_wheel(client, path)
            if as_json:
                print_json(applied)
            else:
                click.echo(strip_controls(applied.text))
    return 0


async def _import_wheel(client: ControlClient, path: Path) -> CommandSucceeded:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
            body = ImportWheel(filename=path.name, size_bytes=size, sha256=digest)
            return await _send_wheel(client, body, file)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


async def _send_wheel(client: ControlClient, body: ImportWheel, file: BinaryIO) -> CommandSucceeded:
    async with client.stream(body) as stream:
        while True:
            match await stream.next(_IMPORT_TIMEOUT_S):
                case ImportChunkRequest(offset=offset, length=length):
                    file.seek(offset)
                    await stream.send_part(ImportChunk(offset=offset, data=file.read(length)))
                case Accepted():
                    continue
                case CommandSucceeded() as applied:
                    return applied
                case other:
                    raise unexpected_reply(other)
