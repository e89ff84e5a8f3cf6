"""The keys that were refused a connection lately, for those who have to authorize them."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

#: More are not remembered: whoever reaches the port can make keys.
MAX_REFUSED_KEYS = 100
_KEPT = timedelta(hours=1)


class RefusedKey(NamedTuple):
    """A public key that is not authorized, and when it was refused last."""

    role: str  # what its peer wanted to be: builder, operator
    public: str
    refused_at: datetime


class RefusedKeys:
    """The keys refused within the last hour, in the order of their first time."""

    def __init__(self) -> None:
        self._by_key: dict[tuple[str, str], datetime] = {}

    def record(self, role: str, public: str) -> None:
        """A key was refused now; when there are too many, further ones are not remembered."""
        now = datetime.now(UTC)
        self._by_key = {key: at for key, at in self._by_key.items() if now - at < _KEPT}
        if (role, public) in self._by_key or len(self._by_key) < MAX_REFUSED_KEYS:
            self._by_key[role, public] = now

    @property
    def keys(self) -> tuple[RefusedKey, ...]:
        """Those that are remembered."""
        return tuple(RefusedKey(role, public, at) for (role, public), at in self._by_key.items())
