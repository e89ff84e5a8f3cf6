"""Registers this machine as a builder at a master, by a token."""

import asyncio
import contextlib
import logging
import re
import socket
from importlib.metadata import version
from pathlib import Path

from piwheels.errors import ConfigError, NotNowError, RejectedError, TransientError, UsageError
from piwheels.protocol.invitation import Invitation, parse_token
from piwheels.protocol.keys import JOINED_SUFFIX, KeyStore
from piwheels.protocol.messages import PROTOCOL, Join, Joined, Rejected
from piwheels.protocol.sockets import (
    CONNECTION_ENDED,
    Dealer,
    NotConnectedError,
    key_pair_of,
)
from piwheels.webroot import replace_file

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 30.0
RETRY_S = 30.0
_UNUSABLE = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_NAME = 63
_ALIKE = {"", "localhost"}


class NotReachedError(TransientError):
    """There is no master where the token names it."""


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
    proposed_name: str = "",
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
) -> Joined:
    """Register a builder's public key at the master; returns its label there.

    Args:
        invitation: what the token carries.
        public: the builder's public key.
        name: its label; "": the proposed one, or a similar one if that is taken.
        proposed_name: "": its host's name.
        connect_timeout_s: how long to try to reach the master.

    Raises:
        RejectedError: the master refused, and why.
        NotReachedError: the master was not reached, so that nothing has changed there.
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
        name=name or proposed_name or host_label(),
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
        raise (RejectedError if answer.permanent else NotNowError)(answer.reason)
    return answer


async def join_at_start(
    keys: KeyStore, key_name: str, token: str, name: str = "", retry_s: float = RETRY_S
) -> None:
    """Register this machine's key by the token of its configuration, unless that was done.

    A master that is not there is waited for. Where the token cannot be used, that is logged: an
    operator can authorize the key all the same.

    Raises:
        ConfigError: the token is malformed, or a file cannot be read or written.
    """
    public = keys.require(key_name).public
    done = keys.key_dir / f"{key_name}{JOINED_SUFFIX}"
    if _read(done) == public:
        return
    try:
        invitation = parse_token(token)
    except UsageError as error:
        raise ConfigError(f"builder.join_token: {error}") from None
    while True:
        try:
            joined = await request_join(invitation, public, proposed_name=name)
        except TransientError as error:
            log.warning("%s; trying again to join", error)
            await asyncio.sleep(retry_s)
        except RejectedError as error:
            log.warning("this machine has not joined by builder.join_token: %s", error)
            return
        else:
            log.info("this machine joined the farm as %s", joined.label)
            _write(done, public)
            return


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from None


def _write(file: Path, text: str) -> None:
    try:
        replace_file(file, f"{text}\n".encode())
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None


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
            raise RejectedError(_why_ended(dealer.address, ending.result()))
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
