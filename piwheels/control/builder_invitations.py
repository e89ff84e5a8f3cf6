"""Invitations of builders and those that wait, as operators' commands."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from piwheels.control.command_executor import Call
from piwheels.errors import RejectedError
from piwheels.protocol.invitation import Invitation, is_host, not_a_host
from piwheels.protocol.messages import (
    AuthorizeBuilder,
    BuilderInvited,
    CommandSucceeded,
    InviteBuilder,
    RejectBuilder,
    RevokeInvitation,
)
from piwheels.scheduler.builder_registration import BuilderRegistration, describe_key

_LOCAL_NAMES = {"localhost", "localhost.localdomain"}


@dataclass(frozen=True, slots=True)
class MasterAddress:
    """How builders reach this master: what its tokens carry."""

    host: str  # "": unknown
    builder_endpoint: str  # as bound, with its port
    upload_endpoint: str
    key: str  # its public key


def known_host(builder_endpoint: str, url: str) -> str:
    """The name or address by which builders reach this master, as far as it knows; "" otherwise.

    Args:
        builder_endpoint: the address that the builders' socket is bound to. All addresses of this
            machine say nothing.
        url: webroot.url, whose host serves the index.
    """
    bound = builder_endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    try:
        if not ipaddress.ip_address(bound).is_unspecified:
            return bound
    except ValueError:
        pass  # an interface's name
    host = urlsplit(url).hostname or ""
    return host if is_host(host) and host not in _LOCAL_NAMES else ""


@dataclass(frozen=True, slots=True)
class BuilderInvitations:
    """Executes the commands of `protocol.commands.joining`."""

    registration: BuilderRegistration
    address: MasterAddress

    async def invite(self, command: InviteBuilder, call: Call) -> BuilderInvited:
        """Make an invitation, and its token.

        Raises:
            PiwheelsError: it cannot be made, or nothing says where builders reach the master.
        """
        host = command.host or self.address.host
        if not host:
            raise RejectedError(
                "the master does not know by which name builders reach it: name it with --master "
                "HOST, or set webroot.url"
            )
        if not is_host(host):
            raise RejectedError(not_a_host(host))
        issued, pair = self.registration.invite(
            name=command.name,
            authorize=command.authorize,
            uses=command.uses,
            valid_s=command.valid_s,
            invited_by=call.caller.name,
        )
        token = Invitation(
            host=host,
            builder_port=_port(self.address.builder_endpoint),
            upload_port=_port(self.address.upload_endpoint),
            master_key=self.address.key,
            secret=pair.secret,
        )
        return BuilderInvited(token=str(token), invitation=issued)

    async def revoke(self, command: RevokeInvitation, call: Call) -> CommandSucceeded:
        """End an invitation."""
        revoked = self.registration.revoke(command.id, call.caller.name)
        return CommandSucceeded(text=f"invitation {revoked.id} is revoked", count=1)

    async def authorize(self, command: AuthorizeBuilder, _: Call) -> CommandSucceeded:
        """Authorize a builder that waits."""
        builder = self.registration.authorize(command.builder, command.name)
        return CommandSucceeded(text=f"builder {describe_key(builder)} is authorized", count=1)

    async def reject(self, command: RejectBuilder, _: Call) -> CommandSucceeded:
        """Reject a builder that waits."""
        builder = self.registration.reject(command.builder)
        return CommandSucceeded(text=f"builder {describe_key(builder)} is rejected", count=1)


def _port(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2])
