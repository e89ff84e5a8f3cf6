"""Runs `piw accesslog` as a process."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import psycopg

from tests.timeouts import WAIT_S


def environment(dsn: str, folder: Path, **more: str) -> dict[str, str]:
    """The environment of the process."""
    return {
        "PIWHEELS_DATABASE_DSN": dsn,
        "PIWHEELS_ACCESSLOG_SPOOL_DIR": str(folder / "spool"),
        "PATH": "/usr/bin:/bin",
        "HOME": "/nowhere",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        **more,
    }


def command(*arguments: str | Path) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "piwheels", "accesslog", *map(str, arguments)]


def read_files(dsn: str, folder: Path, *arguments: str | Path) -> dict[str, int]:
    """Read files; returns the JSON summary."""
    done = subprocess.run(
        command("--json", *arguments),
        env=environment(dsn, folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    message: dict[str, int] = json.loads(done.stdout)
    return message


def read_pipe(dsn: str, folder: Path, content: bytes) -> str:
    """Read a pipe; returns the summary."""
    done = subprocess.run(
        command(), env=environment(dsn, folder), input=content, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@contextlib.contextmanager
def piw_process(
    dsn: str,
    folder: Path,
    *arguments: str | Path,
    stdin: int | IO[bytes] | None = None,
    **more: str,
) -> Iterator[subprocess.Popen[bytes]]:
    """A running process; its output is in `folder`/said."""
    with (folder / "said").open("ab") as message:
        process = subprocess.Popen(
            command(*arguments),
            env=environment(dsn, folder, **more),
            stdin=stdin if stdin is not None else subprocess.DEVNULL,
            stdout=message,
            stderr=message,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        process.wait(WAIT_S)


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 2 * WAIT_S) -> Any:
    """Wait for a condition, and return its value."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {timeout_s:.0f} s")


def counted_downloads(dsn: str) -> int:
    """Downloads in the database."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT coalesce(sum(counted), 0) FROM downloads_daily").fetchone()
    return int(row[0]) if row else 0


def lines_read(dsn: str) -> int:
    """Lines in the database."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT coalesce(sum(lines), 0) FROM ingested_logs").fetchone()
    return int(row[0]) if row else 0
