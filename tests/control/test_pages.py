"""What a real master answers to the finder, the page of a project, and that of a queue."""

import pytest

from piwheels.model import SeriesWindow, State
from piwheels.protocol import messages as m
from tests.control.conftest import TARGET, Master, empty_upstream, idle_master, master

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
        builds = await master.ask(m.ListBuilds(builder="pi1"), m.BuildsReply)
        assert builds.usual_s == {}


async def test_a_series_without_values_has_bars_that_are_unknown(master: Master) -> None:
    asked = m.ReadSeries(names=("builder/nobody/load",), window=SeriesWindow.HOUR)
    (series,) = (await master.ask(asked, m.SeriesReply)).series
    assert series.name == "builder/nobody/load"
    assert series.means == series.maxima == (None,) * SeriesWindow.HOUR.bars
