"""The masters of a builder, as its settings name them: one that runs, and its standbys."""

import re
from typing import NamedTuple

from piwheels.errors import ConfigError

_MAX_PORT = 65_535
_PLACE = re.compile(
    r"(?:tcp://)?(?:\[(?P<ipv6>[^][]+)\]|(?P<host>[^][:/\s]+))"
    r"(?::(?P<port>\d{1,5})(?::(?P<upload>\d{1,5}))?)?\Z"
)
#: An IPv6 address alone needs no brackets.
_IPV6 = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.%a-z]*\Z")


class MasterPlace(NamedTuple):
    """Where a master is, and its public key ("" if it is not set)."""

    host: str
    port: int
    upload_port: int
    key: str


def parse_masters(
    masters: str, keys: str, default_port: int, default_upload_port: int
) -> list[MasterPlace]:
    """The masters that `builder.master` names, separated by commas.

    Args:
        masters: HOST, HOST:PORT or HOST:PORT:UPLOAD_PORT, each of which may begin with tcp://.
        keys: their public keys, separated by commas, or one for all.
        default_port: where none is given.
        default_upload_port: where none is given.

    Raises:
        ConfigError: one of them is malformed, or there is another number of keys.
    """
    names = [name.strip() for name in masters.split(",")]
    given = [key.strip() for key in keys.split(",")]
    if len(given) not in {1, len(names)}:
        raise ConfigError(
            f"builder.master_key has {len(given)} keys, and builder.master {len(names)} masters"
        )
    each = given if len(given) == len(names) else given * len(names)
    return [
        _parse(name, key, (default_port, default_upload_port))
        for name, key in zip(names, each, strict=True)
    ]


def _parse(name: str, key: str, ports: tuple[int, int]) -> MasterPlace:
    if _IPV6.match(name):
        return MasterPlace(name, *ports, key)
    found = _PLACE.match(name)
    if found is None:
        raise ConfigError(
            f"builder.master: {name!r} is not HOST, HOST:PORT or HOST:PORT:UPLOAD_PORT"
        )
    port, upload = (
        int(text) if text else default
        for text, default in zip(found.group("port", "upload"), ports, strict=True)
    )
    if not (0 < port <= _MAX_PORT and 0 < upload <= _MAX_PORT):
        raise ConfigError(f"builder.master: {name!r} has a port that is not 1 to {_MAX_PORT}")
    return MasterPlace(found["ipv6"] or found["host"], port, upload, key)
