"""`piw builder invite` and `piw builder invitations`."""

from datetime import UTC, datetime

import click

from piwheels.cli.options import given_duration
from piwheels.cli.remote.client import connect, print_json
from piwheels.config import Config
from piwheels.errors import UsageError
from piwheels.formatting import format_duration
from piwheels.model import IssuedInvitation
from piwheels.output import print_table
from piwheels.protocol.commands.joining import MAX_VALID_DAYS
from piwheels.protocol.invitation import parse_token
from piwheels.protocol.messages import (
    BuilderInvited,
    InvitationsReply,
    InviteBuilder,
    ListInvitations,
)
from piwheels.sanitize import strip_controls


async def invite(
    config: Config,
    *,
    name: str,
    authorize: bool,
    expires: str,
    uses: int,
    master_host: str,
    as_json: bool,
) -> int:
    """Make an invitation, and print its token; what else there is to know goes to stderr."""
    valid_s = given_duration(expires)
    if not 0 < valid_s <= MAX_VALID_DAYS * 86400.0:
        raise UsageError(f"--expires {expires}: a token is valid for up to {MAX_VALID_DAYS}d")
    command = InviteBuilder(
        name=name, authorize=authorize, uses=uses, valid_s=valid_s, host=master_host
    )
    async with connect(config) as client:
        reply = await client.request(command, BuilderInvited)
    if as_json:
        print_json(reply)
        return 0
    click.echo(reply.token)
    invitation = parse_token(reply.token)
    then = "needs no further step" if authorize else "each waits for `piw builder authorize`"
    times = f"{uses} builders may" if uses > 1 else "one builder may"
    click.echo(
        f"{times} join {invitation.host} by this token within {format_duration(valid_s)}, and "
        f"{then}; `piw builder uninvite {reply.invitation.id}` revokes it.\n"
        "On the builder: sudo /opt/piwheels/bin/piw setup builder (asks for it)",
        err=True,
    )
    return 0


async def list_invitations(config: Config, *, as_json: bool) -> int:
    """Print the invitations that are open or ended within a day."""
    async with connect(config) as client:
        reply = await client.request(ListInvitations(), InvitationsReply)
    if as_json:
        print_json(reply.invitations)
    elif reply.invitations:
        now = datetime.now(UTC)
        print_table(
            ("id", "builder", "by", "state", "used", "joined", "authorizes"),
            [_row(each, now) for each in reply.invitations],
        )
    else:
        click.echo("there are no invitations")
    return 0


def _row(invitation: IssuedInvitation, now: datetime) -> tuple[str, ...]:
    left = (invitation.expires_at - now).total_seconds()
    ended = invitation.ended(now)
    return (
        invitation.id,
        invitation.name or "any",
        strip_controls(invitation.invited_by),
        strip_controls(ended) or f"open for {format_duration(left)}",
        f"{len(invitation.joined)} of {invitation.uses}",
        ", ".join(invitation.joined.values()) or "-",
        "yes" if invitation.authorize else "no",
    )
