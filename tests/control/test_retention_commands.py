"""Releases whose wheels retention removed: commands that name them bring them back."""

from piwheels.db import catalog
from piwheels.db.retention_queries import REASON_PREFIX
from tests.control.conftest import Master
from tests.control.test_cli_commands import piw


async def test_retry_brings_the_named_release_back_and_no_other(shared: Master) -> None:
    for version in ("1.0", "2.0"):
        await shared.release("demo", version)
        await catalog.skip_release(shared.db, "demo", version, f"{REASON_PREFIX}, 10 are kept")
    assert await shared.jobs() == {}
    await piw(shared, "retry", "demo", code=1)
    explained = await piw(shared, "explain", "demo==1.0", code=0)
    assert "removed by retention" in explained.stdout
    await piw(shared, "retry", "demo==1.0")
    assert {job["version"] for job in (await shared.jobs()).values()} == {"1.0"}
