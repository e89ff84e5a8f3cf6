"""How many builders a pool has, for what waits and what runs."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from piwheels.config import PoolSection
from piwheels.model import QueueDemand
from piwheels.protocol.messages import BuilderState, BuilderView
from piwheels.scaling import slurm
from piwheels.scaling.batch_system import BatchSystemError
from piwheels.scaling.rule import BatchJob, Plan, builders_of, jobs_by_pool, plan
from piwheels.scaling.slurm import Slurm

SLOTS = st.sets(st.integers(1, 12))
ARM, INTEL = "cp311-trixie-aarch64", "cp311-trixie-x86_64"


def demand(target: str, memory_mb: int, waiting: int) -> QueueDemand:
    return QueueDemand(target=target, memory_mb=memory_mb, waiting=waiting)


def view(
    slot: int, build: int | None = None, state: BuilderState = BuilderState.IDLE
) -> BuilderView:
    return BuilderView(label=f"arm-{slot}", state=state, build=build, on_demand=True)


def test_a_job_is_left_to_the_smallest_pool_with_enough_memory_for_its_target() -> None:
    pools = {
        "small": PoolSection(targets=("*-aarch64",), memory_mb=1024),
        "large": PoolSection(targets=("*-aarch64",), memory_mb=8192),
        "intel": PoolSection(targets=("*-x86_64",), memory_mb=2048),
    }
    found = jobs_by_pool(
        pools,
        [
            demand(ARM, 0, 5),
            demand(ARM, 1024, 7),
            demand(ARM, 2048, 11),
            demand(ARM, 65536, 13),
            demand(INTEL, 4096, 17),
            demand("cp311-trixie-armv7l", 0, 19),
        ],
    )
    assert found == {"small": 12, "large": 24, "intel": 17}


def test_builders_are_started_for_what_waits_and_those_that_are_free_count() -> None:
    pool = PoolSection(max_builders=4, jobs_per_builder=2)
    assert plan("arm", pool, 3, [], {}).start == (1, 2)
    assert plan("arm", pool, 100, [], {}).start == (1, 2, 3, 4)
    jobs = [BatchJob(2, "9_2", is_pending=True), BatchJob(3, "9_3", is_pending=False)]
    assert plan("arm", pool, 3, jobs, {}).start == ()
    assert plan("arm", pool, 3, jobs, {3: view(3, build=7)}).start == (1,)
    assert plan("arm", pool, 3, [], {1: view(1)}).start == (2, 3), (
        "a slot that is connected is used"
    )


def test_nothing_is_started_while_no_builder_gets_a_job() -> None:
    jobs = [BatchJob(1, "9_1", is_pending=True)]
    found = plan("arm", PoolSection(), 9, jobs, {}, blocked="the farm is paused")
    assert (found.start, found.cancel, found.note) == ((), ("9_1",), "the farm is paused")


def test_a_pool_that_has_too_many_cancels_what_is_pending_and_drains_what_is_idle_first() -> None:
    pool = PoolSection(max_builders=1)
    running = [BatchJob(slot, f"9_{slot}", is_pending=False) for slot in (1, 2, 3)]
    jobs = [*running, BatchJob(4, "9_4", is_pending=True)]
    builders = {1: view(1, build=5), 2: view(2), 3: view(3, build=6)}
    found = plan("arm", pool, 9, jobs, builders)
    assert (found.start, found.cancel, found.drain) == ((), ("9_4",), ("arm-2", "arm-3"))
    builders[2] = view(2, state=BuilderState.DRAINING)
    assert plan("arm", pool, 9, running, builders).drain == ("arm-3",), "one is told already"
    closed = plan("arm", PoolSection(max_builders=0), 9, running, builders)
    assert set(closed.drain) == {"arm-1", "arm-3"}


def test_the_builders_of_a_pool_are_known_by_their_labels() -> None:
    labels = ("arm-1", "arm-2-0a1b2c", "arm-x", "arm-3-4", "warm-5", "arm-6")
    views = [msgspec.structs.replace(view(0), label=label) for label in labels]
    gone = msgspec.structs.replace(views[-1], state=BuilderState.ENDED)
    assert sorted(builders_of("arm", [*views[:-1], gone])) == [1, 2]


@given(
    waiting=st.integers(0, 200),
    pool=st.builds(
        PoolSection, max_builders=st.integers(0, 12), jobs_per_builder=st.integers(1, 5)
    ),
    pending=SLOTS,
    building=SLOTS,
    idle=SLOTS,
)
def test_a_plan_never_exceeds_its_pool_and_never_ends_what_it_may_keep(
    waiting: int, pool: PoolSection, pending: set[int], building: set[int], idle: set[int]
) -> None:
    running = building | idle
    jobs = [BatchJob(slot, f"1_{slot}", is_pending=False) for slot in running]
    jobs += [BatchJob(slot, f"2_{slot}", is_pending=True) for slot in pending - running]
    builders = {slot: view(slot, build=1 if slot in building else None) for slot in running}
    most, each = pool.max_builders, pool.jobs_per_builder
    made: Plan = plan("arm", pool, waiting, jobs, builders)
    live = len(jobs)
    assert live + len(made.start) <= max(most, live)
    assert not set(made.start) & {job.slot for job in jobs}
    assert len(made.drain) <= max(live - most, 0)
    assert not (made.start and (made.drain or made.cancel))
    free = live - len(building)
    if made.start:
        assert (free + len(made.start) - 1) * each < waiting
    elif live < most and not made.cancel:
        assert free * each >= waiting


def test_slurms_answers_are_read_and_its_errors_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []

    def answer(command: list[str], given: str = "") -> str:
        called.append([str(word) for word in command])
        return "3 PD 17\nN/A R 18\n12 R 17\n4 CG 9\n"

    monkeypatch.setattr(slurm, "run", answer)
    system = Slurm(tmp_path / "script")
    assert system.jobs("arm") == [
        BatchJob(3, "17_3", is_pending=True),
        BatchJob(12, "17_12", is_pending=False),
        BatchJob(4, "9_4", is_pending=False),
    ], "a job of that name that is no task of an array was not started here"
    assert "--me" in called[-1], "another account's jobs may have that name"
    system.start("arm", PoolSection(memory_mb=1024, options=("--partition=p",)), [1, 5])
    assert called[-1] == [
        *("sbatch", "--parsable", "--job-name=piwheels-arm", "--array=1,5", "--mem=1536M"),
        *("--partition=p", str(tmp_path / "script"), "arm", "1024"),
    ]


def test_a_command_of_a_batch_system_that_fails_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "squeue"
    program.write_text("#!/bin/sh\necho 'no such\ncluster' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    system = Slurm(tmp_path / "script")
    with pytest.raises(BatchSystemError, match=r"^squeue: no such cluster$"):
        system.jobs("arm")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BatchSystemError, match="scancel is not installed here"):
        system.cancel("arm", ["17_3"])
