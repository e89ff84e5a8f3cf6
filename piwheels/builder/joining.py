"""Registers this machine as a builder at a master, by a token."""

import asyncio
import contextlib
import re
import socket
from importlib.metadata import version

from piwheels.errors import RejectedError, TransientError
from piwheels.protocol.invitation import Invitation
from piwheels.protocol.messages import PROTOCOL, Join, Joined, Rejected
from piwheels.protocol.sockets import (
    CONNECTION_ENDED,
    Dealer,
    NotConnectedError,
    key_pair_of,
)

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 30.0
_UNUSABLE = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_NAME = 63
_ALIKE = {"", "localhost"}


class NotReachedError(RejectedError):
    """The master was not reached, or does not know the token."""


class UnansweredError(TransientError):
    """The master got the request and did not answer: this machine may be registered or not."""


def host_label() -> str:
    """The name of this host as a builder's label."""
    first = _UNUSABLE.sub("-", socket.gethostname().partition(".")[0]).strip("-._")
    return "builder" if first in _ALIKE else first[:_MAX_NAME]


async def request_join(
    invitation: Invitation,
    public: str,
    name: str = "",
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
) -> Joined:
    """Register a builder's public key at the master; returns its label there.

    Args:
        invitation: what the token carries.
        public: the builder's public key.
        name: its label; "": its host's name, or a similar one if that is taken.
        connect_timeout_s: how long to try to reach the master.

    Raises:
        RejectedError: the master refused, and why.
        NotReachedError: the master was not reached or does not know the token, so that nothing has
            changed there.
        UnansweredError: it was reached, and did not answer.
    """
    dealer: Dealer[Joined | Rejected, Join] = Dealer(
        Joined | Rejected,
        builder_address(invitation.host, invitation.builder_port),
        key=key_pair_of(invitation.secret),
        server_key=invitation.master_key,
        monitored=True,
    )
    join = Join(
        public=public,
        name=name or host_label(),
        name_was_chosen=bool(name),
        protocol=PROTOCOL,
        version=version("piwheels"),
    )
    try:
        await _send(dealer, join, connect_timeout_s)
        answer = await dealer.receive(ANSWER_TIMEOUT_S)
    except NotConnectedError:
        raise UnansweredError(
            f"the master at {dealer.address} has not answered: run this again"
        ) from None
    finally:
        dealer.close()
    if isinstance(answer, Rejected):
        raise RejectedError(answer.reason)
    return answer


def builder_address(host: str, port: int) -> str:
    """The address of a port of the master, for ZeroMQ."""
    place = f"[{host}]" if ":" in host else host  # IPv6 as in a URL
    return f"tcp://{place}:{port}"


async def _send(dealer: Dealer[Joined | Rejected, Join], join: Join, timeout_s: float) -> None:
    """Send once the master has accepted the token's key."""
    sending = asyncio.create_task(dealer.send(join, timeout_s=timeout_s))
    ending = asyncio.create_task(dealer.disconnected("this token"))
    try:
        await asyncio.wait({sending, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not sending.done():
            raise NotReachedError(_why_ended(dealer.address, ending.result()))
        if sending.exception() is not None:
            raise NotReachedError(
                f"no answer from {dealer.address}: is the master running, and is its port open to "
                "this machine?"
            )
    finally:
        for task in (sending, ending):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, NotConnectedError):
                await task


def _why_ended(address: str, reason: str) -> str:
    if reason == CONNECTION_ENDED:
        return f"{address} ended the connection: this is another master, or it has another key now"
    return f"{reason}: it ended more than a day ago, or is that of another master"
