"""What pytest collects is the same in every process: its parallel workers compare their lists, and stop."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_ids_of_tests_depend_on_neither_time_nor_hashes(repository: Path) -> None:
    """Compressed bytes carry the second they were made in, and sets have an order for each process."""
    first = _collected(repository, hash_seed=1)
    second = _collected(repository, hash_seed=2)  # seconds later: collecting takes longer than one
    assert [name for name in first if name not in set(second)] == []
    assert first == second
    assert len(first) > 5000


def _collected(repository: Path, hash_seed: int) -> list[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", "-m", ""]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "tests"],
        cwd=repository,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    return [line for line in done.stdout.splitlines() if "::" in line]
