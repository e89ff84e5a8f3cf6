"""What the farm does of itself, told to whoever watches, and kept in the event list."""

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime

from piwheels.db import events
from piwheels.db.database import Database
from piwheels.farm.bulletin import Bulletin
from piwheels.farm.news import builder_differs
from piwheels.model import Build, Job, WheelFile
from piwheels.protocol.messages import (
    BuilderChanged,
    BuilderGone,
    BuilderView,
    Happened,
    JobEnded,
    JobStarted,
)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Tidings:
    """Tells it; of builders only what is news."""

    db: Database
    bulletin: Bulletin
    _told: dict[str, tuple[BuilderView, float]] = field(default_factory=dict)

    def builder(self, view: BuilderView, now: float) -> None:
        """A builder looks like this now, which may be no other than before."""
        told, at = self._told.get(view.label, (None, 0.0))
        if told is None or builder_differs(told, view, now - at):
            self._told[view.label] = (view, now)
            self.bulletin.publish(BuilderChanged(builder=view))

    def gone(self, label: str) -> None:
        """A builder is out of view."""
        self._told.pop(label, None)
        self.bulletin.publish(BuilderGone(label=label))

    def started(self, label: str, job: Job) -> None:
        """A job was handed out."""
        self.bulletin.publish(
            JobStarted(
                at=datetime.now(UTC),
                builder=label,
                build=job.build,
                project=job.project,
                version=job.version,
                target=job.target,
            )
        )

    def ended(self, build: Build, files: tuple[WheelFile, ...]) -> None:
        """A build was settled."""
        self.bulletin.publish(
            JobEnded(
                at=datetime.now(UTC),
                builder=build.builder,
                build=build.build,
                project=build.project,
                version=build.version,
                target=build.target,
                outcome=build.outcome,
                duration_s=build.duration_s,
                detail=", ".join(file.filename for file in files) or build.reason,
            )
        )

    async def note(self, what: str) -> None:
        """Something happened that belongs into the event list."""
        log.info("%s", what)
        event = await self.db.retrying(lambda: events.record_event(self.db, "master", what))
        self.bulletin.publish(Happened(event=event, at=datetime.now(UTC), who="master", what=what))
