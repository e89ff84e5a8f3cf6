"""Changes of targets wait for writers, and claims do not wait for changes of targets."""

from piwheels.db import catalog
from piwheels.db.database import Database
from tests.control.conftest import Master

_CHANGE_WAITS = """
    SELECT count(*) > 0 FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
     WHERE l.locktype = 'advisory' AND l.mode = 'ExclusiveLock' AND NOT l.granted
       AND a.datname = current_database()
"""


async def test_a_builder_gets_its_job_while_its_presence_waits_for_a_writer(
    master: Master,
) -> None:
    await master.release("one")
    async with (
        await Database.connect(str(master.settings["database.dsn"]), role="writer") as writer,
        writer.transaction(),
    ):
        await catalog.lock_projects(writer, ["one"])
        async with master.builder() as pi1:  # the first with a compiler, which changes its target
            await master.wait_for_query(_CHANGE_WAITS)
            assert (await pi1.take_job()).project == "one"
            assert await master.db.value(_CHANGE_WAITS), "it waits still"
