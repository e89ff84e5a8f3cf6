"""Aggregates accesses into rows, and counts for each day."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from hashlib import blake2b

from piwheels.accesslog import line_fingerprints
from piwheels.accesslog.classify import UNCOUNTED, RequestKind
from piwheels.accesslog.log_formats import AccessRecord
from piwheels.accesslog.user_agents import Client, ClientType
from piwheels.db import binary_copy
from piwheels.db.access_log_writer import AccessBatch, DayCounts
from piwheels.model import DownloadedWheel

_MAX_CACHED = 100_000
_UNIX_EPOCH = date(1970, 1, 1).toordinal()
_UNLIMITED = sys.maxsize
_FIELD_COUNT = 5  # of a row (db.binary_copy)
_CLIENT_FIELD = 1  # the index of the address hash among them


class AddressHasher(dict[bytes, bytes]):
    """Caches the keyed hashes of one day's addresses, as fields of a row; NULL without a key."""

    def __init__(self, key: bytes | None) -> None:
        super().__init__()
        self._key = key

    def __missing__(self, address: bytes) -> bytes:
        if self._key is None:
            return binary_copy.NULL
        digest = blake2b(address, key=self._key, digest_size=8).digest()
        field = binary_copy.pack_digest(digest)
        if len(self) >= _MAX_CACHED:
            self.clear()
        self[address] = field
        return field


class _DayData:
    """The accesses of one day."""

    def __init__(self) -> None:
        self.fields: list[bytes] = []  # of its rows, concatenated; with addresses instead of hashes
        self.kinds = [0] * len(RequestKind)
        # For each download, in the same order:
        self.seconds: list[int] = []
        self.wheels: list[int] = []  # wheel keys
        self.clients: list[int] = []
        self.sent_bytes: list[int] = []  # bytes


class Aggregator:
    """Collects accesses by day, for one batch."""

    def __init__(self) -> None:
        self._days: dict[int, _DayData] = {}  # by days since 1970
        self._clients: dict[int, Client] = {}  # by key
        self._wheels: dict[int, DownloadedWheel] = {}
        #: By wheel key, the smallest download of each wheel whose size is not known yet.
        self._smallest: dict[int, int] = {}
        self.minutes: list[tuple[int, int]] = []  # as in line_fingerprints.Lines
        self.hashes = line_fingerprints.hash_array()  # of the content of each access

    def add(self, accesses: Iterable[AccessRecord], sizes: Mapping[int, int]) -> None:
        """Add accesses, in any order.

        Args:
            accesses: requests and responses.
            sizes: known sizes of wheels, in bytes, by wheel key; a download that sent less was
                interrupted and is not counted.
        """
        agents, wheels, fewest = self._clients, self._wheels, self._smallest
        marks: list[int] = []
        minute, before = -1, len(self.hashes)
        for timestamp, address, content, response, agent in accesses:
            if timestamp.minute != minute:
                minute = timestamp.minute
                day = self._days.setdefault(timestamp.day, _DayData())
                fields, kinds = day.fields, day.kinds
                self.minutes.append((minute, before + len(marks)))
            marks.append(timestamp.hash32 ^ content.hash32 ^ response.size_bytes ^ agent.hash32)
            client = agent.key
            agents[client] = agent
            if (wheel := content.wheel) is not None:
                key, sent_bytes = wheel.key, response.size_bytes
                size = sizes.get(key)
                if size is not None and sent_bytes < size and response.is_sized:
                    content = UNCOUNTED  # noqa: PLW2901 - an interrupted download
                else:
                    wheels[key] = wheel
                    day.seconds.append(timestamp.at_s)
                    day.wheels.append(key)
                    day.clients.append(client)
                    day.sent_bytes.append(sent_bytes)
                    if (
                        size is None
                        and response.is_sized
                        and sent_bytes < fewest.get(key, _UNLIMITED)
                    ):
                        fewest[key] = sent_bytes
            fields += timestamp.packed, address, agent.packed_key, content.packed, response.packed
            kinds[content.kind] += 1
        self.hashes += line_fingerprints.hash_array(marks)

    @property
    def smallest_downloads(self) -> dict[DownloadedWheel, int]:
        """The smallest download of each wheel whose size is not known, in bytes."""
        return {self._wheels[key]: size_bytes for key, size_bytes in self._smallest.items()}

    @property
    def days(self) -> set[date]:
        """The days of the accesses."""
        return set(map(_date, self._days))

    def to_batch(self, hashers: Mapping[date, AddressHasher], rows_since: date) -> AccessBatch:
        """The rows and counts of all accesses; call it once.

        Args:
            hashers: the address hashers of their days.
            rows_since: earlier days get no rows, because those would be deleted immediately.
        """
        batch = AccessBatch(agents=dict(self._clients), wheels=dict(self._wheels))
        for number, found in sorted(self._days.items()):
            day = _date(number)
            clients = [*map(hashers[day].__getitem__, found.fields[_CLIENT_FIELD::_FIELD_COUNT])]
            if day >= rows_since:
                found.fields[_CLIENT_FIELD::_FIELD_COUNT] = clients
                batch.rows.append(b"".join(found.fields))
                batch.months.add(day.replace(day=1))
            batch.days.append(self._counts(day, found, set(clients) - {binary_copy.NULL}))
            batch.seconds.update(Counter(found.seconds))
        return batch

    def _counts(self, day: date, found: _DayData, clients: set[bytes]) -> DayCounts:
        dimensions: Counter[tuple[str, str]] = Counter()
        for key, count in Counter(found.clients).items():
            for dimension in _dimensions(self._clients[key]):
                dimensions[dimension] += count
        wheels = Counter(found.wheels)
        projects: Counter[str] = Counter()
        for key, count in wheels.items():
            projects[self._wheels[key].project] += count
        return DayCounts(
            day=day,
            by_kind=found.kinds,
            size_bytes=sum(found.sent_bytes),
            wheels=wheels,
            projects=projects,
            dimensions=dimensions,
            clients=clients,
        )


def _date(number: int) -> date:
    return date.fromordinal(_UNIX_EPOCH + number)


def _dimensions(agent: Client) -> tuple[tuple[str, str], ...]:
    installer = f"{agent.installer} {agent.installer_version}".strip()
    if agent.agent_class is not ClientType.INSTALLER:
        installer = str(agent.agent_class)
    return (
        ("arch", agent.arch),
        ("os", f"{agent.os} {agent.os_release}".strip()),
        ("python", agent.python),
        ("installer", installer),
    )
