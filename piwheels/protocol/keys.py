"""CURVE keys, and those that may connect to the master, as files in one folder.

    keys/<name>.secret           a key pair of this machine, mode 0600
    keys/builder/<name>          the public key of an authorized builder
    keys/<role>/<name>           the public key of a console, over TCP: watch, operate, administer

Keys are shown and stored as 64 hexadecimal digits: ZeroMQ's own format (Z85) has characters that
a shell would interpret. The name of a builder's file is its label.
"""

import errno
import logging
import os
import re
import time
from enum import StrEnum
from pathlib import Path

import msgspec

from piwheels.errors import ConfigError
from piwheels.model import OTHER_MAKERS
from piwheels.protocol.rate_limit import RateLimitedLog
from piwheels.protocol.sockets import KeyPair, generate_key_pair
from piwheels.webroot import as_owner, replace_file, sync_dir

log = logging.getLogger(__name__)
_unreadable_log = RateLimitedLog(log)

MASTER = "master"
#: What follows the name of a key pair of this machine.
_SECRET_SUFFIX = ".secret"  # noqa: S105 - of a file
#: What the sockets call the keys of all control roles.
CONTROL_DOMAIN = "console"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
#: The public key by which a builder joined by a token, beside its pair.
JOINED_SUFFIX = ".joined"
#: A key pair that came with a copied disk.
_COPIED_SUFFIX = f"{_SECRET_SUFFIX}-of-another-machine"
_KEY_DIGITS = 64
_KEY = re.compile(rf"[0-9a-f]{{{_KEY_DIGITS}}}")
#: A folder that changed so recently can change again within the same mtime.
_MTIME_MARGIN_NS = 1_000_000_000


#: No file can be opened now, which says nothing about who is authorized.
_OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})


def validate_public_key(text: str, setting: str) -> str:
    """A public key from a setting, in normal form.

    Raises:
        ConfigError: it is not a key; the message names the setting and the expected form.
    """
    public = text.strip().lower()
    if _KEY.fullmatch(public):
        return public
    if len(public) != _KEY_DIGITS:
        fault = f"has {len(public)} characters"
    else:
        fault = "has characters that are not hexadecimal digits"
    raise ConfigError(
        f"{setting} {fault}: a public key is {_KEY_DIGITS} hexadecimal digits, as `piw key list` "
        "prints it"
    )


def is_public_key(text: str) -> bool:
    """Whether a text is a public key in normal form."""
    return _KEY.fullmatch(text) is not None


def reserved_name_fault(name: str) -> str:
    """Why no builder may have this name, which stands for wheels that none built; "" if it may."""
    if name not in OTHER_MAKERS:
        return ""
    return f"no builder can be called {name}: wheels that were not built are recorded so"


def is_key_name(text: str) -> bool:
    """Whether a text can be the name of a key, and so a builder's label."""
    return _NAME.fullmatch(text) is not None


class Role(StrEnum):
    """What the owner of a key may do."""

    BUILDER = "builder"
    WATCH = "watch"  # with the next two: a ControlRole, of the control socket over TCP
    OPERATE = "operate"
    ADMINISTER = "administer"


#: The folders of keys that were authorized before there were these roles.
_FORMER_FOLDERS = {Role.WATCH: "watcher", Role.ADMINISTER: "operator"}


class _StoredPair(KeyPair, frozen=True):
    """A key pair in its file."""

    machine: str = ""  # that it was generated for, as `machine_identity()` names it; "": any


class AuthorizedKey(msgspec.Struct, frozen=True):
    """An authorized public key."""

    role: Role
    name: str
    public: str


class KeyStore:
    """The keys in one folder; read again when a file in it changes."""

    def __init__(self, key_dir: Path) -> None:
        self.key_dir = key_dir
        self._cached: dict[str, tuple[int, dict[str, str]]] = {}  # by folder
        self._last_read: dict[str, dict[str, str]] = {}

    def pair(self, name: str) -> KeyPair | None:
        """A key pair of this machine, or None if it was not generated.

        Raises:
            ConfigError: the file cannot be read or does not hold a key pair.
        """
        stored = self._stored_pair(name)
        return KeyPair(stored.public, stored.secret) if stored else None

    def _stored_pair(self, name: str) -> _StoredPair | None:
        path = self.secret_path(name)
        try:
            return msgspec.toml.decode(path.read_bytes(), type=_StoredPair)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ConfigError(
                f"{path} holds no key pair; generate one with `piw key generate`"
            ) from None

    def require(self, name: str) -> KeyPair:
        """A key pair of this machine that must exist.

        Raises:
            ConfigError: it does not.
        """
        pair = self.pair(name)
        if pair is None:
            raise ConfigError(
                f"no key in {self.secret_path(name)}: generate it with `piw key generate {name}`"
            )
        return pair

    def generate(self, name: str, machine: str = "") -> KeyPair:
        """Generate and store a key pair, for one machine; an existing one is never overwritten.

        Raises:
            ConfigError: it exists, or cannot be written.
        """
        path = self.secret_path(name)
        pair = generate_key_pair()
        text = f'public = "{pair.public}"\nsecret = "{pair.secret}"\n'
        text += f'machine = "{machine}"\n' if machine else ""
        try:
            with as_owner(self.key_dir):
                self._make_key_dir()
                _write_new(path, text)
                sync_dir(path.parent)
        except FileExistsError:
            raise ConfigError(f"{path} exists; remove it first to generate another key") from None
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        return pair

    def load_or_generate(self, name: str) -> KeyPair:
        """The key pair of this name, generated if it does not exist."""
        return self.pair(name) or self.generate(name)

    def own_pair(self, name: str, machine: str) -> tuple[KeyPair, bool]:
        """The key pair of this machine, and whether it was generated now.

        One that was generated on another machine came with a copied disk: two machines with one
        key would take each other's place. It is kept beside the new one, and not used.

        Args:
            name: of the key pair.
            machine: this machine, as `machine_identity()` names it.

        Raises:
            ConfigError: it cannot be read, or not be written.
        """
        stored = self._stored_pair(name)
        if stored and (not machine or stored.machine in {"", machine}):
            return KeyPair(stored.public, stored.secret), False
        if stored:
            path = self.secret_path(name)
            log.warning("%s was copied from another machine: this one gets a key of its own", path)
            try:
                with as_owner(self.key_dir):
                    path.replace(path.with_suffix(_COPIED_SUFFIX))
            except OSError as error:
                raise ConfigError(f"{path}: {error.strerror}") from None
        return self.generate(name, machine), True

    def remove(self, name: str) -> None:
        """Remove a key pair of this machine, if there is one."""
        with as_owner(self.key_dir):
            self.secret_path(name).unlink(missing_ok=True)

    def authorize(self, role: Role, name: str, public: str) -> None:
        """Authorize a public key under a name; a console's has this role and no other from now on.

        Raises:
            ConfigError: the name or the key is malformed, or either is in use already; or the name
                is reserved.
        """
        if role is Role.BUILDER and (fault := reserved_name_fault(name)):
            raise ConfigError(fault)
        public = public.strip().lower()
        if not _KEY.fullmatch(public):
            raise ConfigError(
                "a public key is 64 hexadecimal digits, as `piw key generate` prints it"
            )
        replaced: list[AuthorizedKey] = []
        for known in self.authorized_keys():
            if known.role is role and known.name == name and known.public != public:
                raise ConfigError(f"{role} {name} has another key; `piw key revoke {name}` first")
            if known.public == public and (known.role, known.name) != (role, name):
                if known.name != name or Role.BUILDER in {role, known.role}:
                    raise ConfigError(
                        f"this key is already authorized for {known.role} {known.name}"
                    )
                replaced.append(known)
        path = self._entry_path(role, name)
        try:
            with as_owner(self.key_dir):
                self._make_key_dir()
                path.parent.mkdir(exist_ok=True)
                replace_file(path, f"{public}\n".encode())
                os.utime(path.parent)
                for known in replaced:
                    self._remove(known)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None

    def revoke(self, name: str) -> list[AuthorizedKey]:
        """Revoke every key of this name; returns them.

        Raises:
            ConfigError: there is none.
        """
        gone = [known for known in self.authorized_keys() if known.name == name]
        if not gone:
            raise ConfigError(f"no key is authorized under the name {name}; see `piw key list`")
        with as_owner(self.key_dir):
            for known in gone:
                self._remove(known)
        return gone

    def _remove(self, known: AuthorizedKey) -> None:
        for folder in _folders(known.role):
            (self.key_dir / folder / _validate_name(known.name)).unlink(missing_ok=True)

    def authorized_keys(self) -> list[AuthorizedKey]:
        """All authorized keys, builders first, by name.

        Raises:
            ConfigError: they cannot be read.
        """
        return [
            AuthorizedKey(role=role, name=name, public=public)
            for role in Role
            for public, name in sorted(self._names_by_key(role).items(), key=lambda pair: pair[1])
        ]

    def name_of(self, role: Role, public: str) -> str | None:
        """The name of a key's owner in this role, or None when it is not authorized.

        Raises:
            ConfigError: the keys cannot be read.
        """
        return self._names_by_key(role).get(public)

    def name_of_peer(self, role: Role, public: str) -> str | None:
        """name_of() for a peer's key: None, which is logged, also while keys cannot be read."""
        try:
            return self.name_of(role, public)
        except ConfigError as error:
            _unreadable_log.warning("no key can be told from others: %s", error)
            return None

    def _make_key_dir(self) -> None:
        if not self.key_dir.is_dir():
            self.key_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            sync_dir(self.key_dir.parent)

    def _names_by_key(self, role: Role) -> dict[str, str]:
        names: dict[str, str] = {}
        for folder in _folders(role):
            names |= self._names_in(folder)
        return names

    def _names_in(self, folder_name: str) -> dict[str, str]:
        folder = self.key_dir / folder_name
        try:
            changed = folder.stat().st_mtime_ns
            seen = self._cached.get(folder_name)
            if seen and seen[0] == changed:
                return seen[1]
            names = {
                public: path.name
                for path in folder.iterdir()
                if _NAME.fullmatch(path.name) and (public := _read_public_key(path))
            }
        except FileNotFoundError:
            return {}
        except OSError as error:
            if error.errno in _OUT_OF_DESCRIPTORS and folder_name in self._last_read:
                # No file can be opened now: the keys as they were last read.
                return self._last_read[folder_name]
            raise ConfigError(f"{error.filename}: {error.strerror}") from None
        self._last_read[folder_name] = names
        if abs(time.time_ns() - changed) > _MTIME_MARGIN_NS:  # also when a clock was ahead
            self._cached[folder_name] = (changed, names)
        return names

    def secret_path(self, name: str) -> Path:
        """The file of a key pair of this machine."""
        return self.key_dir / f"{_validate_name(name)}{_SECRET_SUFFIX}"

    def _entry_path(self, role: Role, name: str) -> Path:
        return self.key_dir / role / _validate_name(name)


def _folders(role: Role) -> list[str]:
    """Where the keys of a role are, the folder for new ones last."""
    return [*filter(None, [_FORMER_FOLDERS.get(role)]), role.value]


def is_key_file(path: str) -> bool:
    """Whether a path below a folder of keys, with `/`, is that of a key that is stored there."""
    folder, slash, name = path.rpartition("/")
    if slash:
        return is_key_name(name) and any(folder in _folders(role) for role in Role)
    suffixes = (_SECRET_SUFFIX, _COPIED_SUFFIX, JOINED_SUFFIX)
    return any(name.endswith(it) and is_key_name(name.removesuffix(it)) for it in suffixes)


def _write_new(path: Path, text: str) -> None:
    """Write a private file that does not exist; wholly, or not at all."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()  # half a key would be taken for one, and could not be generated again
        raise


def _read_public_key(path: Path) -> str:
    """The key in a file; "" where there is none, or the file was just removed."""
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno in _OUT_OF_DESCRIPTORS:
            raise
        log.warning("%s is not a key: %s", path, error)
        return ""
    return text if _KEY.fullmatch(text) else ""


def _validate_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is not a valid name for a key: use letters, digits, '.', '_' and '-'"
        )
    return name
