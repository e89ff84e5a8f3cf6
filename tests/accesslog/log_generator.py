"""Generates access logs, and counts what is in them."""

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

DAY = date(2026, 3, 10)
BROWSER = "Mozilla/5.0 (X11; Linux aarch64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36"
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
MIRROR = "bandersnatch/6.5.0 (CPython 3.11.2-final0, Linux 6.1.0 aarch64)"


def pip_agent(version: str = "24.0", python: str = "3.11.2", cpu: str = "aarch64") -> str:
    """The User-Agent of pip."""
    message = {
        "ci": None,
        "cpu": cpu,
        "distro": {
            "id": "bookworm",
            "libc": {"lib": "glibc", "version": "2.36"},
            "name": "Debian GNU/Linux",
            "version": "12",
        },
        "implementation": {"name": "CPython", "version": python},
        "installer": {"name": "pip", "version": version},
        "openssl_version": "OpenSSL 3.0.11 19 Sep 2023",
        "python": python,
        "setuptools_version": "66.1.1",
        "system": {"name": "Linux", "release": "6.1.0-rpi7-rpi-v8"},
    }
    return f"pip/{version} {json.dumps(message, separators=(',', ':'), sort_keys=True)}"


def uv_agent(version: str = "0.5.1", python: str = "3.13.1", cpu: str = "x86_64") -> str:
    """The User-Agent of uv."""
    message = {
        "installer": {"name": "uv", "version": version, "subcommand": ["pip", "install"]},
        "python": python,
        "implementation": {"name": "CPython", "version": python},
        "distro": {
            "name": "Ubuntu",
            "version": "24.04",
            "id": "noble",
            "libc": {"lib": "glibc", "version": "2.39"},
        },
        "system": {"name": "Linux", "release": "6.8.0"},
        "cpu": cpu,
        "openssl_version": None,
        "setuptools_version": None,
        "rustc_version": None,
        "ci": None,
    }
    return f"uv/{version} {json.dumps(message, separators=(',', ':'))}"


def nginx_escape(text: str) -> str:
    """Text escaped as nginx does within quotes."""
    return text.replace("\\", "\\x5C").replace('"', "\\x22")


def combined(
    path: str,
    *,
    at: datetime = datetime(2026, 3, 10, 12, tzinfo=UTC),
    address: str = "192.0.2.1",
    method: str = "GET",
    status: int = 200,
    size: int = 1000,
    agent: str = "",
) -> bytes:
    """A line of nginx's combined format."""
    agent = nginx_escape(agent or pip_agent())
    moment = at.strftime("%d/%b/%Y:%H:%M:%S %z")
    request = f"{method} {nginx_escape(path)} HTTP/1.1"
    return f'{address} - - [{moment}] "{request}" {status} {size} "-" "{agent}"\n'.encode()


def wheel_path(project: str, number: int = 1, tags: str = "cp311-cp311-linux_aarch64") -> str:
    """The URL path of a wheel."""
    name = f"{project.replace('-', '_')}-{number}.0-{tags}.whl"
    digest = sha256(name.encode()).hexdigest()
    return f"/packages/{digest[:2]}/{digest}/{name}"


def download(project: str, number: int = 1, **facts: object) -> bytes:
    """The line of a download."""
    return combined(wheel_path(project, number), **facts)  # type: ignore[arg-type]


@dataclass(slots=True)
class ExpectedCounts:
    """The counts of a generator's lines."""

    lines: int = 0
    rejected: int = 0
    downloads: Counter[date] = field(default_factory=Counter)
    index_hits: Counter[date] = field(default_factory=Counter)
    bytes: Counter[date] = field(default_factory=Counter)
    clients: dict[date, set[str]] = field(default_factory=dict)
    projects: Counter[str] = field(default_factory=Counter)
    installers: Counter[str] = field(default_factory=Counter)
    arches: Counter[str] = field(default_factory=Counter)


_AGENTS = [
    (f"pip {version}", cpu, pip_agent(version, python, cpu))
    for version in ("24.0", "25.1")
    for python in ("3.11.2", "3.13.1")
    for cpu in ("aarch64", "armv7l")
] + [("uv 0.5", "x86_64", uv_agent())]
_INVALID_LINES = [
    b"",
    b"\x16\x03\x01\x00",
    b"GET / HTTP/1.1",
    b'192.0.2.1 - - [99/Xyz/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "-"',
    b'192.0.2.1 - - [10/Mar/2026:12:00:00 +0000] "GET / HTTP/1.1" abc 1 "-" "-"',
    b'192.0.2.1 - - [10/Mar/2026:12:00:00 +0000] "GET ',
    b"{not json}",
]


class LogGenerator:
    """Typical requests of pip, uv, bots, browsers and mirrors, and invalid lines; deterministic."""

    def __init__(
        self,
        seed: int,
        *,
        day: date = DAY,
        projects: int = 2000,
        per_s: float = 90.0,
        download_share: float = 0.14,
    ) -> None:
        self.counts = ExpectedCounts()
        self._random = random.Random(seed)
        self._rubbish_share = 0.01
        self._until_downloads = self._rubbish_share + download_share
        self._others_share = 1 - self._until_downloads
        self._at = datetime(day.year, day.month, day.day, tzinfo=UTC)
        self._step = timedelta(seconds=1 / per_s)
        self._wheels = [
            (f"project-{number % projects}", wheel_path(f"project-{number % projects}", number))
            for number in range(projects * 3)
        ]

    def lines(self, count: int) -> Iterator[bytes]:
        """Generate lines, and count them."""
        for _ in range(count):
            self._at += self._step
            yield self._line()

    def _line(self) -> bytes:
        choice = self._random.random()
        counts, day = self.counts, self._at.date()
        if choice < self._rubbish_share:
            line = self._random.choice(_INVALID_LINES)
            counts.lines += bool(line)
            counts.rejected += bool(line)
            return line + b"\n"
        counts.lines += 1
        address = f"198.51.{self._random.randrange(100)}.{self._random.randrange(256)}"
        counts.clients.setdefault(day, set()).add(address)
        known: Mapping[str, object] = {"at": self._at, "address": address}
        if choice < self._until_downloads:
            return self._download(known, day)
        choice = (choice - self._until_downloads) / self._others_share
        path = f"/simple/project-{self._random.randrange(2000)}/"
        if choice < 0.82:
            counts.index_hits[day] += 1
            status = self._random.choice([200, 200, 304])
            return self._other(path, known, agent=self._random.choice(_AGENTS)[2], status=status)
        if choice < 0.88:
            status, method = self._random.choice([(206, "GET"), (200, "HEAD"), (404, "GET")])
            wheel = self._random.choice(self._wheels)[1]
            return self._other(wheel, known, agent=uv_agent(), status=status, method=method)
        if choice < 0.94:
            return self._other("/project/numpy/", known, agent=self._random.choice([BROWSER, BOT]))
        return self._other("/robots.txt", known, agent=self._random.choice([BOT, MIRROR, "-"]))

    def _download(self, known: Mapping[str, object], day: date) -> bytes:
        project, path = self._wheels[int(self._random.paretovariate(0.5)) % len(self._wheels)]
        installer, arch, agent = self._random.choice(_AGENTS)
        size = self._random.randrange(10_000)
        counts = self.counts
        counts.downloads[day] += 1
        counts.bytes[day] += size
        counts.projects[project] += 1
        counts.installers[installer] += 1
        counts.arches[arch] += 1
        return self._other(path, known, agent=agent, size=size)

    @staticmethod
    def _other(path: str, known: Mapping[str, object], **facts: object) -> bytes:
        return combined(path, **known, **facts)  # type: ignore[arg-type]
