"""What a builder and an access log reader say of themselves."""

from collections.abc import Iterable
from pathlib import Path

from prometheus_client.metrics_core import Metric

from piwheels.accesslog.context import Counters
from piwheels.accesslog.metrics import reader_metrics
from piwheels.accesslog.spool import Spool
from piwheels.builder.build_counts import BuildCounts
from piwheels.builder.build_log import OnPhase
from piwheels.builder.job_dir import JobDir
from piwheels.builder.metrics import builder_metrics
from piwheels.model import Job, Outcome
from piwheels.protocol.messages import BuildFinished
from piwheels.system.metrics import read_metrics
from tests.builder.test_master_client import JOB


def values(metrics: Iterable[Metric]) -> dict[str, float]:
    """Values by name, with the values of the labels."""
    return {
        "/".join([sample.name, *sample.labels.values()]): sample.value
        for metric in metrics
        for sample in metric.samples
    }


async def test_builds_are_counted_by_outcome_with_their_durations(tmp_path: Path) -> None:
    counts = BuildCounts()
    outcomes = iter([Outcome.BUILT, Outcome.BUILT, Outcome.TIMED_OUT])

    async def build(job: Job, job_dir: JobDir, on_phase: OnPhase) -> BuildFinished:
        return BuildFinished(build=1, outcome=next(outcomes), duration_s=10.0)

    for _ in range(3):
        await counts.counting(build)(JOB, JobDir(tmp_path), lambda _phase: None)
    found = values(builder_metrics(counts, read_metrics(tmp_path), connected=True, building=False))
    assert found["piwheels_builder_builds_total/built"] == 2
    assert found["piwheels_builder_builds_total/timed-out"] == 1
    assert found["piwheels_builder_builds_total/lost"] == 0
    assert found["piwheels_builder_build_duration_seconds_sum"] == 30
    assert found["piwheels_builder_build_duration_seconds_count"] == 3
    assert found["piwheels_builder_connected"] == 1
    assert found["piwheels_builder_building"] == 0
    assert found["piwheels_builder_disk_size_bytes"] > 0


def test_a_reader_says_what_it_read_and_what_waits(tmp_path: Path) -> None:
    counters = Counters(lines=7, downloads=3, rejected_lines=1)
    found = values(reader_metrics(counters, None, None))
    assert found["piwheels_accesslog_lines_total"] == 7
    assert found["piwheels_accesslog_downloads_total"] == 3
    assert found["piwheels_accesslog_rejected_lines_total"] == 1
    assert found["piwheels_accesslog_spool_bytes"] == 0
    assert "piwheels_accesslog_database_answer_timestamp_seconds" not in found
    spool = Spool(tmp_path, 1 << 20)
    try:
        spool.segments.append(b"a line\n")
        spool.dropped_lines = 5
        found = values(reader_metrics(counters, spool, 1.5e9))
    finally:
        spool.close()
    assert found["piwheels_accesslog_spool_bytes"] == 7
    assert found["piwheels_accesslog_dropped_lines_total"] == 5
    assert found["piwheels_accesslog_database_answer_timestamp_seconds"] == 1.5e9
