"""Limits on the TCP connections to one of our sockets, enforced by a thread.

libzmq limits the size of one frame and the number of whole messages that wait to be read. It
limits neither the number of frames in a message, all of which it keeps until the last one has
arrived, nor the number of connections. So the connections themselves are watched: the kernel
counts the bytes that arrived on each (tcp(7), TCP_INFO), the reader counts those that it has
read, and a connection with too many in between is shut down. So are connections beyond a
number: first those without a completed handshake (RFC 25), the oldest first, then the newest.

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

from piwheels.protocol.rate_limit import RateLimitedLog

_log = RateLimitedLog(logging.getLogger(__name__))

_CHECK_INTERVAL_S = 0.1
#: From <linux/tcp.h>, struct tcp_info: where the count of received bytes lies.
_TCP_INFO_BYTES = 192
_BYTES_RECEIVED_OFFSET = 128
_TCP_LISTEN = 10  # TCP_LISTEN in <linux/tcp.h>
#: ZeroMQ's greeting, and CURVE's HELLO and INITIATE without metadata (RFC 26).
_HANDSHAKE_BYTES = 64 + 202 + 259
#: What a frame costs on the wire beside its content (RFC 25), generously.
_FRAME_OVERHEAD_BYTES = 64
#: Heartbeats and their answers are never read as messages.
_HEARTBEAT_BYTES_PER_S = 200


class ConnectionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much the peers of one socket may use, each and together."""

    max_unread_bytes: int = 64 << 20  # of one connection: twice the largest upload window
    max_total_unread_bytes: int = 256 << 20  # of all connections together
    max_connections: int
    max_unauthenticated: int  # connections that have not completed their handshake


def limits_for(descriptors: int) -> ConnectionLimits:
    """The limits of one of the three TCP sockets of a process that may open this many files."""
    return ConnectionLimits(
        max_connections=max(descriptors // 4, 16),
        max_unauthenticated=max(min(descriptors // 8, 1000), 8),
    )


def descriptor_limit() -> int:
    """How many files this process may have open at once."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@dataclass(slots=True)
class _Connection:
    """A connection; `inode` distinguishes it from a later one with the same descriptor."""

    inode: int
    opened_at: float
    received_bytes: int = 0
    unread_bytes: float = 0.0


@dataclass(slots=True)
class ConnectionWatch:
    """Watches the connections to one port of this machine until it is stopped."""

    port: int
    limits: ConnectionLimits
    _connections: dict[int, _Connection] = field(default_factory=dict)
    _other_inodes: dict[int, int] = field(default_factory=dict)  # inodes of other descriptors
    _read_bytes: dict[int, int] = field(default_factory=dict)
    _read_lock: threading.Lock = field(default_factory=threading.Lock)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _checked_at: float = 0.0

    def start(self) -> None:
        """Start the thread."""
        self._checked_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"port {self.port}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def count_read(self, descriptor: int, sizes: Iterable[int]) -> None:
        """Note that a message with frames of these sizes was read from a connection."""
        read = sum(size + _FRAME_OVERHEAD_BYTES for size in sizes)
        with self._read_lock:
            self._read_bytes[descriptor] = self._read_bytes.get(descriptor, 0) + read

    def _run(self) -> None:
        while not self._stopping.wait(_CHECK_INTERVAL_S):
            self.check(time.monotonic())

    def check(self, now: float) -> None:
        """Measure every connection, and shut down those that exceed the limits."""
        # Read counts are taken before the kernel's: what is read meanwhile counts the next time.
        with self._read_lock:
            read, self._read_bytes = self._read_bytes, {}
        seconds, self._checked_at = now - self._checked_at, now
        self._find_connections(now)
        for descriptor, connection in list(self._connections.items()):
            received = _received_bytes(descriptor)
            if received is None:
                del self._connections[descriptor]
                continue
            new_bytes, connection.received_bytes = received - connection.received_bytes, received
            passed = read.get(descriptor, 0) + _HEARTBEAT_BYTES_PER_S * seconds
            connection.unread_bytes = max(connection.unread_bytes + new_bytes - passed, 0.0)
        for descriptor, reason in self._connections_to_close():
            self._close(descriptor, reason)

    def _find_connections(self, now: float) -> None:
        """Update the connections from this process's descriptors."""
        there = set(_open_descriptors())
        for gone in (self._connections.keys() | self._other_inodes.keys()) - there:
            self._connections.pop(gone, None)
            self._other_inodes.pop(gone, None)
        for descriptor in there:
            inode = _inode(descriptor)
            known = self._connections.get(descriptor)
            if inode is None or self._other_inodes.get(descriptor) == inode:
                continue
            if known is not None and known.inode == inode:
                continue
            self._connections.pop(descriptor, None)
            self._other_inodes.pop(descriptor, None)
            if _accepted_at(descriptor, self.port):
                self._connections[descriptor] = _Connection(inode, opened_at=now)
            else:
                self._other_inodes[descriptor] = inode

    def _connections_to_close(self) -> Iterator[tuple[int, str]]:
        """The connections to shut down, each with the reason."""
        limits = self.limits
        for descriptor, connection in self._connections.items():
            if connection.unread_bytes > limits.max_unread_bytes:
                yield descriptor, f"{connection.unread_bytes:.0f} of its bytes are unread"
        yield from self._largest_unread()
        by_age = sorted(self._connections, key=lambda number: self._connections[number].opened_at)
        unauthenticated = [
            number
            for number in by_age
            if self._connections[number].received_bytes < _HANDSHAKE_BYTES
        ]
        too_many = max(
            len(unauthenticated) - limits.max_unauthenticated,
            len(by_age) - limits.max_connections,
            0,
        )
        for descriptor in unauthenticated[:too_many]:
            yield descriptor, "too many connections without a completed handshake"
        known = [number for number in by_age if number not in set(unauthenticated[:too_many])]
        for descriptor in known[limits.max_connections :]:
            yield descriptor, f"there are more than {limits.max_connections} connections"

    def _largest_unread(self) -> Iterator[tuple[int, str]]:
        left = sum(connection.unread_bytes for connection in self._connections.values())
        by_size = sorted(
            self._connections, key=lambda number: -self._connections[number].unread_bytes
        )
        for descriptor in by_size:
            if left <= self.limits.max_total_unread_bytes:
                return
            left -= self._connections[descriptor].unread_bytes
            yield descriptor, "too many unread bytes in all connections together"

    def _close(self, descriptor: int, reason: str) -> None:
        connection = self._connections[descriptor]
        # libzmq may have closed it meanwhile, and another file may have its number.
        if _inode(descriptor) != connection.inode:
            return
        with _as_socket(descriptor) as ours, contextlib.suppress(OSError):
            host = ours.getpeername()[0]
            ours.shutdown(socket.SHUT_RDWR)
            _log.warning("closed a connection of %s to port %d: %s", host, self.port, reason)
        connection.unread_bytes = 0.0


def _open_descriptors() -> list[int]:
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
def _as_socket(descriptor: int) -> Iterator[socket.socket]:
    """A descriptor as a socket object that does not close it."""
    borrowed = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=descriptor)
    try:
        yield borrowed
    finally:
        borrowed.detach()


def _accepted_at(descriptor: int, port: int) -> bool:
    """Whether a descriptor is a connection that was accepted at this port."""
    try:
        with _as_socket(descriptor) as ours:
            domain = ours.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN)
            if domain not in {socket.AF_INET, socket.AF_INET6}:
                return False
            state = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)[0]
            return state != _TCP_LISTEN and int(ours.getsockname()[1]) == port
    except OSError:
        return False


def _received_bytes(descriptor: int) -> int | None:
    """How many bytes have arrived on a connection; None when it is closed."""
    try:
        with _as_socket(descriptor) as ours:
            info = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return None
    return int(struct.unpack_from("=Q", info, _BYTES_RECEIVED_OFFSET)[0])
