"""Who asks on the control socket, and what they may: look, or change things too."""

from dataclasses import dataclass

from piwheels.lines import one_line
from piwheels.protocol.channels import Peer
from piwheels.protocol.keys import KeyStore, Role
from piwheels.protocol.messages import Command

_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Asker:
    """Who gave a command. `bar` is why they may change nothing; "" for those who may."""

    who: str
    bar: str = ""


def asker(keys: KeyStore, peer: Peer, command: Command) -> Asker | None:
    """Who gave a command; None for a key that is not, or no longer, on the list.

    Whoever may write to the Unix socket is an operator. Over TCP the key tells, whatever the
    command says of itself; its name stands beside the name that was claimed.
    """
    claimed = one_line(command.operator, _LONGEST_NAME) or "unknown"
    bar = "this console is read-only: it asked to look, and not to change" * command.read_only
    if not peer.key:
        return Asker(claimed, bar)
    if name := keys.name_of(Role.OPERATOR, peer.key):
        return Asker(f"{claimed} (key {name})", bar)
    if name := keys.name_of(Role.WATCHER, peer.key):
        return Asker(f"{claimed} (key {name})", f"the key {name} is a watcher's: it may only look")
    return None
