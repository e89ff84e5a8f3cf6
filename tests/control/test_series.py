"""What the master records each minute of the farm, its targets and its machine."""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import datetime, timedelta

from piwheels.control.farm_measurements import FarmMeasurements
from piwheels.db import target_queries
from piwheels.db.database import Database
from piwheels.db.database_clock import database_time
from piwheels.db.series import read_series
from piwheels.errors import NotNowError
from piwheels.master.loop_delay import LoopDelay
from piwheels.master.series_recorder import SeriesRecorder
from piwheels.model import FarmSeries, HostMetrics, SeriesValue, SeriesWindow, TargetSeries
from piwheels.protocol.messages import StatusReply
from tests.db.scenario import RULES, TARGETS
from tests.timeouts import WAIT_S
from tests.tui.sample_farm import QUEUES, status

_DELAY = SeriesValue(0.001, 0.2)


async def measured(db: Database, reply: StatusReply) -> Mapping[str, float]:
    """What is measured with this status, the means alone."""

    async def read_status() -> StatusReply:
        return reply

    farm = FarmMeasurements(db, read_status, lambda: _DELAY)
    values = await farm.measure(await database_time(db) - timedelta(minutes=1))
    return {name: value.mean for name, value in values.items()}


async def test_the_farm_its_targets_and_the_master_are_measured(database: Database) -> None:
    target = TARGETS[0]
    await target_queries.add_target(database, target, RULES)
    host = HostMetrics(load=1.5, memory_total=8, memory_free=2, disk_total=0)
    values = await measured(database, status(host=host))
    assert values[FarmSeries.WAITING] == sum(queue.pending for queue in QUEUES)
    assert values[TargetSeries.WAITING.of(QUEUES[0].target)] == QUEUES[0].pending
    assert (values[FarmSeries.BUILT], values[FarmSeries.FAILED]) == (0, 0)
    assert values[TargetSeries.BUILT.of(target.name)] == 0
    assert (values[FarmSeries.LOAD], values[FarmSeries.MEMORY]) == (1.5, 0.75)
    assert values[FarmSeries.LOOP_DELAY] == _DELAY.mean


async def test_what_is_unknown_is_left_out(database: Database) -> None:
    host = HostMetrics(load=1.5, memory_total=8, memory_free=2, disk_total=0)
    values = await measured(database, status(host=host, counts_age_s=90.0))
    assert FarmSeries.WAITING not in values  # counted in another minute
    assert FarmSeries.DOWNLOADS not in values  # no access log is read
    assert FarmSeries.TREE not in values
    assert FarmSeries.BUSY in values


async def test_a_source_that_knows_nothing_yet_leaves_a_gap(database: Database) -> None:
    async def unknown(_: datetime) -> Mapping[str, SeriesValue]:
        raise NotNowError("the database has not answered")

    async def load(_: datetime) -> Mapping[str, SeriesValue]:
        return {"builder/pi1/load": SeriesValue.single(2.0)}

    now = await database_time(database)
    await SeriesRecorder(database, [unknown, load]).record(now)
    (found,) = await read_series(
        database, ["builder/pi1/load"], SeriesWindow.HOUR, now + timedelta(minutes=1)
    )
    assert [mean for mean in found.means if mean is not None] == [2.0]
    await SeriesRecorder(database, [unknown]).record(now)


async def test_the_delay_of_the_event_loop_is_measured_until_it_is_taken() -> None:
    delay = LoopDelay()
    assert delay.take() is None
    task = asyncio.create_task(delay.run())
    try:
        async with asyncio.timeout(WAIT_S):
            while (value := delay.take()) is None:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.05)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert 0 <= value.mean <= value.maximum
