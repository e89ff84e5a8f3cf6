"""What an operator has to look at, the worst first, and the way from one to the next."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from piwheels.protocol.messages import BuilderState, HostState
from piwheels.tui.builderrows import DISK_SHORT, TEMPERATURE_HIGH
from piwheels.tui.farmrows import unserved
from piwheels.tui.rows import natural
from piwheels.tui.state import Builder, FarmState
from piwheels.tui.text import count, duration, harmless, percent, size

ScreenName = Literal["builders", "queues", "host"]

UPSTREAM_LATE_S = 6 * 3600.0
#: A builder with so many failures in an hour, and no wheel, fails of itself.
ALL_FAILED = 5


class Trouble(NamedTuple):
    """One problem: where it is (a screen and the key of its row), and one line on it."""

    rank: int
    screen: ScreenName
    key: str
    word: str
    text: str


def problems(state: FarmState, now: float) -> list[Trouble]:
    """All problems of a farm, the worst first; a farm that is not heard has the old ones."""
    found = [*_of_builders(state, now), *_of_queues(state), *_of_host(state)]
    return sorted(found, key=lambda trouble: (trouble.rank, trouble.screen, natural(trouble.key)))


def next_problem(found: list[Trouble], after: tuple[str, str] | None) -> Trouble | None:
    """The problem that comes after the one at this screen and key, round and round.

    A place that is no problem (any more) leads to the first.
    """
    if not found:
        return None
    places = [(trouble.screen, trouble.key) for trouble in found]
    for place, (screen, key) in enumerate(places):
        if (screen, key) == after:
            return found[(place + 1) % len(found)]
    return found[0]


def _of_builders(state: FarmState, now: float) -> Iterator[Trouble]:
    for builder in state.builders.values():
        trouble = _of_builder(builder, now)
        if trouble:
            rank, word, text = trouble
            label = builder.view.label
            yield Trouble(rank, "builders", label, word, harmless(f"{label}: {text}"))


def _of_builder(builder: Builder, now: float) -> tuple[int, str, str] | None:
    view = builder.view
    silent = duration(view.silent_s + max(0.0, now - builder.heard))
    match view.state:
        case BuilderState.LOST:
            return 0, "lost", f"lost, not heard for {silent}"
        case BuilderState.QUARANTINED:
            return 1, "quarantined", view.reason or "quarantined"
        case BuilderState.STUCK:
            spent = duration(builder.build_s(now))
            expected = duration(view.expected_s)
            what = f"{view.project} {view.version_built}"
            return 2, "stuck", f"{what} takes {spent}, expected were {expected}"
        case BuilderState.SILENT:
            return 3, "silent", f"silent for {silent}"
    return _of_machine(view.host) or _of_failures(view.built_last_hour, view.failed_last_hour)


def _of_machine(host: HostState) -> tuple[int, str, str] | None:
    if host.disk_total and host.disk_free / host.disk_total < DISK_SHORT:
        return 6, "disk nearly full", f"its disk is nearly full: {size(host.disk_free)} free"
    if host.temperature is not None and host.temperature >= TEMPERATURE_HIGH:
        return 7, "hot", f"it is {host.temperature:.0f} degrees hot"
    return None


def _of_failures(built: int, failed: int) -> tuple[int, str, str] | None:
    if failed >= ALL_FAILED and not built:
        return 8, "only failures", f"{failed} builds failed in the last hour, and none was built"
    return None


def _of_queues(state: FarmState) -> Iterator[Trouble]:
    for queue in state.queues:
        if unserved(queue):
            text = f"{harmless(queue.target)}: {count(queue.pending)} jobs wait, nobody serves it"
            yield Trouble(5, "queues", queue.target, "unserved", text)


def _of_host(state: FarmState) -> Iterator[Trouble]:
    if state.status is None:
        return
    host = state.status.host
    if host.disk_total and host.disk_free / host.disk_total < DISK_SHORT:
        free = f"{size(host.disk_free)} ({percent(host.disk_free, host.disk_total)}) free"
        yield Trouble(4, "host", "disk", "disk nearly full", f"the served tree's disk: {free}")
    if host.temperature is not None and host.temperature >= TEMPERATURE_HIGH:
        text = f"the master is {host.temperature:.0f} degrees hot"
        yield Trouble(7, "host", "temperature", "hot", text)
    if state.status.database:
        text = harmless(f"the database: {state.status.database}")
        yield Trouble(1, "host", "database", "database waits", text)
    if state.status.waits:
        text = harmless(f"the queue waits: {state.status.waits}")
        yield Trouble(1, "host", "queue", "queue waits", text)
    lag = state.status.upstream_lag_s
    if lag is not None and lag > UPSTREAM_LATE_S:
        text = f"the upstream was last read {duration(lag)} ago"
        yield Trouble(9, "host", "upstream", "upstream late", text)
