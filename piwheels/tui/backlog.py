"""News that waits to be taken in, melted: a console that is slower than its master shows the last.

No I/O. Without it a console that was stopped for a while, or starved of its processor, would keep
every state that every builder had meanwhile.
"""

from collections.abc import Hashable

from piwheels.protocol.messages import (
    Batch,
    BuilderChanged,
    BuilderGone,
    Event,
    Happened,
    JobEnded,
    JobStarted,
    ReplyBody,
)
from piwheels.tui.state import MOST_BUILDS, MOST_EVENTS

#: Of what a state keeps by number, as many as it keeps.
_MOST = {JobEnded: MOST_BUILDS, Happened: MOST_EVENTS}


def melted(before: ReplyBody, after: ReplyBody) -> Batch | None:
    """One answer that says what two say, one after the other; None when they have to stay two.

    Of a builder, and of the farm as a whole, the last counts; builds and events are all kept, but
    for those that a console forgets anyway.
    """
    if not (isinstance(before, Batch | Event) and isinstance(after, Batch | Event)):
        return None
    kept: dict[Hashable, Event] = {}
    for event in (*_events(before), *_events(after)):
        about = _about(event)
        kept.pop(about, None)  # so that it stands where it came last
        kept[about] = event
    for kind, most in _MOST.items():
        for oldest in [about for about, event in kept.items() if type(event) is kind][:-most]:
            del kept[oldest]
    return Batch(events=tuple(kept.values()))


def _events(body: Batch | Event) -> tuple[Event, ...]:
    return body.events if isinstance(body, Batch) else (body,)


def _about(event: Event) -> Hashable:
    """What a later event of the same makes this one needless for."""
    match event:
        case BuilderChanged(builder=view):
            return "builder", view.label
        case BuilderGone(label=label):
            return "builder", label
        case JobStarted(builder=label):
            return "start", label
        case JobEnded(build=number):
            return "end", number
        case Happened():
            return "event", event.event or (event.at, event.who, event.what)
        case _:
            return "pulse"
