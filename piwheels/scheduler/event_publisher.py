"""Publishes what happens in the farm, and records it in the audit log."""

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime

from piwheels.db import audit_log
from piwheels.db.database import Database
from piwheels.model import AuditEvent, Build, BuildSummary, WheelFile, projection
from piwheels.protocol.messages import BuilderChanged, BuilderRemoved, BuilderView
from piwheels.scheduler.change_filter import builder_changed
from piwheels.scheduler.event_bus import EventBus

log = logging.getLogger(__name__)


@dataclass(slots=True)
class EventPublisher:
    """Publishes events; builders only when they changed."""

    db: Database
    bus: EventBus
    _published: dict[str, tuple[BuilderView, float]] = field(default_factory=dict)

    def publish_builder(self, view: BuilderView, now: float) -> None:
        """Publish a builder if it differs from what was last published."""
        published, at = self._published.get(view.label, (None, 0.0))
        if published is None or builder_changed(published, view, now - at):
            self._published[view.label] = (view, now)
            self.bus.publish(BuilderChanged(builder=view))

    def publish_builder_removed(self, label: str) -> None:
        """Publish that a builder is not shown any more."""
        self._published.pop(label, None)
        self.bus.publish(BuilderRemoved(label=label))

    def publish_build_recorded(self, build: Build, files: tuple[WheelFile, ...]) -> None:
        """Publish a build that was recorded."""
        names = tuple(file.filename for file in files)
        self.bus.publish(projection(BuildSummary, build, ended_at=datetime.now(UTC), files=names))

    async def record(self, text: str, *, who: str = "master", outcome: str = "") -> None:
        """Add an event to the audit log, and publish it.

        Args:
            text: what happened, in one line.
            who: the operator, or the master for what the farm does automatically.
            outcome: the result of an operator's command.
        """
        if who == "master":
            log.info("%s", text)
        at = datetime.now(UTC)
        event_id = await audit_log.record_event(self.db, who, text, outcome=outcome)
        self.bus.publish(AuditEvent(event_id=event_id, at=at, who=who, text=text, outcome=outcome))
