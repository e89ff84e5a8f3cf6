"""Network namespaces around one of a master, each with a link of its own to it."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tests import requires
from tests.links.packet_link import DEVICE, MTU, Counts, Impairment
from tests.timeouts import WAIT_S


def require_namespaces() -> None:
    """Skip the test at hand where network namespaces or TUN devices cannot be made."""
    requires.find_program("ip")
    requires.find_program("nsenter")
    if os.getuid() != 0:
        requires.skip_or_fail("network namespaces need root")
    if not Path("/dev/net/tun").exists():
        requires.skip_or_fail("this kernel has no TUN devices")
    probe = f"piw-{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False)
    if made.returncode:
        requires.skip_or_fail("this account may not make network namespaces")
    _run("ip", "netns", "delete", probe)


@dataclass
class Link:
    """A link between the master's namespace and another one."""

    namespace: str
    master_address: str
    process: subprocess.Popen[str]
    now: Impairment = Impairment()  # noqa: RUF009 - frozen

    def set(self, how: Impairment) -> Counts:
        """Change what the link does to packets; returns what it carried before."""
        assert self.process.stdin is not None
        self.now = how
        self.process.stdin.write(msgspec.json.encode(how).decode() + "\n")
        self.process.stdin.flush()
        return self._counts()

    def counts(self) -> Counts:
        """What it has carried."""
        return self.set(self.now)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Lose every packet meanwhile; neither end is told."""
        before = self.now
        self.set(msgspec.structs.replace(before, up=False))
        yield
        self.set(before)

    def forget_connections(self) -> None:
        """Lose all further packets of the connections that are there, as a router may."""
        self.set(msgspec.structs.replace(self.now, forgets=self.now.forgets + 1))

    def inside(self) -> list[str]:
        """What to put before a command, so that it runs in the namespace at this end."""
        return inside(self.namespace)

    def _counts(self) -> Counts:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the link's process has ended"
        return msgspec.json.decode(line, type=Counts)


def inside(namespace: str) -> list[str]:
    """What to put before a command, so that it runs in a namespace."""
    return ["nsenter", f"--net=/run/netns/{namespace}"]


class Network:
    """A namespace for a master; `links` lead from it to the others."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.master = self._make_namespace("master")
        self.links: list[Link] = []

    def add_link(self, name: str) -> Link:
        """Make a namespace and the link to it."""
        namespace, number = self._make_namespace(name), len(self.links)
        command = [sys.executable, "-m", "tests.links.packet_link", self.master, namespace]
        process = self._stack.enter_context(
            subprocess.Popen(
                [*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        )
        self._stack.callback(process.terminate)
        here, there = f"10.98.{number}.1", f"10.98.{number}.2"
        link = Link(namespace, here, process)
        link._counts()
        _set_up(self.master, f"{DEVICE}{number}", here, there)
        _set_up(namespace, DEVICE, there, here)
        self.links.append(link)
        return link

    def inside(self) -> list[str]:
        """What to put before a command, so that it runs in the master's namespace."""
        return inside(self.master)

    def _make_namespace(self, name: str) -> str:
        namespace = f"piw-{os.getpid()}-{name}"
        _run("ip", "netns", "add", namespace)
        self._stack.callback(_run, "ip", "netns", "delete", namespace)
        _run(*inside(namespace), "ip", "link", "set", "lo", "up")
        return namespace


@contextmanager
def network() -> Iterator[Network]:
    """A network that is removed at the end."""
    require_namespaces()
    with ExitStack() as stack:
        yield Network(stack)


def _set_up(namespace: str, device: str, address: str, peer: str) -> None:
    ip = [*inside(namespace), "ip"]
    _run(*ip, "address", "add", address, "peer", peer, "dev", device)
    _run(*ip, "link", "set", "dev", device, "up", "mtu", str(MTU))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=WAIT_S)


def sockets_of(prefix: Sequence[str]) -> list[str]:
    """The established TCP connections in a namespace, as ss(8) prints them."""
    command = [*prefix, "ss", "--tcp", "--numeric", "--no-header", "state", "established"]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=WAIT_S
    ).stdout.splitlines()
