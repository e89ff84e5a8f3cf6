"""News that waits to be taken in, melted: a console that is slower than its master shows the last.

No I/O. Without it a console that was stopped for a while, or starved of its processor, would keep
every state that every builder had meanwhile.
"""

from collections.abc import Hashable

from piwheels.protocol.messages import (
    AuditEventRecorded,
    BuilderChanged,
    BuilderRemoved,
    BuildRecorded,
    BuildStarted,
    Event,
    EventBatch,
    ReplyBody,
)
from piwheels.tui.model.state import MAX_BUILDS, MAX_EVENTS

#: Of what a state keeps by number, as many as it keeps.
_MAX_KEPT = {BuildRecorded: MAX_BUILDS, AuditEventRecorded: MAX_EVENTS}


def coalesce(before: ReplyBody, after: ReplyBody) -> EventBatch | None:
    """One answer that says what two say, one after the other; None when they have to stay two.

    Of a builder, and of the farm as a whole, the last counts; builds and events are all kept, but
    for those that a console forgets anyway.
    """
    if not (isinstance(before, EventBatch | Event) and isinstance(after, EventBatch | Event)):
        return None
    kept: dict[Hashable, Event] = {}
    for event in (*_events(before), *_events(after)):
        about = _subject_of(event)
        kept.pop(about, None)  # so that it stands where it came last
        kept[about] = event
    for kind, most in _MAX_KEPT.items():
        for oldest in [about for about, event in kept.items() if type(event) is kind][:-most]:
            del kept[oldest]
    return EventBatch(events=tuple(kept.values()))


def _events(body: EventBatch | Event) -> tuple[Event, ...]:
    return body.events if isinstance(body, EventBatch) else (body,)


def _subject_of(event: Event) -> Hashable:
    """What a later event of the same makes this one needless for."""
    match event:
        case BuilderChanged(builder=view):
            return "builder", view.label
        case BuilderRemoved(label=label):
            return "builder", label
        case BuildStarted(builder=label):
            return "start", label
        case BuildRecorded(build=number):
            return "end", number
        case AuditEventRecorded():
            return "event", event.event or (event.at, event.who, event.what)
        case _:
            return "pulse"
