"""What the farm does of itself, told to whoever watches, and kept in the event list."""

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime

from piwheels.db import events
from piwheels.db.database import Database
from piwheels.model import AuditEvent, Build, Job, WheelFile
from piwheels.protocol.messages import BuilderChanged, BuilderRemoved, BuilderView, BuildStarted
from piwheels.scheduler.change_filter import builder_changed
from piwheels.scheduler.event_bus import EventBus

log = logging.getLogger(__name__)


@dataclass(slots=True)
class EventPublisher:
    """Tells it; of builders only what is news."""

    db: Database
    bus: EventBus
    _published: dict[str, tuple[BuilderView, float]] = field(default_factory=dict)

    def publish_builder(self, view: BuilderView, now: float) -> None:
        """A builder looks like this now, which may be no other than before."""
        told, at = self._published.get(view.label, (None, 0.0))
        if told is None or builder_changed(told, view, now - at):
            self._published[view.label] = (view, now)
            self.bus.publish(BuilderChanged(builder=view))

    def publish_builder_removed(self, label: str) -> None:
        """A builder is out of view."""
        self._published.pop(label, None)
        self.bus.publish(BuilderRemoved(label=label))

    def publish_build_started(self, label: str, job: Job) -> None:
        """A job was handed out."""
        self.bus.publish(
            BuildStarted(
                at=datetime.now(UTC),
                builder=label,
                build=job.build_id,
                project=job.project,
                version=job.version,
                target=job.target,
            )
        )

    def publish_build_recorded(self, build: Build, files: tuple[WheelFile, ...]) -> None:
        """A build was settled."""
        names = tuple(file.filename for file in files)
        self.bus.publish(build.summary(datetime.now(UTC), names))

    async def record(self, text: str, *, who: str = "master", outcome: str = "") -> None:
        """Add an event to the event list, and publish it.

        Args:
            text: what happened, in one line.
            who: the operator, or the master for what the farm does automatically.
            outcome: the result of an operator's command.
        """
        if who == "master":
            log.info("%s", text)
        at = datetime.now(UTC)
        event_id = await events.record_event(self.db, who, text, outcome=outcome)
        self.bus.publish(AuditEvent(event_id=event_id, at=at, who=who, text=text, outcome=outcome))
