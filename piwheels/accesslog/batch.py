"""Accesses into what is written: rows, and counts of each day."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from hashlib import blake2b
from operator import itemgetter

from piwheels.accesslog.agents import Agent, AgentClass
from piwheels.accesslog.parse import Access
from piwheels.accesslog.paths import Kind, Wheel
from piwheels.db.accesses import (
    POSTGRES_EPOCH_S,
    AgentRow,
    Batch,
    DayCounts,
    WheelRow,
    pack_download,
    pack_download_of_nobody,
    pack_page,
    pack_page_of_nobody,
)

DAY_S = 86_400
_ADDRESSES = 100_000
_UNIX_EPOCH = date(1970, 1, 1).toordinal()

_AT = itemgetter(0)


class Addresses(dict[bytes, int | None]):
    """The keyed hashes of one day's addresses; without a key there are none."""

    def __init__(self, key: bytes | None) -> None:
        super().__init__()
        self._key = key

    def __missing__(self, address: bytes) -> int | None:
        if self._key is None:
            return None
        digest = blake2b(address, key=self._key, digest_size=8).digest()
        client = int.from_bytes(digest, "big", signed=True)
        if len(self) >= _ADDRESSES:
            self.clear()
        self[address] = client
        return client


def day_of(at_s: int) -> date:
    """The day of a moment, in UTC."""
    return date.fromordinal(_UNIX_EPOCH + at_s // DAY_S)


def days_of(accesses: Sequence[Access]) -> set[date]:
    """The days that accesses lie in."""
    if not accesses:
        return set()
    first = min(map(_AT, accesses)) // DAY_S
    last = max(map(_AT, accesses)) // DAY_S
    if last - first <= 1:
        return {day_of(first * DAY_S), day_of(last * DAY_S)}
    return {day_of(number * DAY_S) for number in {access[0] // DAY_S for access in accesses}}


class _Day:
    """A day's counts while they grow."""

    def __init__(self) -> None:
        self.kinds = [0] * len(Kind)
        self.size_bytes = 0
        self.downloads: Counter[tuple[int, int]] = Counter()  # by wheel and agent
        self.clients: set[int | None] = set()


def batch_of(
    accesses: Iterable[Access], addresses: Mapping[date, Addresses], rows_since: date
) -> Batch:
    """Rows and counts of accesses.

    Args:
        accesses: in any order.
        addresses: the hashes of each day that they lie in.
        rows_since: days before it are only counted: their raw rows would be dropped at once.
    """
    rows: list[bytes] = []
    days: dict[int, _Day] = {}
    wheels: dict[int, Wheel] = {}
    agents: dict[int, Agent] = {}
    seconds: Counter[int] = Counter()
    first_row_day = rows_since.toordinal() - _UNIX_EPOCH
    months: set[date] = set()
    number, current, clients, keeps_row = -1, _Day(), Addresses(None), False
    append, page, download = rows.append, pack_page, pack_download
    for at_s, address, (asked, wheel), status, size_bytes, agent in accesses:
        if at_s // DAY_S != number:
            number = at_s // DAY_S
            day = day_of(at_s)
            current, clients = days.setdefault(number, _Day()), addresses[day]
            keeps_row = number >= first_row_day
            if keeps_row:
                months.add(day.replace(day=1))
        client, agent_key = clients[address], agent.key
        current.clients.add(client)
        agents[agent_key] = agent
        if wheel is not None and status == 200:
            key = wheel.key
            wheels[key] = wheel
            current.kinds[1] += 1
            current.size_bytes += size_bytes
            current.downloads[key, agent_key] += 1
            seconds[at_s] += 1
            if not keeps_row:
                continue
            at_us = (at_s - POSTGRES_EPOCH_S) * 1_000_000
            if client is None:
                append(
                    pack_download_of_nobody(
                        7, 8, at_us, -1, 8, agent_key, 8, key, 8, size_bytes, 2, 1, 2, 200
                    )
                )
            else:
                append(
                    download(
                        7, 8, at_us, 8, client, 8, agent_key, 8, key, 8, size_bytes, 2, 1, 2, 200
                    )
                )
            continue
        kind = asked if wheel is None and status in {200, 304} else 0
        current.kinds[kind] += 1
        if not keeps_row:
            continue
        at_us = (at_s - POSTGRES_EPOCH_S) * 1_000_000
        if client is None:
            append(
                pack_page_of_nobody(
                    7, 8, at_us, -1, 8, agent_key, -1, 8, size_bytes, 2, kind, 2, status
                )
            )
        else:
            append(
                page(7, 8, at_us, 8, client, 8, agent_key, -1, 8, size_bytes, 2, kind, 2, status)
            )
    return Batch(
        rows=b"".join(rows),
        months=months,
        days=[
            _counts(day_of(number * DAY_S), days[number], wheels, agents) for number in sorted(days)
        ],
        seconds=dict(seconds),
        wheels={
            key: WheelRow(wheel.key, wheel.filename, wheel.project, wheel.factor)
            for key, wheel in wheels.items()
        },
        agents={key: _agent_row(agent) for key, agent in agents.items()},
    )


def _counts(
    day: date, found: _Day, wheels: Mapping[int, Wheel], agents: Mapping[int, Agent]
) -> DayCounts:
    by_wheel: Counter[int] = Counter()
    by_agent: Counter[int] = Counter()
    for (wheel, agent), count in found.downloads.items():
        by_wheel[wheel] += count
        by_agent[agent] += count
    projects: Counter[str] = Counter()
    for wheel, count in by_wheel.items():
        projects[wheels[wheel].project] += count
    dimensions: Counter[tuple[str, str]] = Counter()
    for key, count in by_agent.items():
        for dimension, value in _dimensions(agents[key]):
            dimensions[dimension, value] += count
    return DayCounts(
        day=day,
        kinds=found.kinds,
        size_bytes=found.size_bytes,
        wheels=dict(by_wheel),
        projects=dict(projects),
        dimensions=dict(dimensions),
        clients={client for client in found.clients if client is not None},
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
