"""Who may become a builder: invitations, builders that wait for an operator, and rejected ones.

An invitation is a one-time CURVE key pair: the token has its secret half, and the master keeps the
public one in `invitations.json`, beside the keys. Only the running master writes that file.
Builders that wait are those that joined by an invitation without authorization, and those whose
keys were refused lately. Everything here has a limit.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec.structs import replace

from piwheels.errors import MALFORMED, ConfigError, RejectedError
from piwheels.formatting import pluralize
from piwheels.model import IssuedInvitation, RefusedKey
from piwheels.protocol.invitation import LABEL_KEY_DIGITS
from piwheels.protocol.keys import (
    KeyStore,
    Role,
    is_key_name,
    is_public_key,
    reserved_name_fault,
    validate_public_key,
)
from piwheels.protocol.messages import Join, Joined
from piwheels.protocol.refused_keys import RefusedKeys
from piwheels.protocol.sockets import KeyPair, generate_key_pair
from piwheels.system.boot_time import boot_time_s
from piwheels.webroot import replace_file

FILE_NAME = "invitations.json"
MAX_INVITATIONS = 100
#: Who joined without authorization; invitations beyond that get an answer, and nobody waits.
MAX_WAITING = 100
_MAX_REJECTED = 1000
#: One that has ended is remembered for so long, so that its token gets an answer that says why.
_REMEMBERED = timedelta(days=1)
_ID_DIGITS = 8
#: So much of a key has to be named.
_MIN_PREFIX = LABEL_KEY_DIGITS
_MAX_NAME = 63
_SHOWN_DIGITS = 16
#: So many builders are listed that a word may name.
_MAX_LISTED = 5
_KEY_PREFIX = re.compile(rf"[0-9a-f]{{{_MIN_PREFIX},64}}")
_FILE_MODE = 0o600


class _Stored(msgspec.Struct, frozen=True):
    invitations: tuple[IssuedInvitation, ...] = ()
    waiting: tuple[RefusedKey, ...] = ()
    rejected: tuple[RefusedKey, ...] = ()


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class BuilderRegistration:
    """Invitations, waiting and rejected builders of one folder of keys."""

    keys: KeyStore
    refused: RefusedKeys = field(default_factory=RefusedKeys)
    clock: Callable[[], datetime] = _utc_now
    monotonic: Callable[[], float] = boot_time_s
    _stored: _Stored = field(init=False)
    _ends_at_s: dict[str, float] = field(default_factory=dict)  # of invitations, by `monotonic`

    def __post_init__(self) -> None:
        self._stored = _read(self._path)
        for invitation in self._stored.invitations:
            self._note_end(invitation)

    @property
    def _path(self) -> Path:
        return self.keys.key_dir / FILE_NAME

    # --- invitations ---

    def _note_end(self, invitation: IssuedInvitation) -> None:
        """An invitation is never good for longer than it was issued for, wherever the clock is."""
        left = min(
            invitation.expires_at - self.clock(), invitation.expires_at - invitation.invited_at
        )
        self._ends_at_s[invitation.id] = self.monotonic() + left.total_seconds()

    def _ended(self, invitation: IssuedInvitation) -> str:
        """Why nobody may join by it any more; "" while somebody may."""
        outlived = self.monotonic() >= self._ends_at_s[invitation.id]
        return invitation.ended(invitation.expires_at if outlived else self.clock())

    def invite(
        self, *, name: str, authorize: bool, uses: int, valid_s: float, invited_by: str
    ) -> tuple[IssuedInvitation, KeyPair]:
        """A new invitation, and the key pair of its token.

        Raises:
            RejectedError: the name is taken, reserved or malformed, or there are too many
                invitations.
        """
        now = self.clock()
        if name and not is_key_name(name):
            raise RejectedError(
                f"{name!r} cannot be a builder's name: use letters, digits, '.', '_' and '-'"
            )
        _require_usable(name)
        if name and uses == 1 and self._is_taken(name, ""):
            raise RejectedError(
                f"there is a builder {name} already: choose another name, or end the use of its key"
                f" first (`piw key revoke {name}`, `piw builder reject {name}` if it waits)"
            )
        ended = tuple(it for it in self.invitations() if self._ended(it))
        still_open = tuple(it for it in self.invitations() if not self._ended(it))
        if len(still_open) >= MAX_INVITATIONS:
            raise RejectedError(
                f"there are {len(still_open)} invitations: revoke some first "
                "(`piw builder uninvite ID`)"
            )
        pair = generate_key_pair()
        issued = IssuedInvitation(
            id=pair.public[:_ID_DIGITS],
            public=pair.public,
            invited_by=invited_by,
            invited_at=now,
            expires_at=now + timedelta(seconds=valid_s),
            name=name,
            authorize=authorize,
            uses=uses,
        )
        kept = (*ended[-MAX_INVITATIONS:], *still_open, issued)
        self._note_end(issued)
        self._save(replace(self._stored, invitations=kept))
        self._ends_at_s = {it.id: self._ends_at_s[it.id] for it in kept}
        return issued, pair

    def revoke(self, id_: str, revoked_by: str) -> IssuedInvitation:
        """End an invitation.

        Raises:
            RejectedError: there is none with this id, or it has ended already.
        """
        found = next((it for it in self._stored.invitations if it.id == id_), None)
        if found is None:
            raise RejectedError(f"there is no invitation {id_}: see `piw builder invitations`")
        if ended := self._ended(found):
            raise RejectedError(f"the invitation {id_} {ended}")
        revoked = replace(found, revoked_by=revoked_by)
        self._save(self._with(revoked))
        return revoked

    def invitations(self) -> tuple[IssuedInvitation, ...]:
        """Those that are open, and those that ended within a day of their end, by either clock."""
        now, boot_s = self.clock(), self.monotonic()
        return tuple(
            it
            for it in self._stored.invitations
            if it.expires_at + _REMEMBERED > now
            or self._ends_at_s[it.id] + _REMEMBERED.total_seconds() > boot_s
        )

    def open_with(self, public: str) -> tuple[IssuedInvitation, ...]:
        """The open invitations by which a key joined: the owner of a token could join again."""
        return tuple(it for it in self.invitations() if public in it.joined and not self._ended(it))

    def admits(self, public: str) -> bool:
        """Whether a key is that of a token, which may send a Join and gets its answer."""
        return self._invitation(public) is not None

    def join(self, token_key: str, request: Join, address: str) -> Joined:
        """Register the key of a builder that has a token.

        A builder that has joined already, and asks again because an answer was lost, gets the
        same answer, unless its key was revoked since. An invitation is used before the key is
        authorized: after a crash in between its builder waits for an operator.

        Raises:
            ConfigError: the keys cannot be read or written.
            RejectedError: it may not join, and why.
        """
        invitation = self._invitation(token_key)
        if invitation is None:
            raise RejectedError("the master does not know this token")
        public = _validate(request.public)
        if label := self.keys.name_of(Role.BUILDER, public):
            return Joined(label=label, authorized=True, repeated=True)
        if any(it.public == public for it in self._stored.rejected):
            raise RejectedError(
                "an operator rejected this machine's key; on the master, "
                f"`piw builder authorize {public[:12]} NAME` takes that back"
            )
        if known := self._registered(public):
            return Joined(label=known.name, authorized=False, repeated=True)
        if public in invitation.joined:
            raise RejectedError(
                "this machine's key was revoked: ask for another invitation, or have it authorized "
                f"by `piw builder authorize {public[:_ID_DIGITS]} NAME`"
            )
        if ended := self._ended(invitation):
            raise RejectedError(f"this invitation {ended}: ask for another")
        label = self._choose_name(invitation, request, public)
        joined = replace(invitation, joined=invitation.joined | {public: label})
        self._add_waiting(joined, RefusedKey(Role.BUILDER, public, self.clock(), address, label))
        if invitation.authorize:
            self.keys.authorize(Role.BUILDER, label, public)
            self._forget(public)
        return Joined(label=label, authorized=invitation.authorize)

    def _add_waiting(self, invitation: IssuedInvitation, waiting: RefusedKey) -> None:
        if len(self._stored.waiting) >= MAX_WAITING and not invitation.authorize:
            raise RejectedError(
                f"{MAX_WAITING} builders wait for an operator already: authorize or reject them"
            )
        stored = self._with(invitation)
        self._save(replace(stored, waiting=(*stored.waiting, waiting)))

    def _choose_name(self, invitation: IssuedInvitation, request: Join, public: str) -> str:
        wanted = invitation.name or request.name
        if not is_key_name(wanted):
            raise RejectedError(f"{wanted!r} cannot be a builder's name: choose one with --name")
        chosen = request.name_was_chosen and not invitation.name
        if chosen:
            _require_usable(wanted)
        is_usable = not _is_key_prefix(wanted) and not reserved_name_fault(wanted)
        if is_usable and not self._is_taken(wanted, public):
            return wanted
        for digits in () if chosen else range(LABEL_KEY_DIGITS, _MAX_NAME):
            name = f"{wanted[: _MAX_NAME - digits - 1]}-{public[:digits]}"
            if not self._is_taken(name, public):
                return name
        raise RejectedError(f"there is a builder {wanted} already: choose another with --name")

    def joined_text(self, token_key: str, joined: Joined) -> str:
        """What the audit log says about a builder that has joined."""
        invitation = self._invitation(token_key)
        by = f" of {invitation.invited_by} ({invitation.id})" if invitation else ""
        what = "is authorized" if joined.authorized else "waits to be authorized"
        return f"builder {joined.label} joined by the invitation{by} and {what}"

    # --- builders that wait ---

    def on_refused(self, role: str, public: str, address: str) -> None:
        """A key was refused a connection; one that an operator rejected is not told again."""
        if role != Role.BUILDER or all(it.public != public for it in self._stored.rejected):
            self.refused.record(role, public, address)

    def waiting(self) -> tuple[RefusedKey, ...]:
        """The builders that wait for an operator: those with a name, then keys refused lately.

        Refused keys of consoles are among them; they have another role.
        """
        recent = {(it.role, it.public): it for it in self.refused.recent()}
        named = []
        for each in self._stored.waiting:
            if self.keys.name_of_peer(Role.BUILDER, each.public) is None:
                tried = recent.pop((each.role, each.public), None)
                named.append(replace(tried, name=each.name) if tried else each)
        rejected = {it.public for it in self._stored.rejected}
        others = (it for it in recent.values() if self._still_waits(it, rejected))
        return (*named, *others)

    def _still_waits(self, refused: RefusedKey, rejected: set[str]) -> bool:
        if refused.role != Role.BUILDER:
            return True
        return refused.public not in rejected and not self.keys.name_of_peer(
            Role.BUILDER, refused.public
        )

    def authorize(self, word: str, name: str = "") -> RefusedKey:
        """Authorize the builder of a name or key; returns it, with its label.

        Args:
            word: the name under which it waits, its key, or the first digits of that.
            name: its label; "": the name under which it waits.

        Raises:
            PiwheelsError: none waits so, it has no name, or the name is taken.
        """
        known = self._find(word)
        label = name or known.name
        if not label:
            raise RejectedError(
                f"say under which name: `piw builder authorize {word[:_MIN_PREFIX]} NAME`"
            )
        _require_usable(label)
        self.keys.authorize(Role.BUILDER, label, known.public)
        self._forget(known.public)
        return replace(known, name=label)

    def reject(self, word: str) -> RefusedKey:
        """Reject the builder of a name or key, which is returned: it waits no longer.

        Raises:
            RejectedError: none waits so, or more than one.
        """
        known = self._find(word)
        self._forget(known.public)
        rejected = (*self._stored.rejected, known)[-_MAX_REJECTED:]
        self._save(replace(self._stored, rejected=rejected))
        return known

    def _find(self, word: str) -> RefusedKey:
        """The builder of a name or of a key's first digits; a rejected one by its key alone."""
        waiting = [it for it in self.waiting() if it.role == Role.BUILDER]
        prefix = word.strip().lower()
        found = {it.public: it for it in waiting if it.name == word}
        if _is_key_prefix(word):
            by_key = (*waiting, *self._stored.rejected)
            found |= {it.public: it for it in by_key if it.public.startswith(prefix)}
        if len(found) > 1:
            raise RejectedError(
                f"{word} may be {_listed([*found.values()])}: name more digits of the key"
            )
        if found:
            return next(iter(found.values()))
        if is_public_key(prefix):  # its builder has not tried to connect yet
            return RefusedKey(Role.BUILDER, prefix, self.clock())
        raise RejectedError(f"no builder waits as {word}: see `piw builder list`")

    # --- what is stored ---

    def _invitation(self, public: str) -> IssuedInvitation | None:
        return next((it for it in self.invitations() if it.public == public), None)

    def _registered(self, public: str) -> RefusedKey | None:
        return next((it for it in self._stored.waiting if it.public == public), None)

    def _is_taken(self, name: str, public: str) -> bool:
        """Whether another builder, or one that waits, has this name."""
        authorized = (it for it in self.keys.authorized_keys() if it.role is Role.BUILDER)
        owners = [(it.name, it.public) for it in authorized]
        owners += [(it.name, it.public) for it in self._stored.waiting]
        return any(known == name and key != public for known, key in owners)

    def _with(self, invitation: IssuedInvitation) -> _Stored:
        changed = tuple(
            invitation if it.id == invitation.id else it for it in self._stored.invitations
        )
        return replace(self._stored, invitations=changed)

    def _forget(self, public: str) -> None:
        """It neither waits nor is rejected any more."""
        stored = self._stored
        waiting = tuple(it for it in stored.waiting if it.public != public)
        rejected = tuple(it for it in stored.rejected if it.public != public)
        self.refused.forget(Role.BUILDER, public)
        if (waiting, rejected) != (stored.waiting, stored.rejected):
            self._save(replace(stored, waiting=waiting, rejected=rejected))

    def _save(self, stored: _Stored) -> None:
        content = msgspec.json.format(msgspec.json.encode(stored))
        try:
            self.keys.key_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_file(self._path, content, mode=_FILE_MODE)
        except OSError as error:
            raise ConfigError(f"{self._path}: {error.strerror}") from None
        self._stored = stored


def describe_key(key: RefusedKey) -> str:
    """A builder by its name, if it has one, and the first digits of its key."""
    digits = f"key {key.public[:_SHOWN_DIGITS]}"
    return f"{key.name} ({digits})" if key.name else digits


def _listed(keys: Sequence[RefusedKey]) -> str:
    more = f", or {pluralize(len(keys) - _MAX_LISTED, 'other')}" if len(keys) > _MAX_LISTED else ""
    return " or ".join(describe_key(it) for it in keys[:_MAX_LISTED]) + more


def _is_key_prefix(word: str) -> bool:
    return _KEY_PREFIX.fullmatch(word.strip().lower()) is not None


def _require_usable(name: str) -> None:
    """Nobody chooses a name that is reserved, or that operators take for another builder's key."""
    if fault := reserved_name_fault(name):
        raise RejectedError(fault)
    if _is_key_prefix(name):
        raise RejectedError(f"{name} looks like the first digits of a key: choose another name")


def _validate(public: str) -> str:
    try:
        return validate_public_key(public, "the key")
    except ConfigError as error:
        raise RejectedError(str(error)) from None


def _read(path: Path) -> _Stored:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Stored)
    except FileNotFoundError:
        return _Stored()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except MALFORMED:
        raise ConfigError(
            f"{path} holds no invitations: move it away, and invite those builders again"
        ) from None
