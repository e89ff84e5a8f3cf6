"""The publishers with a database and a web root."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from piwheels.db import target_queries
from piwheels.db.database import Database
from tests.db.scenario import RULES, TARGETS
from tests.website.harness import SiteHarness


@pytest.fixture
async def site(database: Database, tmp_path: Path) -> AsyncIterator[SiteHarness]:
    await target_queries.add_target(database, TARGETS[0], RULES)
    await target_queries.recompute_jobs(database)
    with ThreadPoolExecutor(1) as pool:
        yield SiteHarness(database, tmp_path, pool)
