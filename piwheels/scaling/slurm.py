"""Builders as array jobs of Slurm: task N of a pool's array is its slot N."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from piwheels.config import PoolSection
from piwheels.scaling.batch_system import OVERHEAD_MB, job_name, run
from piwheels.scaling.rule import BatchJob

#: `%K` the task, `%t` the state, `%F` the array's number.
_FORMAT = "%K %t %F"
_PENDING = "PD"


@dataclass(frozen=True, slots=True)
class Slurm:
    """Slurm, by its commands; `script` is what `piw config slurm` prints."""

    script: Path

    def jobs(self, pool: str) -> list[BatchJob]:
        """See `BatchSystem.jobs`; of this account's alone, as others may name theirs the same."""
        command = ["squeue", "--me", "-h", "-r", "-o", _FORMAT, "--name", job_name(pool)]
        found = [_parse(line) for line in run(command).splitlines()]
        return [job for job in found if job is not None]

    def start(self, pool: str, settings: PoolSection, slots: Sequence[int]) -> None:
        """See `BatchSystem.start`."""
        command: list[str | Path] = [
            "sbatch",
            "--parsable",
            f"--job-name={job_name(pool)}",
            f"--array={','.join(map(str, slots))}",
            f"--mem={settings.memory_mb + OVERHEAD_MB}M",
            *settings.options,
            self.script,
            pool,
            str(settings.memory_mb),
        ]
        run(command)

    def cancel(self, pool: str, ids: Sequence[str]) -> None:  # noqa: ARG002 - a job's number says it
        """See `BatchSystem.cancel`."""
        run(["scancel", "--state=PENDING", *ids])


def _parse(line: str) -> BatchJob | None:
    """The job of a line; None if it is no task of an array, and so was not started here."""
    task, _, rest = line.strip().partition(" ")
    state, _, array = rest.partition(" ")
    if not task.isdigit() or not array.isdigit():
        return None
    return BatchJob(int(task), f"{array}_{task}", state == _PENDING)
