"""Commands about alerts: they name them by their ids."""

from typing import Annotated

from msgspec import Meta

from piwheels.protocol.commands.definition import (
    CommandDefinition,
    Confirm,
    ConsoleAction,
    Kind,
    Parameter,
    Prompt,
    Requirement,
)
from piwheels.protocol.message_base import CommandMessage, ShortText

__all__ = [
    "AcknowledgeAlerts",
    "MuteAlerts",
    "UnmuteAlerts",
]  # the messages: they are exported by `protocol.messages`

_MAX_ALERTS = 1000
_MAX_MUTE_S = 366 * 86400.0
#: The audit log names so many.
_MAX_NAMES_SHOWN = 5

AlertIds = Annotated[tuple[ShortText, ...], Meta(min_length=1, max_length=_MAX_ALERTS)]


class AcknowledgeAlerts(CommandMessage, frozen=True, kw_only=True):
    """Somebody takes care of these alerts: they do not count until they get worse."""

    alerts: AlertIds
    note: ShortText = ""


class MuteAlerts(CommandMessage, frozen=True, kw_only=True):
    """Hide these alerts for so long, and others with the same ids."""

    alerts: AlertIds
    duration_s: Annotated[float, Meta(gt=0, le=_MAX_MUTE_S)]
    note: ShortText = ""


class UnmuteAlerts(CommandMessage, frozen=True, kw_only=True):
    """Undo that these alerts were muted or acknowledged."""

    alerts: AlertIds


_IDS = Parameter("alerts", Kind.ALERTS)
_NOTE = Parameter("--note", Kind.TEXT, "What others should know.", metavar="TEXT")


def _names(alerts: tuple[str, ...]) -> str:
    more = len(alerts) - _MAX_NAMES_SHOWN
    shown = ", ".join(alerts[:_MAX_NAMES_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown


def _duration(seconds: float) -> str:
    """`2h`, `90m`: the command line starts without what formats durations well."""
    minutes = max(1, round(seconds / 60))
    return f"{minutes}m" if minutes % 60 else f"{minutes // 60}h"


def _with_note(text: str, note: str) -> str:
    return f"{text}: {note}" if note else text


ACKNOWLEDGE = CommandDefinition(
    name="alerts ack",
    message=AcknowledgeAlerts,
    summary="Acknowledge alerts: they do not count any more, unless they get worse.",
    examples=("piw alerts ack hot:pi-17 --note 'new fan on Monday'",),
    parameters=(_IDS, _NOTE),
    build=lambda inputs: AcknowledgeAlerts(alerts=inputs.alerts, note=(inputs.text or "").strip()),
    audit=lambda body: _with_note(f"acknowledge {_names(body.alerts)}", body.note),
    console=(
        ConsoleAction(
            name="acknowledge",
            key="a",
            label="Ack",
            help="Acknowledge the alert, with a note: it counts again only if it gets worse.",
            requires=Requirement.ALERT,
            confirm=Confirm.ALWAYS,
            prompt=Prompt("Note (may be empty)", "", Kind.TEXT, optional=True),
        ),
    ),
)

MUTE = CommandDefinition(
    name="alerts mute",
    message=MuteAlerts,
    summary="Hide alerts for a while; a new alert of the same rule and subject stays hidden too.",
    examples=("piw alerts mute hot:pi-17 --for 2h", "piw alerts mute lost:pi-3 --until 18:00"),
    parameters=(
        _IDS,
        Parameter("--for", Kind.UNTIL, "For how long: 90m, 2h, 3d.", metavar="DURATION"),
        Parameter(
            "--until", Kind.UNTIL, "Until a time of day, or a date with one.", metavar="TIME"
        ),
        _NOTE,
    ),
    build=lambda inputs: MuteAlerts(
        alerts=inputs.alerts,
        duration_s=min(inputs.number, _MAX_MUTE_S),
        note=(inputs.text or "").strip(),
    ),
    audit=lambda body: _with_note(
        f"mute {_names(body.alerts)} for {_duration(body.duration_s)}", body.note
    ),
    console=(
        ConsoleAction(
            name="mute",
            key="m",
            label="Mute",
            help="Hide the alert for a while: 2h, 3d, or until 18:00.",
            requires=Requirement.ALERT,
            confirm=Confirm.ALWAYS,
            prompt=Prompt("For how long (2h, 3d), or until when (18:00)", "2h", Kind.UNTIL),
        ),
    ),
)

UNMUTE = CommandDefinition(
    name="alerts unmute",
    message=UnmuteAlerts,
    summary="Undo that alerts were muted or acknowledged.",
    examples=("piw alerts unmute hot:pi-17",),
    parameters=(_IDS,),
    build=lambda inputs: UnmuteAlerts(alerts=inputs.alerts),
    audit=lambda body: f"unmute {_names(body.alerts)}",
)

DEFINITIONS = (ACKNOWLEDGE, MUTE, UNMUTE)
