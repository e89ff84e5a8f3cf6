"""A link between two network namespaces that delays, loses, repeats and reorders packets.

    python -m tests.links.packet_link NAMESPACE NAMESPACE

It does to packets what tc-netem(8) does, and works on kernels that are built without sch_netem: the
ends are TUN devices, and this process carries the packets from one to the other. Each line of its
input is an `Impairment` in JSON, which holds from then on; it answers with its `Counts`.
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time
from dataclasses import dataclass, field

import msgspec

DEVICE = "wan"
MTU = 1500
#: From <linux/if_tun.h> and <sched.h>.
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x1, 0x1000
_CLONE_NEWNET = 0x40000000
_TCP = 6  # in an IPv4 header
_PACKETS_PER_TURN = 64


class Impairment(msgspec.Struct, frozen=True, kw_only=True):
    """What the link does to each packet, in both directions; the shares are from 0 to 1."""

    delay_s: float = 0.0
    jitter_s: float = 0.0  # the delay varies by so much, evenly
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0  # the share that is not delayed
    rate_bytes_s: float = 0.0  # 0: no limit
    queue_bytes: int = 150_000  # that wait for the rate; the rest is lost
    up: bool = True  # without it every packet is lost, and neither end learns of it
    forgets: int = 0  # connections that were there when this number was raised carry nothing more


class Counts(msgspec.Struct):
    """Packets since the link was made."""

    carried: int = 0
    lost: int = 0
    bytes_carried: int = 0


@dataclass(slots=True)
class Flows:
    """TCP connections by their ports, with the value of `forgets` at their first packet."""

    _first: dict[tuple[int, ...], int] = field(default_factory=dict)

    def is_forgotten(self, packet: bytes, forgets: int) -> bool:
        """Whether a packet belongs to a connection that is older than `forgets`."""
        header_bytes = (packet[0] & 15) * 4
        if packet[0] >> 4 != 4 or packet[9] != _TCP:
            return False
        ports = struct.unpack_from("!HH", packet, header_bytes)
        return self._first.setdefault(tuple(sorted(ports)), forgets) < forgets


@dataclass(slots=True)
class Direction:
    """One way over the link. No I/O: packets come in, and those that are due come out."""

    counts: Counts
    chance: random.Random
    flows: "Flows"
    _waiting: list[tuple[float, int, bytes]] = field(default_factory=list)
    _number: int = 0
    _free_at: float = 0.0  # when the rate allows the next packet

    def add(self, packet: bytes, how: Impairment, now: float) -> None:
        """Take a packet, or lose it."""
        chance = self.chance
        if not how.up or self.flows.is_forgotten(packet, how.forgets) or chance.random() < how.loss:
            self.counts.lost += 1
            return
        sent_at = now
        if how.rate_bytes_s:
            self._free_at = max(self._free_at, now)
            if (self._free_at - now) * how.rate_bytes_s > how.queue_bytes:
                self.counts.lost += 1
                return
            self._free_at += len(packet) / how.rate_bytes_s
            sent_at = self._free_at
        for _ in range(2 if chance.random() < how.duplicate else 1):
            early = chance.random() < how.reorder
            delay_s = 0.0 if early else how.delay_s + how.jitter_s * chance.uniform(-1, 1)
            self._number += 1
            heapq.heappush(self._waiting, (sent_at + delay_s, self._number, packet))

    def due(self, now: float) -> list[bytes]:
        """The packets that arrive now."""
        found = []
        while self._waiting and self._waiting[0][0] <= now:
            packet = heapq.heappop(self._waiting)[2]
            self.counts.carried += 1
            self.counts.bytes_carried += len(packet)
            found.append(packet)
        return found

    @property
    def next_at(self) -> float | None:
        """When the next packet arrives."""
        return self._waiting[0][0] if self._waiting else None


def _enter(namespace: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{namespace}", "rb") as file:  # noqa: PTH123 - its descriptor is wanted
        if libc.setns(file.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {namespace}")


def _open_device(namespace: str, name: str) -> int:
    _enter(namespace)
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    request = struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI)
    fcntl.ioctl(descriptor, _TUNSETIFF, request)
    return descriptor


def _read_packets(descriptor: int, way: Direction, how: Impairment) -> None:
    try:
        for _ in range(_PACKETS_PER_TURN):
            way.add(os.read(descriptor, 1 << 16), how, time.monotonic())
    except BlockingIOError:
        pass


def _write_packets(descriptor: int, way: Direction) -> None:
    for packet in way.due(time.monotonic()):
        try:
            os.write(descriptor, packet)
        except OSError:  # the device is down, or its queue is full
            way.counts.lost += 1


def run(first: str, second: str, name: str) -> None:
    """Carry packets between two namespaces until the input ends."""
    ends = (_open_device(first, f"{DEVICE}{name}"), _open_device(second, DEVICE))
    counts = Counts()
    flows = Flows()
    there, back = (Direction(counts, random.Random(seed), flows) for seed in (1, 2))
    pairs = ((ends[0], there, ends[1]), (ends[1], back, ends[0]))
    how = Impairment()
    print(msgspec.json.encode(counts).decode(), flush=True)
    while True:
        times = [way.next_at for way in (there, back) if way.next_at is not None]
        wait_s = max(min(times) - time.monotonic(), 0.0) if times else None
        ready, _, _ = select.select([sys.stdin, *ends], [], [], wait_s)
        if sys.stdin in ready:
            line = sys.stdin.readline()
            if not line:
                return
            how = msgspec.json.decode(line, type=Impairment)
            print(msgspec.json.encode(counts).decode(), flush=True)
        for source, way, target in pairs:
            if source in ready:
                _read_packets(source, way, how)
            _write_packets(target, way)


if __name__ == "__main__":
    run(*sys.argv[1:])
