"""TCP ports of the private farm."""

import random
import socket
from pathlib import Path

from piwheels.errors import ConfigError

#: Ports from here up to the ephemeral ones, which the system may give to any connection.
_FIRST_PORT = 15_000
_EPHEMERAL_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_MAX_TRIES = 100


def free_port() -> int:
    """A TCP port that nothing listens on, outside the ephemeral range."""
    for _ in range(_MAX_TRIES):
        port = random.randrange(_FIRST_PORT, _first_ephemeral_port())  # noqa: S311 - no secret
        if port_is_free("127.0.0.1", port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _first_ephemeral_port() -> int:
    try:
        first = int(_EPHEMERAL_RANGE_FILE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first = 0
    return max(2 * _FIRST_PORT, first)


def port_is_free(host: str, port: int) -> bool:
    """Whether a TCP port can be listened on."""
    try:
        bind_listener(host, port).close()
    except ConfigError:
        return False
    return True


def local_ip() -> str:
    """This machine's address on its network; loopback if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing, but selects the address that would be used (TEST-NET-1, RFC 5737).
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def bind_listener(host: str, port: int) -> socket.socket:
    """A socket that listens on a port; the caller closes it.

    Raises:
        ConfigError: the port is taken, or the host is not this machine's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"cannot listen on {host}: {reason}; choose another with --host"
        ) from None
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on port {port} of {host}: {error.strerror}; choose another with "
            "--port or --host"
        ) from None
    return listener
