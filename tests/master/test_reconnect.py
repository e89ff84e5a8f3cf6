"""A database that is restarted under a running master: every duty goes on by itself."""

from piwheels.model import Outcome
from piwheels.protocol import messages as m
from tests.master.conftest import Master


async def cut(master: Master) -> int:
    """End every connection of the master at once, as a restart of the server does."""
    return int(
        await master.db.value(
            """
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()
            """
        )
    )


async def test_every_duty_goes_on_after_the_database_was_restarted(master: Master) -> None:
    async with master.builder() as pi1, master.watch() as watcher:
        assert await cut(master) >= 8, "each duty has a connection, and some listen on another"
        await master.release("demo")
        await pi1.take()
        assert await cut(master)
        await pi1.end(Outcome.FAILED)
        await watcher.event(m.JobEnded, lambda ended: ended.project == "demo")
        await master.ask(m.Pause(), m.Applied)
        await watcher.event(m.Happened, lambda event: event.what == "pause the farm")
        await watcher.event(m.Pulse, lambda pulse: pulse.status.paused)
        assert await cut(master)
        await master.ask(m.Resume(), m.Applied)
        page = master.folder / "www" / "project" / "demo" / "index.html"
        await master.until_there(page)
        # Nobody asks for it: only who listens for notifications can offer it.
        await pi1.idle()
        await pi1.hear(m.Wait)
        await master.release("other")
        assert (await pi1.hear(m.BuildJob)).job.project == "other"
        assert await master.ask(m.Explain(project="demo"), m.ExplainReply)
    assert "Traceback" not in master.log
    assert "another master" not in master.log
