"""Accesses into what is written: rows, and counts of each day."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from hashlib import blake2b

from piwheels.accesslog.agents import Agent, AgentClass
from piwheels.accesslog.parse import Access
from piwheels.accesslog.paths import NOTHING, Kind, Wheel
from piwheels.db import packing
from piwheels.db.accesses import AgentRow, Batch, DayCounts, WheelRow

_ADDRESSES = 100_000
_UNIX_EPOCH = date(1970, 1, 1).toordinal()
_FIELDS = 5  # that a row is made of (db.packing)
_CLIENT = 1  # the place of the client among them


class Addresses(dict[bytes, bytes]):
    """The keyed hashes of one day's addresses, as fields of a row; without a key there are none."""

    def __init__(self, key: bytes | None) -> None:
        super().__init__()
        self._key = key

    def __missing__(self, address: bytes) -> bytes:
        if self._key is None:
            return packing.NULL
        digest = blake2b(address, key=self._key, digest_size=8).digest()
        field = packing.key(int.from_bytes(digest, "big", signed=True))
        if len(self) >= _ADDRESSES:
            self.clear()
        self[address] = field
        return field


class _Day:
    """What was found of one day."""

    def __init__(self) -> None:
        self.fields: list[bytes] = []  # of its rows, one after the other; addresses for clients
        self.kinds = [0] * len(Kind)
        # Of each download, in the same order:
        self.seconds: list[int] = []
        self.wheels: list[Wheel] = []
        self.agents: list[Agent] = []
        self.size_bytes = 0  # of all of them


class Gathering:
    """Accesses on their way into a batch, by their days."""

    def __init__(self) -> None:
        self._days: dict[int, _Day] = {}  # by number since 1970
        self._agents: dict[int, Agent] = {}
        #: Of each wheel whose size was not known, the fewest bytes that a download took.
        self.fewest: dict[Wheel, int] = {}

    def add(self, accesses: Iterable[Access], sizes: Mapping[int, int]) -> None:
        """Take further accesses, in any order.

        Args:
            accesses: what was asked for.
            sizes: of wheels, in bytes, by their keys, as far as they are known; where less was
                sent the download was broken off, and counts as nothing.
        """
        agents, number, day = self._agents, -1, _Day()
        for moment, address, content, answer, agent in accesses:
            if moment.day != number:
                number = moment.day
                day = self._days.setdefault(number, _Day())
            if (wheel := content.wheel) is not None:
                size = sizes.get(wheel.key)
                if size is None and answer.is_sized:
                    self.fewest[wheel] = min(answer.size_bytes, self.fewest.get(wheel, sys.maxsize))
                if size is not None and answer.is_sized and answer.size_bytes < size:
                    content = NOTHING  # noqa: PLW2901 - what it counts as
                else:
                    day.seconds.append(moment.at_s)
                    day.wheels.append(wheel)
                    day.agents.append(agent)
                    day.size_bytes += answer.size_bytes
            day.fields += moment.packed, address, agent.packed, content.packed, answer.packed
            day.kinds[content.kind] += 1
            agents[agent.key] = agent

    @property
    def days(self) -> set[date]:
        """The days that they lie in."""
        return set(map(_date, self._days))

    def batch(self, addresses: Mapping[date, Addresses], rows_since: date) -> Batch:
        """Rows and counts of all of them; to be called once.

        Args:
            addresses: the hashes of each of their days.
            rows_since: days before it are only counted: their raw rows would be dropped at once.
        """
        batch = Batch(agents={key: _agent_row(agent) for key, agent in self._agents.items()})
        for number, found in sorted(self._days.items()):
            day = _date(number)
            clients = [*map(addresses[day].__getitem__, found.fields[_CLIENT::_FIELDS])]
            if day >= rows_since:
                found.fields[_CLIENT::_FIELDS] = clients
                batch.rows.append(b"".join(found.fields))
                batch.months.add(day.replace(day=1))
            batch.days.append(_counts(day, found, set(clients) - {packing.NULL}))
            batch.wheels.update(_wheel_rows(found.wheels))
            batch.seconds.update(Counter(found.seconds))
        return batch


def _date(number: int) -> date:
    return date.fromordinal(_UNIX_EPOCH + number)


def _counts(day: date, found: _Day, clients: set[bytes]) -> DayCounts:
    agents = {agent.key: agent for agent in found.agents}
    dimensions: Counter[tuple[str, str]] = Counter()
    for key, count in Counter(agent.key for agent in found.agents).items():
        for dimension in _dimensions(agents[key]):
            dimensions[dimension] += count
    return DayCounts(
        day=day,
        kinds=found.kinds,
        size_bytes=found.size_bytes,
        wheels=Counter(wheel.key for wheel in found.wheels),
        projects=Counter(wheel.project for wheel in found.wheels),
        dimensions=dimensions,
        clients=clients,
    )


def _dimensions(agent: Agent) -> tuple[tuple[str, str], ...]:
    installer = f"{agent.installer} {agent.installer_version}".strip()
    if agent.agent_class is not AgentClass.INSTALLER:
        installer = str(agent.agent_class)
    return (
        ("arch", agent.arch),
        ("os", f"{agent.os} {agent.os_release}".strip()),
        ("python", agent.python),
        ("installer", installer),
    )


def _wheel_rows(found: Iterable[Wheel]) -> dict[int, WheelRow]:
    wheels = {wheel.key: wheel for wheel in found}
    return {
        key: WheelRow(key, wheel.filename, wheel.project, wheel.factor)
        for key, wheel in wheels.items()
    }


def _agent_row(agent: Agent) -> AgentRow:
    return AgentRow(
        agent.key,
        str(agent.agent_class),
        agent.installer,
        agent.installer_version,
        agent.arch,
        agent.os,
        agent.os_release,
        agent.python,
    )
