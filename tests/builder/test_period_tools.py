"""Builds that today's tools cannot do are tried with those of their time, within one job."""

import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from piwheels.builder.bubblewrap import Bubblewrap, find_bubblewrap
from piwheels.index_client.client import SimpleIndex
from piwheels.model import FailureClass, Interpreter, Job, Outcome, Recipe
from piwheels.system.interpreters import probe_interpreter
from tests import requires
from tests.builder import sdists
from tests.builder.builder_harness import BuilderHarness, builder_for
from tests.fake_index import FakeIndex
from tests.wheel.factories import make_wheel

pytestmark = requires.requires_sandbox()

RELEASED = datetime(2015, 6, 1, tzinfo=UTC)
TOO_NEW = b"raise SystemExit('error in pure setup command: use_2to3 is invalid.')\n"
TOO_OLD = b"raise SystemExit('this tool was no good then')\n"
ABSENT = b"raise ModuleNotFoundError(\"No module named 'numpy'\")\n"
GOOD = b""

MakeJob = Callable[[dict[str, bytes]], Job]


@pytest.fixture
async def builder(upstream: FakeIndex, tmp_path: Path) -> AsyncIterator[BuilderHarness]:
    async with SimpleIndex(upstream.simple) as index:
        yield builder_for(index, tmp_path, Bubblewrap(find_bubblewrap()))


@pytest.fixture
def here() -> Interpreter:
    """The Python of the tests, as if it were 3.11: the days depend on that."""
    found = probe_interpreter(Path(sys.executable))
    return replace(found, version="3.11.2")


@pytest.fixture
def make_job(upstream: FakeIndex, tmp_path: Path) -> MakeJob:
    """Makes a job whose build imports `tool`, with the code of the version of each day."""

    def make(versions: dict[str, bytes]) -> Job:
        for number, (day, code) in enumerate(sorted(versions.items())):
            files = {"tool.py": code}
            wheel = make_wheel(
                tmp_path, name="tool", version=f"{number}", tags="py3-none-any", files=files
            )
            times = {"upload-time": f"{day}T12:00:00Z"}
            upstream.add("tool", wheel.name, wheel.read_bytes(), **times)
        content = sdists.sdist_running("pure", "import tool", requires='"tool"')
        return replace(sdists.make_job(upstream, "pure", content), released_at=RELEASED)

    return make


@pytest.mark.slow
@pytest.mark.parametrize(
    ("versions", "tries"),
    [
        (
            {"2023-02-28": GOOD, "2023-03-01": TOO_NEW},
            ["index of today: tools-too-new", "index as of 2023-02-28"],
        ),
        (
            {"2021-08-31": GOOD, "2022-01-01": TOO_OLD, "2024-01-01": TOO_NEW},
            [
                "index of today: tools-too-new", "index as of 2023-02-28: unknown",
                "index as of 2021-08-31",
            ],
        ),
    ],
)  # fmt: skip
async def test_old_tools_are_found_by_days(
    builder: BuilderHarness,
    make_job: MakeJob,
    here: Interpreter,
    versions: dict[str, bytes],
    tries: list[str],
) -> None:
    result = await builder.build(make_job(versions), here)
    log = builder.log.decode()
    assert (result.outcome, result.reason) == (Outcome.BUILT, ""), log
    recorded = [text for text in result.build_inputs if text.startswith("try ")]
    assert recorded == [f"try {number}: {text}" for number, text in enumerate(tries, 1)]
    again = ["trying again", "preparing", "building"] * (len(tries) - 1)
    assert builder.phases == ["fetching", "preparing", "building", *again, "inspecting"]
    assert "--- piwheels: tools-too-new: trying again with the index as of 2023-02-28 ---" in log


@pytest.mark.slow
async def test_a_job_that_no_day_helps_ends_as_it_failed_today(
    builder: BuilderHarness, make_job: MakeJob, here: Interpreter
) -> None:
    job = make_job({"2020-01-01": TOO_OLD, "2024-01-01": TOO_NEW})
    result = await builder.build(job, here)
    assert result.failure_class is FailureClass.TOOLS_TOO_NEW
    assert result.reason == "error in pure setup command: use_2to3 is invalid."
    lines = builder.log.decode().splitlines()
    assert lines[result.evidence.line_number - 1].strip() == result.reason
    assert sum("trying again" in line for line in lines) == 2
    assert "try 3: index as of 2021-08-31: unknown" in result.build_inputs


@pytest.mark.slow
async def test_an_index_without_upload_times_is_told_and_ends_the_tries(
    builder: BuilderHarness, make_job: MakeJob, upstream: FakeIndex, here: Interpreter
) -> None:
    job = make_job({"2024-01-01": TOO_NEW})
    for entries in upstream.projects.values():
        for entry in entries:
            del entry["upload-time"]
    result = await builder.build(job, here)
    assert result.failure_class is FailureClass.TOOLS_TOO_NEW
    assert "the index gives no upload times for tool (PEP 700)" in builder.log.decode()
    assert builder.phases.count("trying again") == 1


async def test_the_day_of_a_recipe_is_the_only_one(
    builder: BuilderHarness, make_job: MakeJob, here: Interpreter
) -> None:
    job = make_job({"2021-08-31": GOOD, "2024-01-01": TOO_NEW})
    recipe = Recipe(project="pure", tools_date=datetime(2024, 1, 2, tzinfo=UTC).date())
    result = await builder.build(replace(job, recipe=recipe), here)
    assert result.failure_class is FailureClass.TOOLS_TOO_NEW
    assert "trying again" not in builder.phases


@pytest.mark.slow
async def test_all_tries_share_the_time_limit(
    builder: BuilderHarness, make_job: MakeJob, here: Interpreter
) -> None:
    hangs = b"import time; time.sleep(3600)\n"
    job = make_job({"2023-02-01": hangs, "2024-01-01": TOO_NEW})
    builder.set_limits(timeout_s=20.0)
    result = await builder.build(job, here)
    assert (result.outcome, result.evidence.limit_s) == (Outcome.TIMED_OUT, 20.0)
    assert result.duration_s < 35
