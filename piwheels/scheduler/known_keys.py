"""The public keys of statements in the database, for masters with older copies of the keys.

A key is recorded before it signs: one that only the web root has is published as revoked by the
next master, and stays so.
"""

import asyncio
import contextlib
import errno
from dataclasses import dataclass, field

from piwheels.db import key_values
from piwheels.db.database import Database, DatabaseError, DatabaseUnavailableError
from piwheels.db.statements import KNOWN_KEYS
from piwheels.provenance.errors import NotVerifiedError
from piwheels.provenance.public_keys import PublicKey, PublicKeys, limit_key, parse_public_keys

_TIMEOUT_S = 60.0


async def known_keys(db: Database) -> list[PublicKey] | None:
    """The keys that masters have recorded; None if none ever did, as before an upgrade."""
    return recorded_keys(await key_values.get_value(db, KNOWN_KEYS))


def recorded_keys(text: str | None) -> list[PublicKey] | None:
    """The keys in the value of KNOWN_KEYS; None if there is no value."""
    return None if text is None else _parsed(text)


async def record_keys(db: Database, public: PublicKeys) -> None:
    """Add keys to those that are recorded; an end or a revocation that either has counts."""

    async def add() -> None:
        before = await key_values.lock_value(db, KNOWN_KEYS, "")
        recorded = {key.keyid: key for key in _parsed(before)}
        ours = [limit_key(key, recorded.pop(key.keyid, key)) for key in public.keys]
        text = PublicKeys(keys=(*ours, *recorded.values())).encode().decode()
        if text != before:
            await key_values.set_value(db, KNOWN_KEYS, text)

    await db.in_transaction(add)


def _parsed(text: str) -> list[PublicKey]:
    with contextlib.suppress(NotVerifiedError):
        return list(parse_public_keys(text.encode(), "the database").values())
    return []


@dataclass(slots=True)
class KeyRecorder:
    """Records keys from a thread, over a connection of its own; only when they have changed."""

    dsn: str
    _recorded: PublicKeys | None = field(default=None, init=False)

    def __call__(self, public: PublicKeys) -> None:
        """Record the keys; no event loop may run in this thread.

        Raises:
            OSError: the database does not take them now.
        """
        if public == self._recorded:
            return
        try:
            asyncio.run(asyncio.wait_for(self._record(public), _TIMEOUT_S))
        except (DatabaseError, DatabaseUnavailableError, TimeoutError) as error:
            raise OSError(
                errno.EIO, f"the database does not record signing keys: {error}"
            ) from error
        self._recorded = public

    async def _record(self, public: PublicKeys) -> None:
        async with await Database.connect(self.dsn, role="keys") as db:
            await record_keys(db, public)
