"""Who sends requests to the control socket, and whether they may change anything."""

from dataclasses import dataclass
from typing import Protocol

from piwheels.protocol.keys import Role
from piwheels.protocol.messages import Request
from piwheels.protocol.sockets import Peer
from piwheels.sanitize import truncate_line

_MAX_NAME_LENGTH = 80


class KeyNames(Protocol):
    """Which keys are authorized; a KeyStore."""

    def name_of(self, role: Role, public: str, /) -> str | None:
        """The name of a key's owner, or None when it is not authorized in this role."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request. `denial` is why they may change nothing; "" for operators."""

    name: str
    denial: str = ""


def authorize(keys: KeyNames, peer: Peer, request: Request) -> Caller | None:
    """Who sent a request; None for a key that is not, or no longer, authorized.

    Whoever may write to the Unix socket is an operator. Over TCP the key decides, whatever user
    the request names; the key's name is added to it.
    """
    claimed = truncate_line(request.user, _MAX_NAME_LENGTH) or "unknown"
    denial = "this console was started with --read-only" * request.read_only
    if not peer.key:
        return Caller(claimed, denial)
    if name := keys.name_of(Role.OPERATOR, peer.key):
        return Caller(f"{claimed} (key {name})", denial)
    if name := keys.name_of(Role.WATCHER, peer.key):
        return Caller(f"{claimed} (key {name})", f"the key {name} is a watcher's: it is read-only")
    return None
