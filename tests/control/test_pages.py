"""What a real master answers to the finder, the page of a project, and that of a queue."""

import asyncio

import pytest

from piwheels.errors import RejectedError
from piwheels.model import FarmSeries, SeriesWindow, State
from piwheels.protocol import messages as m
from tests.control.conftest import TARGET, Master, empty_upstream, idle_master, master
from tests.timeouts import WAIT_S

__all__ = ["empty_upstream", "idle_master", "master"]

pytestmark = pytest.mark.slow


async def test_a_project_is_found_shown_and_listed_in_its_queue(master: Master) -> None:
    async with master.builder() as pi1:
        await pi1.send_idle()
        await master.release("demo", "1.0")
        await pi1.take_job()
        await master.release("later", "2.0")
        found = await master.ask(m.SearchProjects(text="dem"), m.ProjectHits)
        assert [(hit.project, hit.version, hit.builder) for hit in found.hits] == [
            ("demo", "1.0", "pi1")
        ]
        page = await master.ask(m.ShowProject(project="later"), m.ProjectReply)
        states = {target.target: target.state for target in page.overview.targets}
        assert states[TARGET.name] is State.QUEUED
        queue = await master.ask(m.ListQueue(target=TARGET.name), m.QueueReply)
        assert [(job.project, job.version) for job in queue.jobs] == [("later", "2.0")]
        demand = await master.ask(m.ListDemand(), m.DemandReply)
        assert [(it.target, it.memory_mb, it.waiting) for it in demand.demand] == [
            (TARGET.name, 0, 1)
        ]
        assert (demand.waits, demand.builders) == ("", ()), "pi1 was not started on demand"
        builds = await master.ask(m.ListBuilds(builder="pi1"), m.BuildsReply)
        assert builds.usual_s == {}


async def test_the_page_of_a_builder_has_its_last_day_and_that_of_its_peers(
    master: Master,
) -> None:
    async with master.builder("pi2") as pi2:
        await pi2.send_idle()
        for number in range(3):
            await master.release(f"demo{number}", "1.0")
            await pi2.take_job()
            await pi2.finish_build()
        async with master.builder("pi1"):
            page = (await master.ask(m.ShowBuilder(builder="pi2"), m.BuilderReply)).page
            other = (await master.ask(m.ShowBuilder(builder="pi1"), m.BuilderReply)).page
        assert [build.project for build in page.builds] == ["demo2", "demo1", "demo0"]
        assert (page.built, page.failed, page.peers, page.usual_built) == (0, 3, 1, 0)
        assert page.running_usual_s is None
        assert (other.builds, other.built, other.failed, other.peers) == ((), 0, 0, 1)
        with pytest.raises(RejectedError, match="there is no builder pi7"):
            await master.ask(m.ShowBuilder(builder="pi7"), m.BuilderReply)


async def test_series_are_recorded_once_a_minute(master: Master) -> None:
    names = ("builder/nobody/load", FarmSeries.LOAD, FarmSeries.BUILT)
    asked = m.ReadSeries(names=names, window=SeriesWindow.HOUR)
    async with asyncio.timeout(120 + WAIT_S):
        reply = await master.ask(asked, m.SeriesReply)
        while reply.series[1].mean is None:
            await asyncio.sleep(1)
            reply = await master.ask(asked, m.SeriesReply)
    nobody, load, built = reply.series
    assert nobody.means == nobody.maxima == (None,) * SeriesWindow.HOUR.bars
    assert load.means[-1] is not None
    assert (built.mean, built.mean_before) == (0.0, None)
