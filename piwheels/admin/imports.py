"""Wheels that were built elsewhere, handed to the master."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import click

from piwheels.admin.asking import connect, print_json
from piwheels.config import Config
from piwheels.errors import ConfigError, PiwheelsError
from piwheels.lines import plain
from piwheels.protocol.client import ControlClient
from piwheels.protocol.messages import (
    Accepted,
    Applied,
    Import,
    ImportChunk,
    ImportFetch,
)

_IMPORT_TIMEOUT_S = 600.0


async def import_wheels(config: Config, paths: Sequence[Path], *, as_json: bool) -> int:
    """Publish wheels that were built elsewhere."""
    async with connect(config) as client:
        for path in paths:
            applied = await _import(client, path)
            if as_json:
                print_json(applied)
            else:
                click.echo(plain(applied.text))
    return 0


async def _import(client: ControlClient, path: Path) -> Applied:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
            body = Import(filename=path.name, size_bytes=size, sha256=digest)
            return await _serve_import(client, body, file)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


async def _serve_import(client: ControlClient, body: Import, file: BinaryIO) -> Applied:
    async with client.stream(body) as talk:
        while True:
            match await talk.next(_IMPORT_TIMEOUT_S):
                case ImportFetch(offset=offset, length=length):
                    file.seek(offset)
                    await talk.tell(ImportChunk(offset=offset, data=file.read(length)))
                case Accepted():
                    continue
                case Applied() as applied:
                    return applied
                case other:
                    raise PiwheelsError(f"the master answered with {type(other).__name__}; odd")
