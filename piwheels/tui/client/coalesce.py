"""Queued messages are merged, so that a console slower than its master shows the latest state.

Without it, a console that was stopped for a while would process every state that every builder
had meanwhile.
"""

from collections.abc import Hashable

from piwheels.model import AuditEvent, BuildSummary
from piwheels.protocol.messages import (
    AlertsChanged,
    BuilderChanged,
    BuilderRemoved,
    Event,
    EventBatch,
    OperatorsChanged,
    ReplyBody,
    StatusChanged,
)
from piwheels.tui.model.state import MAX_BUILDS, MAX_EVENTS

#: The limits of FarmState for what it keeps by number.
_MAX_KEPT = {BuildSummary: MAX_BUILDS, AuditEvent: MAX_EVENTS}


def coalesce(before: ReplyBody, after: ReplyBody) -> EventBatch | None:
    """One message with the effect of two in sequence; None when they cannot be merged.

    The latest state of a builder and of the farm replaces earlier ones; builds and events are kept,
    up to the limits of FarmState.
    """
    if not (isinstance(before, EventBatch | Event) and isinstance(after, EventBatch | Event)):
        return None
    kept: dict[Hashable, Event] = {}
    for event in (*_events(before), *_events(after)):
        about = _subject_of(event)
        kept.pop(about, None)  # it moves to its latest position
        kept[about] = event
    for kind, most in _MAX_KEPT.items():
        for oldest in [about for about, event in kept.items() if type(event) is kind][:-most]:
            del kept[oldest]
    return EventBatch(events=tuple(kept.values()))


def _events(body: EventBatch | Event) -> tuple[Event, ...]:
    return body.events if isinstance(body, EventBatch) else (body,)


def _subject_of(event: Event) -> Hashable:
    """A key: a later event with the same key replaces this one."""
    match event:
        case BuilderChanged(builder=view):
            return "builder", view.label
        case BuilderRemoved(label=label):
            return "builder", label
        case BuildSummary(build_id=number):
            return "end", number
        case AuditEvent():
            return "event", event.event_id or (event.at, event.who, event.what)
        case StatusChanged() | AlertsChanged() | OperatorsChanged():
            return type(event)
