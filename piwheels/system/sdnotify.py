"""Status messages to systemd, as sd_notify(3) and sd_watchdog_enabled(3) define them."""

import os
import socket

_NOTIFY_TIMEOUT_S = 1.0


def sd_notify(state: str) -> bool:
    """Send systemd the service's state: `READY=1`, `STATUS=...`.

    Returns:
        Whether it was sent; without systemd, or when it does not receive, nothing happens.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(_NOTIFY_TIMEOUT_S)
        try:
            # The kernel reports that the receiver can take more only for a connected socket.
            channel.connect(address)
            channel.send(state.encode())
        except OSError:
            return False
    return True


def watchdog_interval_s() -> float | None:
    """How often to send WATCHDOG=1: half of systemd's limit; None without a watchdog."""
    limit, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not limit.isdigit() or int(limit) == 0 or (process and process != str(os.getpid())):
        return None
    return int(limit) / 2_000_000
