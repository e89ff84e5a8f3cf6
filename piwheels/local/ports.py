"""TCP ports of the private farm."""

import random
import socket
from pathlib import Path

from piwheels.errors import ConfigError

#: From here on up to where the system's own begin, which any connection may be given.
_FIRST = 15_000
_SYSTEMS_OWN = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 100


def free_port() -> int:
    """A TCP port that nobody listens on now, and that no connection takes by chance meanwhile."""
    for _ in range(_TRIES):
        port = random.randrange(_FIRST, _first_of_the_system())  # noqa: S311 - no secret
        if port_is_free("127.0.0.1", port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _first_of_the_system() -> int:
    try:
        first = int(_SYSTEMS_OWN.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first = 0
    return max(2 * _FIRST, first)


def port_is_free(host: str, port: int) -> bool:
    """Whether a TCP port can be listened on."""
    try:
        listening(host, port).close()
    except ConfigError:
        return False
    return True


def own_address() -> str:
    """The address by which its network reaches this machine; loopback where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing, and tells by which address something would be sent (RFC 5737's net).
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def listening(host: str, port: int) -> socket.socket:
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
