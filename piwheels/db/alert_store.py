"""The alerts of the farm, kept across restarts of the master; the tracker bounds their number."""

from collections.abc import Sequence

import msgspec

from piwheels.db import key_values
from piwheels.db.database import Database
from piwheels.model import Alert

_KEY = "alerts"


async def load_alerts(db: Database) -> tuple[Alert, ...]:
    """The alerts that were stored last; () where another version stored them."""
    stored = await key_values.get_value(db, _KEY)
    try:
        return msgspec.json.decode(stored or "[]", type=tuple[Alert, ...])
    except msgspec.MsgspecError:
        return ()


async def store_alerts(db: Database, alerts: Sequence[Alert]) -> None:
    """Replace the stored alerts."""
    await key_values.set_value(db, _KEY, msgspec.json.encode(alerts).decode())
