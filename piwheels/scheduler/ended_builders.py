"""Builders whose processes were ended on purpose: shown until they are back, or for some time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from piwheels.errors import MALFORMED
from piwheels.protocol.messages import BuilderState, BuilderView
from piwheels.scheduler.builder_record import Session
from piwheels.scheduler.state_machine_events import (
    Instruction,
    PersistEndedBuilder,
    PublishBuilderRemoved,
)

#: How long a builder that was ended is shown: what was ended on a Friday is listed on Monday.
ENDED_BUILDER_RETENTION_S = 3 * 86400.0
#: Likewise of one that was started on demand: that it ended is no news.
ON_DEMAND_RETENTION_S = 3600.0


@dataclass(frozen=True, slots=True)
class EndedBuilder:
    """A builder whose process was ended, as it was shown last."""

    last_view: BuilderView
    ended_at: float

    @classmethod
    def of(cls, session: Session, reason: str, now: float) -> "EndedBuilder":
        """The builder of a session that has no job any more."""
        view = session.view(now, paused=False)
        return cls(replace(view, state=BuilderState.ENDED, reason=reason), now)

    def is_old(self, now: float) -> bool:
        """Whether it is not shown any more."""
        on_demand = self.last_view.on_demand
        kept_s = ON_DEMAND_RETENTION_S if on_demand else ENDED_BUILDER_RETENTION_S
        return now - self.ended_at > kept_s

    def view(self, now: float) -> BuilderView:
        """How it is shown to operators."""
        return replace(self.last_view, state_s=now - self.ended_at)


def forget(ended: dict[str, EndedBuilder], label: str) -> list[Instruction]:
    """A builder is not shown as ended any more, if it was."""
    return [PersistEndedBuilder(label, None)] if ended.pop(label, None) else []


def forget_old(ended: dict[str, EndedBuilder], now: float) -> list[Instruction]:
    """Remove the builders that were ended long ago."""
    old = [label for label, it in ended.items() if it.is_old(now)]
    return [
        instruction
        for label in old
        for instruction in (PublishBuilderRemoved(label, ""), *forget(ended, label))
    ]


# --- kept across restarts of the master ---


class _StoredBuilder(msgspec.Struct, frozen=True):
    ended_at: datetime
    view: BuilderView


def to_text(view: BuilderView, ended_at: datetime) -> str:
    """A builder that was ended, as stored."""
    return msgspec.json.encode(_StoredBuilder(ended_at, view)).decode()


def from_texts(texts: Mapping[str, str], clock: datetime, now: float) -> dict[str, EndedBuilder]:
    """What was stored, by label, without what another version wrote that this one cannot read.

    Args:
        texts: By label.
        clock: The current time.
        now: The same on the farm's monotonic clock, in seconds.
    """
    found = {}
    for label, text in texts.items():
        try:
            stored = msgspec.json.decode(text, type=_StoredBuilder)
        except MALFORMED:
            continue
        # A clock that was set back would have it end after now.
        age = max(clock - stored.ended_at, timedelta())
        found[label] = EndedBuilder(stored.view, now - age.total_seconds())
    return found
