"""A small farm whose wheels and pages the real publishers wrote."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from piwheels.db import target_queries
from piwheels.db.database import Database
from tests.audit.harness import AuditedFarm
from tests.db.scenario import RULES, TARGETS


@pytest.fixture
async def farm(database: Database, tmp_path: Path) -> AsyncIterator[AuditedFarm]:
    await target_queries.add_target(database, TARGETS[0], RULES)
    await target_queries.recompute_jobs(database)
    with ThreadPoolExecutor(1) as pool:
        farm = AuditedFarm(database, tmp_path, pool)
        for project, version in (("alpha", "1.0"), ("alpha", "2.0"), ("beta", "1.0")):
            await farm.publish_wheel(project, version)
        await farm.site.write_all()
        yield farm
