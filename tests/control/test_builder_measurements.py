"""What is stored of each builder once a minute."""

from datetime import datetime

from msgspec.structs import replace

from piwheels.control.builder_measurements import BuilderMeasurements
from piwheels.db.builder_builds import usual_duration
from piwheels.db.database import Database
from piwheels.model import HostMetrics
from piwheels.protocol.messages import BuilderState, BuilderView
from tests.db.test_build_history import add_builds, add_release

HOST = HostMetrics(
    load=3.5, memory_total=400, memory_free=100, disk_total=100, disk_free=36,
    temperature=83.0, throttled=True,
)  # fmt: skip


def view(label: str, **facts: object) -> BuilderView:
    known = {"label": label, "state": BuilderState.BUILDING, "host": HOST}
    return BuilderView(**(known | facts))  # type: ignore[arg-type]


async def measured(database: Database, *views: BuilderView) -> dict[str, float]:
    ended_at: datetime = await database.value("SELECT max(ended_at) FROM builds")
    source = BuilderMeasurements(database, lambda: views)
    values = await source.measure(ended_at.replace(second=0, microsecond=0))
    assert all(value.mean == value.maximum for value in values.values())
    return {name: value.mean for name, value in values.items()}


async def test_a_builder_is_measured_by_its_last_heartbeat(database: Database) -> None:
    await add_release(database)
    await add_builds(database, [("pi1", "t", "built", 10), ("pi1", "t", "built", 10)])
    assert await measured(database, view("pi1")) == {
        "builder/pi1/load": 3.5,
        "builder/pi1/memory": 0.75,
        "builder/pi1/disk": 0.64,
        "builder/pi1/temperature": 83.0,
        "builder/pi1/throttled": 1.0,
        "builder/pi1/built": 1.0,  # the other ended in the minute before
        "builder/pi1/failed": 0.0,
    }


async def test_what_is_unknown_has_no_value(database: Database) -> None:
    await add_release(database)
    await add_builds(database, [("pi1", "t", "built", 10)])
    lost = view("pi3", state=BuilderState.LOST)
    silent = view("pi4", state=BuilderState.SILENT)
    assert await measured(database, view("pi2", host=HostMetrics()), lost, silent) == {
        "builder/pi2/load": 0.0,
        "builder/pi2/built": 0.0,
        "builder/pi2/failed": 0.0,
    }


async def test_absurd_sizes_are_no_negative_shares(database: Database) -> None:
    await add_release(database)
    await add_builds(database, [("pi1", "t", "built", 10)])
    values = await measured(database, view("pi1", host=replace(HOST, memory_free=2**60)))
    assert values["builder/pi1/memory"] == 0.0


async def test_usual_is_the_median_of_other_builders(database: Database) -> None:
    await add_release(database)
    rows = [("one", "t", "built", 90), ("two", "t", "built", 110), ("me", "t", "built", 900)]
    await add_builds(database, [*rows, ("two", "t", "failed", 1)])
    assert await usual_duration(database, "me", "numpy", "t") == 100.0
    assert await usual_duration(database, "me", "scipy", "t") is None
