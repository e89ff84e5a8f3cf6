"""Accesses into what is written: rows, and counts of each day."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from hashlib import blake2b

from piwheels.accesslog import fingerprints
from piwheels.accesslog.classify import UNCOUNTED, RequestKind, Wheel
from piwheels.accesslog.parse import AccessRecord
from piwheels.accesslog.user_agents import Client, ClientType
from piwheels.db import binary_copy
from piwheels.db.access_log_writer import AccessBatch, DayCounts, DownloadedWheelRow, UserAgentRow

_MAX_CACHED = 100_000
_UNIX_EPOCH = date(1970, 1, 1).toordinal()
_UNLIMITED = sys.maxsize
_FIELD_COUNT = 5  # that a row is made of (db.packing)
_CLIENT_FIELD = 1  # the place of the client among them


class AddressHasher(dict[bytes, bytes]):
    """The keyed hashes of one day's addresses, as fields of a row; without a key there are none."""

    def __init__(self, key: bytes | None) -> None:
        super().__init__()
        self._key = key

    def __missing__(self, address: bytes) -> bytes:
        if self._key is None:
            return binary_copy.NULL
        digest = blake2b(address, key=self._key, digest_size=8).digest()
        field = binary_copy.pack_key(int.from_bytes(digest, "big", signed=True))
        if len(self) >= _MAX_CACHED:
            self.clear()
        self[address] = field
        return field


class _DayData:
    """What was found of one day."""

    def __init__(self) -> None:
        self.fields: list[bytes] = []  # of its rows, one after the other; addresses for clients
        self.kinds = [0] * len(RequestKind)
        # Of each download, in the same order:
        self.seconds: list[int] = []
        self.wheels: list[int] = []  # their keys, as below
        self.clients: list[int] = []
        self.sent_bytes: list[int] = []  # bytes


class Aggregator:
    """Accesses on their way into a batch, by their days."""

    def __init__(self) -> None:
        self._days: dict[int, _DayData] = {}  # by number since 1970
        self._clients: dict[int, Client] = {}  # by key, as below
        self._wheels: dict[int, Wheel] = {}
        #: Of each wheel whose size was not known, by key, the fewest bytes that a download took.
        self._smallest: dict[int, int] = {}
        self.minutes: list[tuple[int, int]] = []  # as fingerprints.Lines has them
        self.hashes = fingerprints.hash_array()  # of what each access says

    def add(self, accesses: Iterable[AccessRecord], sizes: Mapping[int, int]) -> None:
        """Take further accesses, in any order.

        Args:
            accesses: what was asked for.
            sizes: of wheels, in bytes, by their keys, as far as they are known; where less was
                sent the download was broken off, and counts as nothing.
        """
        agents, wheels, fewest = self._clients, self._wheels, self._smallest
        marks: list[int] = []
        minute, before = -1, len(self.hashes)
        for moment, address, content, answer, agent in accesses:
            if moment.minute != minute:
                minute = moment.minute
                day = self._days.setdefault(moment.day, _DayData())
                fields, kinds = day.fields, day.kinds
                self.minutes.append((minute, before + len(marks)))
            marks.append(moment.hash32 ^ content.hash32 ^ answer.size_bytes ^ agent.hash32)
            client = agent.key
            agents[client] = agent
            if (wheel := content.wheel) is not None:
                key, sent_bytes = wheel.key, answer.size_bytes
                size = sizes.get(key)
                if size is not None and sent_bytes < size and answer.is_sized:
                    content = UNCOUNTED  # noqa: PLW2901 - what it counts as
                else:
                    wheels[key] = wheel
                    day.seconds.append(moment.at_s)
                    day.wheels.append(key)
                    day.clients.append(client)
                    day.sent_bytes.append(sent_bytes)
                    if (
                        size is None
                        and answer.is_sized
                        and sent_bytes < fewest.get(key, _UNLIMITED)
                    ):
                        fewest[key] = sent_bytes
            fields += moment.packed, address, agent.packed_key, content.packed, answer.packed
            kinds[content.kind] += 1
        self.hashes += fingerprints.hash_array(marks)

    @property
    def smallest_downloads(self) -> dict[Wheel, int]:
        """The fewest bytes that a download of each wheel took, of those without a known size."""
        return {self._wheels[key]: size_bytes for key, size_bytes in self._smallest.items()}

    @property
    def days(self) -> set[date]:
        """The days that they lie in."""
        return set(map(_date, self._days))

    def to_batch(self, hashers: Mapping[date, AddressHasher], rows_since: date) -> AccessBatch:
        """Rows and counts of all of them; to be called once.

        Args:
            hashers: the hashes of each of their days.
            rows_since: days before it are only counted: their raw rows would be dropped at once.
        """
        batch = AccessBatch(
            agents={key: _agent_row(agent) for key, agent in self._clients.items()},
            wheels={key: _wheel_row(wheel) for key, wheel in self._wheels.items()},
        )
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


def _wheel_row(wheel: Wheel) -> DownloadedWheelRow:
    return DownloadedWheelRow(wheel.key, wheel.filename, wheel.project, wheel.time_factor)


def _agent_row(agent: Client) -> UserAgentRow:
    return UserAgentRow(
        agent.key,
        str(agent.agent_class),
        agent.installer,
        agent.installer_version,
        agent.arch,
        agent.os,
        agent.os_release,
        agent.python,
    )
