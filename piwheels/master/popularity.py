"""Marks the projects that are downloaded most, so that their jobs come first."""

import asyncio
import logging
from dataclasses import dataclass

from piwheels.db.database import Database
from piwheels.db.popular_projects import update_popular_projects
from piwheels.formatting import pluralize

_INTERVAL_S = 3600.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Popularity:
    """Marks popular projects every hour."""

    db: Database

    async def run(self) -> None:
        """Mark them, until canceled."""
        while True:
            if changed := await update_popular_projects(self.db):
                log.info("%s became popular or no longer are", pluralize(changed, "project"))
            await asyncio.sleep(_INTERVAL_S)
