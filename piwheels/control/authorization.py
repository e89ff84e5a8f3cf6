"""Who asks on the control socket, and what they may: look, or change things too."""

from dataclasses import dataclass

from piwheels.protocol.keys import KeyStore, Role
from piwheels.protocol.messages import Request
from piwheels.protocol.sockets import Peer
from piwheels.sanitize import truncate_line

_MAX_NAME_LENGTH = 80


@dataclass(frozen=True, slots=True)
class Caller:
    """Who gave a command. `bar` is why they may change nothing; "" for those who may."""

    name: str
    denial: str = ""


def authorize(keys: KeyStore, peer: Peer, command: Request) -> Caller | None:
    """Who gave a command; None for a key that is not, or no longer, on the list.

    Whoever may write to the Unix socket is an operator. Over TCP the key tells, whatever the
    command says of itself; its name stands beside the name that was claimed.
    """
    claimed = truncate_line(command.user, _MAX_NAME_LENGTH) or "unknown"
    bar = "this console is read-only: it asked to look, and not to change" * command.read_only
    if not peer.key:
        return Caller(claimed, bar)
    if name := keys.name_of(Role.OPERATOR, peer.key):
        return Caller(f"{claimed} (key {name})", bar)
    if name := keys.name_of(Role.WATCHER, peer.key):
        return Caller(f"{claimed} (key {name})", f"the key {name} is a watcher's: it may only look")
    return None
