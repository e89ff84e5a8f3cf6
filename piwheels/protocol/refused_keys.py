"""The keys that were refused a connection lately, for those who have to authorize them."""

import ipaddress
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from piwheels.model import RefusedKey

#: More are not remembered: whoever reaches the port can make keys.
MAX_REFUSED_KEYS = 100
#: So many of one host: it cannot hide the keys of all others.
MAX_OF_ADDRESS = 20
_KEPT = timedelta(hours=1)
#: Consoles show those of the last minutes, so many of them.
_RECENT = timedelta(minutes=10)
_MAX_RECENT = 20


class RefusedKeys:
    """The keys refused within the last hour, in the order of their first time."""

    def __init__(self) -> None:
        self._by_key: dict[tuple[str, str], RefusedKey] = {}

    def record(self, role: str, public: str, address: str = "") -> None:
        """A key was refused now; when there are too many, further ones are not remembered."""
        now = datetime.now(UTC)
        self._by_key = {key: it for key, it in self._by_key.items() if now - it.refused_at < _KEPT}
        if (role, public) in self._by_key or self._has_room(address):
            self._by_key[role, public] = RefusedKey(role, public, now, address)

    def forget(self, role: str, public: str) -> None:
        """Somebody has decided about this key."""
        self._by_key.pop((role, public), None)

    def _has_room(self, address: str) -> bool:
        host = _host_of(address)
        of_host = sum(_host_of(it.address) == host for it in self._by_key.values())
        return len(self._by_key) < MAX_REFUSED_KEYS and of_host < MAX_OF_ADDRESS

    @property
    def keys(self) -> tuple[RefusedKey, ...]:
        """Those that are remembered."""
        return tuple(self._by_key.values())

    def recent(self) -> tuple[RefusedKey, ...]:
        """Those of the last minutes, with the minute of their last time, the last ones first.

        A peer retries every few seconds; consoles are not notified of every attempt.
        """
        now = datetime.now(UTC)
        recent = [
            replace(it, refused_at=it.refused_at.replace(second=0, microsecond=0))
            for it in self._by_key.values()
            if now - it.refused_at < _RECENT
        ]
        recent.sort(key=lambda it: it.refused_at, reverse=True)
        return tuple(recent[:_MAX_RECENT])


def _host_of(address: str) -> str:
    """What tells hosts apart: an IPv4 address, or the /64 of an IPv6 one: a host has all of it."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return f"{int(parsed) >> 64:x}::/64"
