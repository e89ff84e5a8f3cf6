"""The keys that a master signs statements with, in one file of `master.key_dir`, mode 0600.

The newest one signs. Of one that was replaced only the public key is kept, so that what it signed
can still be verified.
"""

import base64
import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from piwheels.errors import MALFORMED, ConfigError, UsageError
from piwheels.provenance import ed25519
from piwheels.provenance.public_keys import PublicKey, PublicKeys, limit_key
from piwheels.webroot import as_owner, replace_file

FILE_NAME = "signing-keys.json"
#: The name of the current signing key in commands.
CURRENT = "current"
_MODE = 0o600


class _StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    public: PublicKey
    private: str = ""  # base64 of its 32 bytes; "" once it was replaced


class SigningKeys:
    """The keys in one folder; the file is read at each use, so that a rotation counts at once."""

    def __init__(self, key_dir: Path) -> None:
        self.path = key_dir / FILE_NAME

    def ensure(self) -> PublicKey:
        """The key that signs now, generated if there is none.

        Raises:
            ConfigError: the file cannot be read or written.
        """
        if keys := self._load():
            return keys[0].public
        with self._locked():
            keys = self._load() or self._store([_new_key()])
        return keys[0].public

    def rotate(self, revoke: str = "", reason: str = "") -> PublicKey:
        """Replace the key that signs by a new one, which is returned.

        The private key of the old one is deleted, and its public key kept.

        Args:
            revoke: a key of which nothing is trusted from now on: its id or the first digits of
                that, or CURRENT; "" for none.
            reason: why it is revoked, for everybody to read.

        Raises:
            ConfigError: the file cannot be read or written.
            UsageError: no key, or more than one, has this id.
        """
        with self._locked():
            fresh, known = _new_key(), [key.public for key in self._load()]
            at = fresh.public.valid_from
            revoked = _named(known, revoke) if revoke else None
            old = [
                msgspec.structs.replace(
                    key,
                    valid_until=key.valid_until or at,
                    revoked_at=key.revoked_at or (at if key is revoked else None),
                    revoked_reason=reason if key is revoked else key.revoked_reason,
                )
                for key in known
            ]
            self._store([fresh, *(_StoredKey(public=key) for key in old)])
        return fresh.public

    def follow(self, published: Iterable[PublicKey], *, adopt: bool) -> bool:
        """Apply what was published of keys, perhaps by a master with newer keys than these.

        A key that was revoked or replaced there is so here, and signs nothing more: if it is the
        one that signs, a new one does.

        Args:
            published: those keys.
            adopt: whether those that are not known here are kept, so that what they signed
                verifies.

        Returns:
            Whether anything changed.

        Raises:
            ConfigError: the file cannot be read or written.
        """
        others = [_StoredKey(public=key) for key in published]
        known = self._load()
        if _merged(known, others, adopt=adopt) == known:
            return False
        with self._locked():
            self._store(_merged(self._load(), others, adopt=adopt))
        return True

    def revoked(self) -> frozenset[str]:
        """The ids of the keys that were revoked.

        Raises:
            ConfigError: the file cannot be read.
        """
        return frozenset(key.public.keyid for key in self._load() if key.public.revoked_at)

    def load(self) -> tuple[PublicKeys, bytes]:
        """Every key as it is published, the newest first, and the private key of the first.

        Raises:
            ConfigError: the file cannot be read, or there is no key.
        """
        keys = self._load()
        if not keys:
            raise ConfigError(f"no signing key in {self.path}: the master makes one when it starts")
        document = PublicKeys(keys=tuple(key.public for key in keys))
        return document, base64.b64decode(keys[0].private)

    def _load(self) -> list[_StoredKey]:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=list[_StoredKey])
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ConfigError(f"{self.path}: {error.strerror}") from None
        except MALFORMED:
            raise ConfigError(
                f"{self.path} holds no signing keys: restore it from a backup, or remove it to "
                "have new ones made, which do not verify what the old ones signed"
            ) from None

    def _store(self, keys: list[_StoredKey]) -> list[_StoredKey]:
        try:
            replace_file(self.path, _encode(keys), mode=_MODE)
        except OSError as error:
            raise ConfigError(f"{self.path}: {error.strerror}") from None
        return keys

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time changes the keys."""
        folder = self.path.parent
        with as_owner(folder):
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            except OSError as error:
                raise ConfigError(f"{folder}: {error.strerror}") from None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)


def _encode(keys: list[_StoredKey]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(keys)) + b"\n"


def _named(keys: list[PublicKey], name: str) -> PublicKey:
    """The key with an id, by its first digits, or the one that signs."""
    found = keys[:1] if name == CURRENT else [key for key in keys if key.keyid.startswith(name)]
    if len(found) != 1:
        many = "more than one signing key" if found else "no signing key"
        raise UsageError(
            f"{many} has an id that begins with {name}: provenance-keys.json of the web root has "
            "them"
        )
    return found[0]


def merge_restored(backup: bytes, present: bytes) -> bytes:
    """The file of a backup, without what was rotated or revoked here since it was made."""
    try:
        ours, others = (
            msgspec.json.decode(content, type=list[_StoredKey]) for content in (backup, present)
        )
    except MALFORMED:
        return backup
    return _encode(_merged(ours, others, adopt=True))


def _merged(ours: list[_StoredKey], others: list[_StoredKey], *, adopt: bool) -> list[_StoredKey]:
    """These keys with the limits that others put on them, the one that signs first."""
    limits = {key.public.keyid: key.public for key in others}
    known = {key.public.keyid for key in ours}
    keys = [
        msgspec.structs.replace(
            key, public=limit_key(key.public, limits.get(key.public.keyid, key.public))
        )
        for key in ours
    ]
    if adopt:
        keys += [key for key in others if key.public.keyid not in known]
    current = next((key for key in keys if key.private and _is_in_use(key.public)), None)
    current = current or _new_key()
    now = datetime.now(UTC)
    replaced = [
        _StoredKey(
            public=msgspec.structs.replace(key.public, valid_until=key.public.valid_until or now)
        )
        for key in keys
        if key is not current
    ]
    return [current, *sorted(replaced, key=lambda key: key.public.valid_from, reverse=True)]


def _is_in_use(key: PublicKey) -> bool:
    return key.valid_until is None and key.revoked_at is None


def _new_key() -> _StoredKey:
    private = ed25519.generate()
    public = ed25519.public_key(private)
    return _StoredKey(
        public=PublicKey(
            keyid=ed25519.key_id(public),
            public_key=base64.b64encode(public).decode(),
            valid_from=datetime.now(UTC),
        ),
        private=base64.b64encode(private).decode(),
    )
