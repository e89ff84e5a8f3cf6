"""Limits on the TCP connections to a socket of ours, kept by a thread of its own.

libzmq limits the size of one frame and the number of whole messages that wait to be read. It
limits neither the number of frames in a message, all of which it keeps until the last one has
arrived, nor the number of connections. So the connections themselves are watched: the kernel
counts the bytes that arrived on each (tcp(7), TCP_INFO), the reader counts those that it has
read, and a connection with too many in between is shut down. So are connections beyond a
number: first those on which no handshake (RFC 25) was completed, the oldest first, then the
newest.

The thread opens no files, so it still works when the process has no descriptor left, and it
does not depend on the event loop.
"""

import contextlib
import errno
import logging
import os
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from piwheels.protocol.limited_log import LimitedLog

_log = LimitedLog(logging.getLogger(__name__))

_WATCH_EVERY_S = 0.1
#: From <linux/tcp.h>, struct tcp_info: where the count of received bytes lies.
_INFO_BYTES = 192
_RECEIVED_AT = 128
_LISTENING = 10  # TCP_LISTEN in <linux/tcp.h>
#: ZeroMQ's greeting, and CURVE's HELLO and INITIATE without metadata (RFC 26).
_HANDSHAKE_BYTES = 64 + 202 + 259
#: What a frame costs on the wire beside its content (RFC 25), generously.
_FRAME_BYTES = 64
#: Heartbeats and their answers are never read as messages.
_HEARTBEAT_BYTES_PER_S = 200


class ConnectionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much the peers of one socket may take together, and each of them."""

    unread_bytes: int = 64 << 20  # of one connection: twice the largest window of a file
    all_unread_bytes: int = 256 << 20  # of all connections together
    connections: int
    without_key: int  # connections that have not completed their handshake


def limits_for(descriptors: int) -> ConnectionLimits:
    """The limits of one of a process's three TCP sockets, which may open so many files."""
    return ConnectionLimits(
        connections=max(descriptors // 4, 16), without_key=max(min(descriptors // 8, 1000), 8)
    )


def descriptor_limit() -> int:
    """How many files this process may have open at once."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@dataclass(slots=True)
class _Connection:
    """One of our connections; `inode` tells it from a later one with the same descriptor."""

    inode: int
    since: float
    received: int = 0
    unread: float = 0.0


@dataclass(slots=True)
class ConnectionWatch:
    """Watches the connections to one port of this machine until it is stopped."""

    port: int
    limits: ConnectionLimits
    _connections: dict[int, _Connection] = field(default_factory=dict)
    _foreign: dict[int, int] = field(default_factory=dict)  # inodes of other descriptors
    _read: dict[int, int] = field(default_factory=dict)
    _reading: threading.Lock = field(default_factory=threading.Lock)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _looked_at: float = 0.0

    def start(self) -> None:
        """Begin to watch."""
        self._looked_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"port {self.port}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def count(self, descriptor: int, sizes: Iterable[int]) -> None:
        """Note that a message with frames of these sizes was read from a connection."""
        read = sum(size + _FRAME_BYTES for size in sizes)
        with self._reading:
            self._read[descriptor] = self._read.get(descriptor, 0) + read

    def _run(self) -> None:
        while not self._stopping.wait(_WATCH_EVERY_S):
            self.look(time.monotonic())

    def look(self, now: float) -> None:
        """Measure every connection, and shut those down that are too much."""
        # Read counts are taken before the kernel's: what is read meanwhile counts next time.
        with self._reading:
            read, self._read = self._read, {}
        seconds, self._looked_at = now - self._looked_at, now
        self._find(now)
        for descriptor, connection in list(self._connections.items()):
            received = _received(descriptor)
            if received is None:
                del self._connections[descriptor]
                continue
            new_bytes, connection.received = received - connection.received, received
            passed = read.get(descriptor, 0) + _HEARTBEAT_BYTES_PER_S * seconds
            connection.unread = max(connection.unread + new_bytes - passed, 0.0)
        for descriptor, reason in self._excess():
            self._close(descriptor, reason)

    def _find(self, now: float) -> None:
        """Bring the connections up to date with this process's descriptors."""
        there = set(_descriptors())
        for gone in (self._connections.keys() | self._foreign.keys()) - there:
            self._connections.pop(gone, None)
            self._foreign.pop(gone, None)
        for descriptor in there:
            inode = _inode(descriptor)
            known = self._connections.get(descriptor)
            if inode is None or self._foreign.get(descriptor) == inode:
                continue
            if known is not None and known.inode == inode:
                continue
            self._connections.pop(descriptor, None)
            self._foreign.pop(descriptor, None)
            if _accepted_at(descriptor, self.port):
                self._connections[descriptor] = _Connection(inode, since=now)
            else:
                self._foreign[descriptor] = inode

    def _excess(self) -> Iterator[tuple[int, str]]:
        """The connections to shut down, each with the reason."""
        limits = self.limits
        for descriptor, connection in self._connections.items():
            if connection.unread > limits.unread_bytes:
                yield descriptor, f"{connection.unread:.0f} bytes of it are unread"
        yield from self._most_unread()
        by_age = sorted(self._connections, key=lambda number: self._connections[number].since)
        strangers = [
            number for number in by_age if self._connections[number].received < _HANDSHAKE_BYTES
        ]
        too_many = max(len(strangers) - limits.without_key, len(by_age) - limits.connections, 0)
        for descriptor in strangers[:too_many]:
            yield descriptor, "too many connections are without a key"
        known = [number for number in by_age if number not in set(strangers[:too_many])]
        for descriptor in known[limits.connections :]:
            yield descriptor, f"there are more than {limits.connections} connections"

    def _most_unread(self) -> Iterator[tuple[int, str]]:
        left = sum(connection.unread for connection in self._connections.values())
        by_size = sorted(self._connections, key=lambda number: -self._connections[number].unread)
        for descriptor in by_size:
            if left <= self.limits.all_unread_bytes:
                return
            left -= self._connections[descriptor].unread
            yield descriptor, "too much is unread of all connections together"

    def _close(self, descriptor: int, reason: str) -> None:
        connection = self._connections[descriptor]
        # libzmq may have closed it meanwhile, and another file may have its number.
        if _inode(descriptor) != connection.inode:
            return
        with _borrowed(descriptor) as ours, contextlib.suppress(OSError):
            host = ours.getpeername()[0]
            ours.shutdown(socket.SHUT_RDWR)
            _log.warning("closed a connection of %s to port %d: %s", host, self.port, reason)
        connection.unread = 0.0


def _descriptors() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208 - names alone
    except OSError as error:
        if error.errno not in {errno.EMFILE, errno.ENFILE}:
            raise
        return list(range(descriptor_limit()))


def _inode(descriptor: int) -> int | None:
    try:
        return os.fstat(descriptor).st_ino
    except OSError:
        return None


@contextlib.contextmanager
def _borrowed(descriptor: int) -> Iterator[socket.socket]:
    """A descriptor as a socket object that does not close it."""
    borrowed = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=descriptor)
    try:
        yield borrowed
    finally:
        borrowed.detach()


def _accepted_at(descriptor: int, port: int) -> bool:
    """Whether a descriptor is a connection that was accepted at a port of ours."""
    try:
        with _borrowed(descriptor) as ours:
            domain = ours.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN)
            if domain not in {socket.AF_INET, socket.AF_INET6}:
                return False
            state = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)[0]
            return state != _LISTENING and int(ours.getsockname()[1]) == port
    except OSError:
        return False


def _received(descriptor: int) -> int | None:
    """How many bytes have arrived on a connection; None when it is closed."""
    try:
        with _borrowed(descriptor) as ours:
            info = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    except OSError:
        return None
    return int(struct.unpack_from("=Q", info, _RECEIVED_AT)[0])
