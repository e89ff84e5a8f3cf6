"""When the update of a root is complete on all of its builders. No I/O and no clock."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec.structs import replace

from piwheels.model import BuilderRoot, RootHistory, RootState

#: A builder that is away for less than this still counts: its root may be the former one.
_FORGET_AFTER = timedelta(days=7)
#: A rebuild begins at most this often for a root.
_MIN_INTERVAL = timedelta(days=1)
#: How exactly the time of the last contact is kept, so that it is not stored continually.
_SEEN_PRECISION = timedelta(hours=1)


def first_history(builders: Mapping[str, RootState], now: datetime) -> RootHistory:
    """The history of a root that was not known: its present states are nothing new."""
    empty = RootHistory(builders={}, former_at=datetime.min.replace(tzinfo=now.tzinfo))
    return _with_present_states_former(record_builders(empty, builders, now))


def record_builders(
    history: RootHistory, builders: Mapping[str, RootState], now: datetime
) -> RootHistory:
    """The history after connected builders, by label, have announced their states of the root."""
    known = {
        label: each
        for label, each in history.builders.items()
        if now - each.seen_at < _FORGET_AFTER
    }
    for label, state in builders.items():
        made_at = min(state.made_at, now)  # a wrong clock does not stop later updates
        before = known.get(label)
        if (
            before is None
            or before.key != state.key
            or not timedelta() <= now - before.seen_at < _SEEN_PRECISION
        ):
            known[label] = BuilderRoot(key=state.key, made_at=made_at, seen_at=now)
    return replace(history, builders=known)


def is_update_complete(history: RootHistory, now: datetime) -> bool:
    """Whether each builder of a root has another state than at the last complete update."""
    if history.updated_at is not None and now - history.updated_at < _MIN_INTERVAL:
        return False
    return bool(history.builders) and all(
        each.key not in history.former_keys and each.made_at > history.former_at
        for each in history.builders.values()
    )


def complete_update(history: RootHistory, now: datetime, *, rebuild: bool) -> RootHistory:
    """The history after a complete update, and with a rebuild under way if there is one."""
    after = _with_present_states_former(history)
    return replace(after, updated_at=now, cursor="" if rebuild else None, queued=0)


def _with_present_states_former(history: RootHistory) -> RootHistory:
    states = history.builders.values()
    return replace(
        history,
        former_keys=tuple(sorted({each.key for each in states})),
        former_at=max((each.made_at for each in states), default=history.former_at),
    )
