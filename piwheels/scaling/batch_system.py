"""Batch systems that run builders: the slots of a pool there, started and canceled."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from piwheels.config import PoolSection
from piwheels.errors import PiwheelsError
from piwheels.formatting import exit_status_text
from piwheels.sanitize import truncate_line
from piwheels.scaling.rule import BatchJob

_TIMEOUT_S = 60.0
#: Added to a build's memory: for the builder itself, pip and its checks of wheels.
OVERHEAD_MB = 512


class BatchSystemError(PiwheelsError):
    """A command of the batch system failed."""


class BatchSystem(Protocol):
    """What `piw builder scale` needs of a batch system."""

    def jobs(self, pool: str) -> list[BatchJob]:
        """The slots of a pool that are queued or run.

        Raises:
            BatchSystemError: the batch system does not answer.
        """

    def start(self, pool: str, settings: PoolSection, slots: Sequence[int]) -> None:
        """Queue builders for these slots.

        Raises:
            BatchSystemError: they cannot be queued.
        """

    def cancel(self, pool: str, ids: Sequence[str]) -> None:
        """Cancel jobs that have not started; those that have started meanwhile go on.

        Raises:
            BatchSystemError: they cannot be canceled.
        """


def job_name(pool: str) -> str:
    """The name of a pool's jobs in a batch system."""
    return f"piwheels-{pool}"


def run(command: Sequence[str | Path], given: str = "") -> str:
    """Run a command of a batch system; returns its output.

    Raises:
        BatchSystemError: it is not installed, failed, or took too long.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, input=given, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        raise BatchSystemError(f"{words[0]} is not installed here") from None
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        raise BatchSystemError(truncate_line(f"{words[0]}: {error}")) from None
    if done.returncode:
        said = " ".join(done.stderr.split()) or exit_status_text(done.returncode)
        raise BatchSystemError(truncate_line(f"{words[0]}: {said}"))
    return done.stdout
