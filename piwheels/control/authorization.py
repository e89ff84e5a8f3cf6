"""Who sends requests to the control socket, and which role they have there."""

import os
import pwd
from dataclasses import dataclass
from typing import Protocol

from piwheels.protocol.control_roles import ControlRole
from piwheels.protocol.keys import Role
from piwheels.protocol.messages import Request
from piwheels.protocol.sockets import Peer
from piwheels.sanitize import truncate_line

_MAX_NAME_LENGTH = 80
_ROOT = 0


class KeyNames(Protocol):
    """Which keys are authorized; a KeyStore."""

    def name_of_peer(self, role: Role, public: str, /) -> str | None:
        """The name of a key's owner, or None when it is not known to be authorized in this role."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, and what they may do."""

    name: str
    granted: ControlRole = ControlRole.ADMINISTER  # by their key or account
    owner: str = ""  # what has this role: "the key wall"
    remedy: str = ""  # how it gets another; {role} is the one that is needed
    read_only: bool = False  # the console was started so

    @property
    def role(self) -> ControlRole:
        """What they may do now."""
        return ControlRole.WATCH if self.read_only else self.granted

    def refusal(self, needed: ControlRole) -> str:
        """Why they may not do what needs a role, and how to get it; "" when they may."""
        if not self.granted.includes(needed):
            remedy = self.remedy.format(role=needed)
            return f"this needs the role {needed}, and {self.owner} has {self.granted}: {remedy}"
        return "" if self.role.includes(needed) else "this console was started with --read-only"


def authorize(
    keys: KeyNames, peer: Peer, request: Request, group_role: ControlRole
) -> Caller | None:
    """Who sent a request; None for a key that is not, or no longer, authorized.

    On the Unix socket the account decides, by the kernel's word: root and the master's own account
    administer, the members of the socket's group have `group_role`. Over TCP the key decides,
    whatever user the request names. The name of the key or of another account is added to that.
    """
    claimed = truncate_line(request.user, _MAX_NAME_LENGTH) or "unknown"
    if not peer.key:
        return _local_caller(claimed, peer.uid, group_role, read_only=request.read_only)
    for role in ControlRole:  # a key in two roles, of which one is being replaced, has the lesser
        if name := keys.name_of_peer(Role(role), peer.key):
            return Caller(
                f"{claimed} (key {name})",
                role,
                f"the key {name}",
                f"`piw key authorize {name} KEY --role {{role}}` on the master gives it",
                request.read_only,
            )
    return None


def _local_caller(
    claimed: str, uid: int | None, group_role: ControlRole, *, read_only: bool
) -> Caller:
    if uid in {_ROOT, os.getuid()}:
        return Caller(claimed, read_only=read_only)
    account = f"user {_account_name(uid)}"
    return Caller(
        f"{claimed} ({account})",
        group_role,
        account,
        "root and the master's own account have administer, and master.control_group_role is what "
        "the socket's group has",
        read_only,
    )


def _account_name(uid: int | None) -> str:
    if uid is None:
        return "unknown"
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
