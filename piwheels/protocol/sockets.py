"""The sockets that carry the messages: typed ZeroMQ routers and dealers, CURVE on TCP.

A Router returns only well-formed messages: what does not decode is answered with a rejection and
logged with the peer's key, and never raises. What peers over TCP can make it keep in memory is
limited (see `connection_limits`). A Dealer never queues for a peer that is not there.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import msgspec
import zmq
import zmq.asyncio
from zmq.auth.asyncio import AsyncioAuthenticator
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from piwheels.errors import MALFORMED, ConfigError, PiwheelsError, TransientError
from piwheels.protocol.connection_limits import ConnectionWatch, descriptor_limit, limits_for
from piwheels.protocol.rate_limit import RateLimitedLog

log = logging.getLogger(__name__)

_In = TypeVar("_In")
_Out = TypeVar("_Out", bound=msgspec.Struct)

_rejection_log = RateLimitedLog(log)
_unknown_key_log = RateLimitedLog(log)

#: Of one frame. A message has at most this many after its route; others are rejected.
_MAX_FRAME_BYTES = 4 * 1024 * 1024
_MAX_FRAMES = 2
_FRAMES_PER_TURN = 1000
#: A peer that has connected completes the handshake in this time, or is disconnected. It takes four
#: round trips, and on a link that loses packets each of them some seconds.
_HANDSHAKE_MS = 20_000
_HEARTBEAT_MS = 15_000
_HEARTBEAT_TIMEOUT_MS = 60_000


#: What `Dealer.disconnected()` says of a connection whose key was not rejected.
CONNECTION_ENDED = "the connection ended"


class KeyPair(msgspec.Struct, frozen=True):
    """A CURVE key pair, in hexadecimal."""

    public: str
    secret: str


class NotConnectedError(TransientError):
    """There is no peer; the message was not sent and not kept."""


def generate_key_pair() -> KeyPair:
    """A new CURVE key pair."""
    public, secret = zmq.curve_keypair()
    return KeyPair(public=z85.decode(public).hex(), secret=z85.decode(secret).hex())


def key_pair_of(secret: str) -> KeyPair:
    """The key pair of a secret key, in hexadecimal."""
    public = zmq.curve_public(z85.encode(bytes.fromhex(secret)))
    return KeyPair(public=z85.decode(public).hex(), secret=secret)


class Peer(msgspec.Struct, frozen=True):
    """Who sent a message: its route on this socket, its public key and its IP address.

    Key and address are "" on a Unix socket; `uid` is the account there, by the kernel's word, and
    None where the system does not tell.
    """

    route: bytes
    key: str
    address: str = ""
    uid: int | None = None


class SendResult(Enum):
    """What happened to a message to a peer."""

    SENT = auto()
    FULL = auto()  # the peer's queue is full: the message was dropped
    GONE = auto()  # the peer has disconnected


class Envelope(msgspec.Struct, Generic[_In], frozen=True):
    """A message, its sender, and the raw frames that follow it."""

    peer: Peer
    message: _In
    frames: tuple[bytes, ...] = ()


#: What ZeroMQ calls the peer of a Unix socket: user id, group id and process id (SO_PEERCRED).
_CREDENTIALS = re.compile(r".*:(\d+):(\d+):(\d+)", re.ASCII)
_ZAP_ADDRESS = 3  # the frame of a request with the peer's IP address
_ZAP = "inproc://zeromq.zap.01"  # ZeroMQ RFC 27: one for all sockets of a process


class _Authenticator(AsyncioAuthenticator):
    """Knows the address of the peer that it asks about; it asks about one after the other."""

    peer_address = ""

    async def handle_zap_message(self, msg: list[bytes]) -> None:
        """Remember the address, and decide."""
        self.peer_address = (
            msg[_ZAP_ADDRESS].decode(errors="replace") if len(msg) > _ZAP_ADDRESS else ""
        )
        await super().handle_zap_message(msg)


class CurveGate:
    """Decides which CURVE keys may connect, for all the sockets of this process.

    `is_allowed` gets a domain (chosen by the sockets) and a public key in hexadecimal; so does
    `on_refused`, with the peer's IP address, after a key was refused.
    """

    def __init__(
        self,
        is_allowed: Callable[[str, str], bool],
        on_refused: Callable[[str, str, str], None] = lambda _domain, _key, _address: None,
    ) -> None:
        self._is_allowed = is_allowed
        self._on_refused = on_refused
        self._authenticator: _Authenticator | None = None

    async def __aenter__(self) -> Self:
        quiet = logging.getLogger("piwheels.protocol.zap")
        self._authenticator = _Authenticator(_context(), log=quiet)
        self._authenticator.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._authenticator:
            # Closing alone frees its address only later, in the library's own thread.
            self._authenticator.zap_socket.unbind(_ZAP)
            self._authenticator.stop()
            self._authenticator = None

    def protect(self, domain: str) -> None:
        """Let only owners of keys that are allowed in a domain connect to its sockets."""
        if self._authenticator is None:
            raise RuntimeError("the gate has to be entered before it protects a domain")
        self._authenticator.configure_curve_callback(domain, self)

    def callback(self, domain: str, key: bytes) -> bool:
        """The credentials provider of pyzmq: called once for each connection."""
        public = z85.decode(key).hex()
        try:
            admitted = self._is_allowed(domain, public)
        except PiwheelsError as error:
            # Raised from here it would end the authenticator, and no peer could connect any more.
            _unknown_key_log.warning("%s", error)
            return False
        if not admitted:
            _unknown_key_log.warning("rejected a %s with the unknown key %s", domain, public)
            address = self._authenticator.peer_address if self._authenticator else ""
            self._on_refused(domain, public, address)
        return admitted


class Router(Generic[_In, _Out]):
    """The server's end: many peers, each addressed by its route."""

    def __init__(
        self, incoming: Any, make_rejection: Callable[[str, bytes], _Out], *, hwm: int = 1000
    ) -> None:
        """incoming: the union of messages to accept.

        make_rejection: makes the answer to others, from the reason and the bytes received.
        """
        self._decoder: msgspec.msgpack.Decoder[_In] = msgspec.msgpack.Decoder(incoming)
        self._encoder = msgspec.msgpack.Encoder()
        self._make_rejection = make_rejection
        self._socket = _context().socket(zmq.ROUTER)
        self._socket.router_mandatory = True  # otherwise what cannot be sent is dropped silently
        _configure(self._socket, hwm)
        # The same socket without asyncio: further frames of a message have arrived already.
        self._sync_socket: zmq.Socket[bytes] = zmq.Socket.shadow(self._socket)
        self._socket_paths: list[Path] = []
        self._requires_key = False
        self._watch: ConnectionWatch | None = None

    def bind(self, address: str, *, key: KeyPair | None = None, domain: str = "") -> str:
        """Listen at an address; with a key, for CURVE peers of a protected domain only.

        Returns:
            The address with the port that the system chose, where `:*` or port 0 was given.

        Raises:
            ConfigError: the address is malformed, in use, or TCP without a key.
        """
        if key is None and not address.startswith("ipc://"):
            raise ConfigError(f"{address}: without keys only ipc:// sockets are safe")
        if key is not None:
            self._requires_key = True
            self._socket.curve_server = True
            self._socket.curve_secretkey = bytes.fromhex(key.secret)
            self._socket.zap_domain = domain.encode()
        try:
            self._bind(address)
        except zmq.ZMQError as error:
            raise ConfigError(f"cannot listen at {address}: {error.strerror}") from None
        endpoint = str(self._socket.getsockopt_string(zmq.LAST_ENDPOINT))
        if endpoint.startswith("tcp://"):
            port = int(endpoint.rpartition(":")[2])
            self._watch = ConnectionWatch(port, limits_for(descriptor_limit()))
            self._watch.start()
        return endpoint

    def _bind(self, address: str) -> None:
        if not address.startswith("ipc://"):
            self._socket.ipv6 = _is_ipv6(address)
            self._socket.bind(address)
            return
        path = Path(address.removeprefix("ipc://"))
        if len(bytes(path)) > zmq.IPC_PATH_MAX_LEN:
            raise ConfigError(f"{path} is too long for a Unix socket; choose a shorter path")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{path.parent}: {error.strerror}") from None
        self._socket.bind(address)
        path.chmod(0o660)
        self._socket_paths.append(path)

    async def receive(self) -> Envelope[_In]:
        """The next well-formed message."""
        while True:
            frames = await self._receive_frames()
            route = bytes(frames[0].buffer)
            last = frames[-1]
            key = _key_of(last)
            address, uid = _origin_of(last, is_local=not key)
            peer = Peer(route=route, key=key, address=address, uid=uid)
            if self._requires_key and not peer.key:
                # Cannot happen; without a key it would be taken for a message of a local operator.
                _rejection_log.warning("dropped a message that came over TCP without a key")
                continue
            try:
                if len(frames) - 1 > _MAX_FRAMES:
                    raise msgspec.DecodeError(f"it has more than {_MAX_FRAMES} frames")
                message = self._decoder.decode(frames[1].buffer)
            except (*MALFORMED, IndexError) as error:
                await self._reject(peer, error, frames)
                continue
            rest = tuple(bytes(frame.buffer) for frame in frames[2:])
            return Envelope(peer=peer, message=message, frames=rest)

    async def _reject(self, peer: Peer, error: Exception, frames: list[zmq.Frame]) -> None:
        _rejection_log.warning("rejected a message of %s: %s", peer.key or "a local peer", error)
        came = bytes(frames[1].buffer) if len(frames) > 1 else b""
        await self.send(peer, self._make_rejection(f"malformed message: {error}", came))

    async def _receive_frames(self) -> list[zmq.Frame]:
        """The next message: its route and frames; of one with too many, the first of them."""
        frames = [await self._socket.recv(copy=False)]
        while frames[-1].more:
            frames.append(self._sync_socket.recv(zmq.DONTWAIT, copy=False))
            if len(frames) - 1 > _MAX_FRAMES:
                await self._skip_rest(frames[-1])
                break
        self._count(frames)
        return frames

    async def _skip_rest(self, last: zmq.Frame) -> None:
        """Read further frames of a message and drop them."""
        skipped = 0
        while last.more:
            last = self._sync_socket.recv(zmq.DONTWAIT, copy=False)
            self._count([last, last])
            skipped += 1
            if skipped % _FRAMES_PER_TURN == 0:
                await asyncio.sleep(0)

    def _count(self, frames: list[zmq.Frame]) -> None:
        if self._watch is not None and len(frames) > 1:
            descriptor = int(frames[-1].get(zmq.SRCFD))
            self._watch.count_read(descriptor, [len(frame.buffer) for frame in frames[1:]])

    async def send(self, peer: Peer, message: _Out) -> SendResult:
        """Send to one peer without waiting; dropped when it is gone or its queue is full."""
        frames = [peer.route, self._encoder.encode(message)]
        try:
            await self._socket.send_multipart(frames, flags=zmq.DONTWAIT)
        except zmq.Again:
            return SendResult.FULL
        except zmq.ZMQError:
            return SendResult.GONE
        return SendResult.SENT

    def close(self) -> None:
        """Stop listening; what was not delivered is dropped."""
        if self._watch is not None:
            self._watch.stop()
        self._socket.close(linger=200)
        for path in self._socket_paths:
            path.unlink(missing_ok=True)


class Dealer(Generic[_In, _Out]):
    """A client's end: one server."""

    def __init__(
        self,
        incoming: Any,
        address: str,
        *,
        key: KeyPair | None = None,
        server_key: str = "",
        hwm: int = 1000,
        monitored: bool = False,
    ) -> None:
        """incoming: the union of messages to accept; monitored: `disconnected` will be called.

        While `disconnected` runs, `is_reached` tells whether there is a TCP connection.
        """
        self.is_reached = False
        self._decoder: msgspec.msgpack.Decoder[_In] = msgspec.msgpack.Decoder(incoming)
        self._encoder = msgspec.msgpack.Encoder()
        self.address = address
        self._socket = _context().socket(zmq.DEALER)
        self._monitor = (
            self._socket.get_monitor_socket(
                zmq.EVENT_CONNECTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_AUTH
            )
            if monitored
            else None
        )
        _configure(self._socket, hwm)
        self._socket.immediate = True
        if key is not None:
            self._socket.curve_publickey = bytes.fromhex(key.public)
            self._socket.curve_secretkey = bytes.fromhex(key.secret)
            self._socket.curve_serverkey = bytes.fromhex(server_key)
        try:
            self._socket.ipv6 = _is_ipv6(address)
            self._socket.connect(address)
        except zmq.ZMQError as error:
            self.close()
            raise ConfigError(f"cannot connect to {address}: {error.strerror}") from None

    async def send(self, message: _Out, *frames: bytes, timeout_s: float = 5.0) -> None:
        """Send a message and raw frames after it.

        Raises:
            NotConnectedError: there was no peer within the time; nothing stays queued.
        """
        parts = [self._encoder.encode(message), *frames]
        try:
            async with asyncio.timeout(timeout_s):
                await self._socket.send_multipart(parts, copy=False)
        except (TimeoutError, zmq.ZMQError):
            raise NotConnectedError(f"no answer from {self.address}") from None

    async def receive(self, timeout_s: float | None = None) -> _In:
        """The next message.

        Raises:
            NotConnectedError: none came within the time.
        """
        while True:
            try:
                async with asyncio.timeout(timeout_s):
                    frames = await self._socket.recv_multipart()
            except TimeoutError:
                raise NotConnectedError(f"no answer from {self.address}") from None
            try:
                return self._decoder.decode(frames[0])
            except MALFORMED as error:
                _rejection_log.warning("%s sent a malformed message: %s", self.address, error)

    async def disconnected(self, key: str = "this console's key") -> str:
        """Wait until the connection ends or its key is rejected; returns which.

        Only if monitored.
        """
        if self._monitor is None:
            raise RuntimeError("only a monitored dealer knows when its connection ends")
        while True:
            event = parse_monitor_message(await self._monitor.recv_multipart())
            if event["event"] != zmq.EVENT_CONNECTED:
                break
            self.is_reached = True
        self.is_reached = False
        if event["event"] == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            return f"the master does not know {key}"
        return CONNECTION_ENDED

    def close(self, linger_s: float = 0.0) -> None:
        """Disconnect; wait this long for queued messages to be sent."""
        if self._monitor is not None:
            self._socket.disable_monitor()
            self._monitor.close(linger=0)
        self._socket.close(linger=int(linger_s * 1000))


def _context() -> zmq.asyncio.Context:
    return zmq.asyncio.Context.instance()


def _is_ipv6(address: str) -> bool:
    """Whether an address is an IPv6 one; `tcp://[::]:5555` accepts IPv4 as well."""
    return address.startswith("tcp://[")


def _configure(socket: zmq.asyncio.Socket, hwm: int) -> None:
    socket.linger = 0
    socket.sndhwm = hwm
    socket.rcvhwm = hwm
    socket.maxmsgsize = _MAX_FRAME_BYTES
    socket.handshake_ivl = _HANDSHAKE_MS
    socket.heartbeat_ivl = _HEARTBEAT_MS
    socket.heartbeat_timeout = _HEARTBEAT_TIMEOUT_MS
    socket.reconnect_ivl = 200
    socket.reconnect_ivl_max = 5_000


def _key_of(frame: zmq.Frame) -> str:
    try:
        return z85.decode(str(frame.get("User-Id"))).hex()
    except (zmq.ZMQError, KeyError, ValueError):
        return ""


def _origin_of(frame: zmq.Frame, *, is_local: bool) -> tuple[str, int | None]:
    """The IP address of a message's sender, or on a Unix socket the user id of its account."""
    try:
        told = str(frame.get("Peer-Address"))
    except (zmq.ZMQError, KeyError, ValueError):
        return "", None
    if not is_local:
        return told, None
    credentials = _CREDENTIALS.fullmatch(told)
    return "", int(credentials[1]) if credentials else None
