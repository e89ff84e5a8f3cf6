"""Commands by which builders become part of the farm: invitations, and those that wait.

They change who is trusted, so that all of them need the role administer.
"""

from typing import Annotated

from msgspec import Meta

from piwheels.protocol.commands.definition import (
    CommandDefinition,
    Confirm,
    ConsoleAction,
    Kind,
    Parameter,
    Prompt,
    Requirement,
)
from piwheels.protocol.control_roles import ControlRole
from piwheels.protocol.message_base import CommandMessage, ShortText

__all__ = [
    "AuthorizeBuilder",
    "InviteBuilder",
    "RejectBuilder",
    "RevokeInvitation",
]  # the messages: they are exported by `protocol.messages`

#: Limits of an invitation.
MAX_USES, MAX_VALID_DAYS = 1000, 30
_KEY_DIGITS = 64
_SHOWN_DIGITS = 16


class InviteBuilder(CommandMessage, frozen=True, kw_only=True):
    """Make a token by which builders join; answered by BuilderInvited.

    Whoever joins gets `name`, or its host's name, and waits for an operator unless `authorize`.
    """

    name: ShortText = ""
    authorize: bool = False
    uses: Annotated[int, Meta(ge=1, le=MAX_USES)] = 1
    valid_s: Annotated[float, Meta(gt=0, le=MAX_VALID_DAYS * 86400.0)] = 3600.0
    host: ShortText = ""  # where builders reach the master; "": as the master knows it


class RevokeInvitation(CommandMessage, frozen=True, kw_only=True):
    """Let nobody join any more by the invitation with this id."""

    id: ShortText


class AuthorizeBuilder(CommandMessage, frozen=True, kw_only=True):
    """Authorize a builder that waits: named by its name, its key or that one's first digits."""

    builder: ShortText
    name: ShortText = ""  # its label; "": the name under which it waits


class RejectBuilder(CommandMessage, frozen=True, kw_only=True):
    """Remove a builder from those that wait: its key does not appear there again."""

    builder: ShortText


def _for_how_long(seconds: float) -> str:
    return f"{seconds / 3600:.3g} h" if seconds >= 3600 else f"{seconds / 60:.3g} min"


def _audit_invite(body: InviteBuilder) -> str:
    who = f"builder {body.name}" if body.name else "a builder"
    uses = f", {body.uses} times" if body.uses > 1 else ""
    authorized = " and authorize it" if body.authorize else ""
    return f"invite {who}{uses} for {_for_how_long(body.valid_s)}{authorized}"


def _audit_authorize(body: AuthorizeBuilder) -> str:
    return f"authorize builder {_shown(body.builder)}" + (f" as {body.name}" if body.name else "")


def _shown(builder: str) -> str:
    """A name, or the first digits of a key."""
    return f"key {builder[:_SHOWN_DIGITS]}" if len(builder) == _KEY_DIGITS else builder


_WAITING = Parameter("waiting", Kind.WAITING, metavar="NAME|KEY")

INVITE = CommandDefinition(
    name="builder invite",
    message=InviteBuilder,
    role=ControlRole.ADMINISTER,
    summary="Print a token by which a builder joins: `sudo piw builder join` there asks for it.",
    examples=("piw builder invite pi4-kitchen --authorize", "piw builder invite --uses 10"),
    audit=_audit_invite,
)

REVOKE = CommandDefinition(
    name="builder uninvite",
    message=RevokeInvitation,
    role=ControlRole.ADMINISTER,
    summary="Revoke an invitation: its token can no longer be used.",
    details="Builders that joined by it stay: `piw key revoke` revokes their keys.",
    examples=("piw builder uninvite 3f9a12c7",),
    parameters=(Parameter("id", Kind.TEXT, metavar="ID"),),
    build=lambda inputs: RevokeInvitation(id=inputs.text or ""),
    audit=lambda body: f"revoke the invitation {body.id}",
)

AUTHORIZE = CommandDefinition(
    name="builder authorize",
    message=AuthorizeBuilder,
    role=ControlRole.ADMINISTER,
    summary="Authorize a builder that waits, as `piw builder list` shows it.",
    details="One that joined by a token waits under its name; another one is named by the first "
    "digits of its key, and gets a NAME. It takes jobs at its next attempt to connect.",
    examples=("piw builder authorize pi4-kitchen", "piw builder authorize 1f0c9a pi4-kitchen"),
    parameters=(_WAITING, Parameter("name", Kind.TEXT, required=False, metavar="[NAME]")),
    build=lambda inputs: AuthorizeBuilder(builder=inputs.waiting, name=inputs.text or ""),
    audit=_audit_authorize,
    console=(
        ConsoleAction(
            name="authorize_builder",
            key="",
            label="Authorize builder",
            help="Authorize the builder of this row, which waits, under its name or another one.",
            requires=Requirement.WAITING,
            confirm=Confirm.ALWAYS,
            prompt=Prompt("Its name", "", Kind.TEXT, what="a name for the builder"),
        ),
    ),
)

REJECT = CommandDefinition(
    name="builder reject",
    message=RejectBuilder,
    role=ControlRole.ADMINISTER,
    summary="Reject a builder that waits; it is not listed again.",
    details="`piw builder authorize` with its key takes this back.",
    examples=("piw builder reject pi4-kitchen", "piw builder reject 1f0c9a"),
    parameters=(_WAITING,),
    build=lambda inputs: RejectBuilder(builder=inputs.waiting),
    audit=lambda body: f"reject builder {_shown(body.builder)}",
    console=(
        ConsoleAction(
            name="reject_builder",
            key="",
            label="Reject builder",
            help="Let the builder of this row, which waits, not build, and list its key no more.",
            requires=Requirement.WAITING,
            confirm=Confirm.ALWAYS,
        ),
    ),
)

DEFINITIONS = (INVITE, REVOKE, AUTHORIZE, REJECT)
