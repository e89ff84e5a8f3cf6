"""Backup and restore of the farm's database by PostgreSQL's own programs."""

import os
import shutil
import subprocess
from pathlib import Path

from piwheels.db.database import split_password
from piwheels.errors import PiwheelsError
from piwheels.local.postgres import PrivatePostgresError, find_postgres_bin_dirs


class DumpError(PiwheelsError):
    """The database could not be written to a file, or read from one."""


def backup_database(dsn: str, file: Path) -> None:
    """Write a database into a new file, in pg_dump's custom format.

    Raises:
        DumpError: pg_dump is missing or failed, or the file exists.
    """
    if file.exists():
        raise DumpError(f"{file} exists; name a new file")
    _run("pg_dump", dsn, "--format=custom", "--no-owner", f"--file={file}")


def restore_database(dsn: str, file: Path) -> None:
    """Load such a file into an empty database, as a whole or not at all.

    Raises:
        DumpError: pg_restore is missing or failed: the database is not empty, for instance.
    """
    _run("pg_restore", dsn, "--single-transaction", "--exit-on-error", "--no-owner", str(file))


def _run(name: str, dsn: str, *arguments: str) -> None:
    """Run a program; of several versions the first that can work with this server."""
    address, password = split_password(dsn)  # every account sees the arguments of a process
    environ = {**os.environ, **({"PGPASSWORD": password} if password else {})}
    reasons = []
    for program in _programs(name):
        done = subprocess.run(
            [program, f"--dbname={address}", *arguments],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if done.returncode == 0:
            return
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        reasons.append(lines[0] if lines else f"{name}: exit status {done.returncode}")
    if not reasons:
        raise DumpError(f"{name} is not installed; install PostgreSQL's client (postgresql-client)")
    if "already exists" in reasons[0]:
        raise DumpError(f"the database is not empty ({reasons[0]}); restore into an empty one")
    raise DumpError(reasons[0])


def _programs(name: str) -> list[str]:
    """Every version that is installed: the private PostgreSQL's first, which is the newest."""
    try:
        directories = [str(directory) for directory in find_postgres_bin_dirs()]
    except PrivatePostgresError:
        directories = []
    found = [shutil.which(name, path=directory) for directory in directories]
    return list(dict.fromkeys(filter(None, [*found, shutil.which(name)])))
