"""Messages from and to builders: who sends them, and where each builder is answered."""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from piwheels.db.database import is_database_error
from piwheels.errors import ConfigError, PiwheelsError, RejectedError
from piwheels.protocol.keys import KeyStore, Role
from piwheels.protocol.messages import (
    FromBuilder,
    Goodbye,
    Hello,
    Join,
    Rejected,
    ToBuilder,
    builder_mismatch_message,
    speaks_with_builder,
)
from piwheels.protocol.rate_limit import RateLimitedLog
from piwheels.protocol.sockets import Envelope, Peer, Router
from piwheels.scheduler import reasons
from piwheels.scheduler.builder_registration import BuilderRegistration
from piwheels.scheduler.builder_routes import RejectedPeer, Routes

log = logging.getLogger(__name__)
_error_log = RateLimitedLog(log)
_join_log = RateLimitedLog(log)


@dataclass(slots=True)
class BuilderConnections:
    """The builders' socket.

    `on_message` gets each message of an authorized builder with its label, `on_key_revoked` the
    label of one whose key is no longer authorized, `note` a text for the audit log.
    """

    router: Router[FromBuilder, ToBuilder]
    keys: KeyStore
    on_message: Callable[[str, FromBuilder], Awaitable[None]]
    on_key_revoked: Callable[[str], Awaitable[None]]
    note: Callable[[str], None]
    registration: BuilderRegistration
    routes: Routes = field(default_factory=Routes)

    async def run(self) -> None:
        """Receive messages until canceled.

        Raises:
            PiwheelsError: the master cannot go on; no message of a builder causes that.
        """
        while True:
            envelope = await self.router.receive()
            try:
                await self._receive(envelope)
            except Exception as error:
                # No message of a builder may end the master.
                if isinstance(error, PiwheelsError) or is_database_error(error):
                    raise
                await self._reject_failed(envelope.peer, error)

    async def send(self, label: str, message: ToBuilder) -> None:
        """Send to a builder at its current route; dropped when it is gone."""
        if peer := self.routes.route_of(label):
            await self.router.send(peer, message)

    async def reject(self, label: str, reason: str) -> None:
        """Reject a builder that must not try again."""
        log.warning("rejected builder %s: %s", label, reason)
        await self.send(label, Rejected(reason=reason, permanent=True))

    async def reject_failed(self, label: str, error: Exception) -> None:
        """Answer a builder's message that could not be handled; the traceback is logged."""
        if peer := self.routes.route_of(label):
            await self._reject_failed(peer, error)

    async def _receive(self, envelope: Envelope[FromBuilder]) -> None:
        peer, message = envelope.peer, envelope.message
        try:
            label = self.keys.name_of(Role.BUILDER, peer.key)
        except ConfigError as error:
            _error_log.warning("%s", error)
            await self.router.send(peer, Rejected(reason=reasons.KEYS_UNREADABLE))
            return
        if label is None:
            if self.registration.admits(peer.key):
                await self._on_join(peer, message)
            else:
                await self._reject_unknown_key(peer)
            return
        instance = message.instance if isinstance(message, Hello) else None
        rejected = self.routes.observe(label, peer, time.monotonic(), instance)
        if rejected is not None:
            await self._reject_duplicate(label, rejected)
            if rejected.peer is peer:
                return
        if isinstance(message, Hello) and not speaks_with_builder(message.protocol):
            mismatch = builder_mismatch_message(message.protocol)
            reason = f"{mismatch} (the builder's is {message.version})"
            await self.router.send(peer, Rejected(reason=reason, permanent=True))
            return
        await self.on_message(label, message)
        if isinstance(message, Goodbye):
            self.routes.remove(label)  # the next process with its key does not have to wait

    async def _on_join(self, peer: Peer, message: FromBuilder) -> None:
        """Answer a peer that has the key of a token: it can register a builder, no more."""
        try:
            if not isinstance(message, Join):
                raise RejectedError("a token is only good for `piw builder join`")
            if not speaks_with_builder(message.protocol):
                raise RejectedError(builder_mismatch_message(message.protocol))
            joined = self.registration.join(peer.key, message, peer.address)
        except PiwheelsError as error:
            _join_log.warning("%s did not join as a builder: %s", peer.address, error)
            # What the master cannot read or write now is no answer to the builder.
            lasting = not isinstance(error, ConfigError)
            reason = str(error) if lasting else reasons.KEYS_UNREADABLE
            await self.router.send(peer, Rejected(reason=reason, permanent=lasting))
            return
        if not joined.repeated:
            self.note(self.registration.joined_text(peer.key, joined))
        await self.router.send(peer, joined)

    async def _reject_failed(self, peer: Peer, error: Exception) -> None:
        _error_log.warning(reasons.UNHANDLED_MESSAGE, peer.key, with_traceback=True)
        await self.router.send(peer, Rejected(reason=reasons.internal_error(error)))

    async def _reject_unknown_key(self, peer: Peer) -> None:
        revoked = self.routes.labels_of_key(peer.key)
        for label in revoked:
            await self.on_key_revoked(label)
            self.routes.remove(label)
        if not revoked:
            await self.router.send(peer, Rejected(reason=reasons.UNKNOWN_KEY, permanent=True))

    async def _reject_duplicate(self, label: str, rejected: RejectedPeer) -> None:
        """Reject one of two builders that use the same key."""
        reason = reasons.duplicate_key(label, permanent=rejected.permanent)
        message = Rejected(reason=reason, permanent=rejected.permanent)
        await self.router.send(rejected.peer, message)
        if rejected.permanent:
            self.note(f"two builders are using {label}'s key; the newer one was disconnected")
