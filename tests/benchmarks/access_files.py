"""What single accesses cost in PostgreSQL, in Parquet files and in a bucket: space, and questions.

python -m tests.benchmarks.access_files --rows 1000000 --bucket
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path

from piwheels.accesslog.access_files import AccessFiles
from piwheels.accesslog.access_questions import KEYS, count_by
from piwheels.accesslog.parquet_files import count_accesses
from piwheels.db.database import Database
from piwheels.db.exported_accesses import exported_days
from piwheels.db.migrate import upgrade
from piwheels.local.postgres import PrivatePostgres
from tests.accesslog.helpers import environment
from tests.bucket.seaweed import Seaweed

_MONTH = date(2026, 1, 1)
_AFTER = date(2026, 2, 1)
_PERIOD = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
_QUESTIONS = ("day", "project", "python", "arch", "installer")
_TARGET = "s3://accesses/farm"
#: Accesses at random times; a seventh are downloads, few wheels and clients have most of them.
_FILL = (
    """
    INSERT INTO downloaded_wheels (wheel_id, filename, project, saved_s)
    SELECT hashtextextended('wheel' || i, 0),
           format('project_%%s-%%s.0-py3-none-any.whl', i / 3, i %% 3), 'project-' || i / 3, 1
      FROM generate_series(1, 30000) AS i
    """,
    """
    INSERT INTO user_agents
    SELECT hashtextextended('agent' || i, 0), 'installer', (ARRAY['pip', 'uv'])[1 + i %% 2],
           '2' || i %% 7 || '.' || i %% 3, (ARRAY['armv7l', 'aarch64', 'x86_64'])[1 + i %% 3],
           'Debian', (11 + i %% 3)::text, '3.' || 9 + i %% 6
      FROM generate_series(1, 600) AS i
    """,
    """
    INSERT INTO access_records (at, client_hash, agent_id, wheel_id, bytes, request_kind, status)
    SELECT timestamptz '2026-01-01Z' + floor(random() * 86400 * %(days)s) * interval '1 second',
           hashtextextended('client' || client, 0),
           hashtextextended('agent' || 1 + client %% 600, 0),
           CASE WHEN kind = 1 THEN hashtextextended('wheel' || wheel, 0) END,
           CASE WHEN kind = 1 THEN 10000 + wheel * 37 ELSE 1500 + wheel %% 5000 END,
           kind, CASE WHEN kind = 1 OR random() < 0.6 THEN 200 ELSE 304 END
      FROM (SELECT floor(power(random(), 3) * 60000)::int AS client,
                   1 + floor(power(random(), 4) * 29999)::int AS wheel,
                   CASE WHEN random() < 0.14 THEN 1 ELSE 2 END AS kind
              FROM generate_series(1, %(rows)s)) AS drawn
    """,
)


def main() -> None:
    """Fill, measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.access_files")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--bucket", action="store_true", help="move the files into a bucket")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        files = AccessFiles(folder / "files")
        if options.bucket:
            (folder / "storage").mkdir()
            server = Seaweed(folder / "storage")
            stack.callback(server.kill)
            server.start()
            files = AccessFiles(folder / "files", _TARGET, server.settings())
        asyncio.run(_measure(folder, files, options.rows, options.days))


async def _measure(folder: Path, files: AccessFiles, rows: int, days: int) -> None:
    (folder / "postgres").mkdir()
    async with PrivatePostgres(folder / "postgres", durable=False) as postgres:
        await upgrade(postgres.dsn)
        async with await Database.connect(postgres.dsn, role="benchmark") as db:
            await db.execute("SELECT create_access_partition('2026-01-15Z')")
            for statement in _FILL:
                await db.execute(statement, {"rows": rows, "days": days})
            await db.execute("ANALYZE")
            size = await db.value("SELECT pg_table_size('access_records_2026_01')")
            before = [await _timed(db, files, key) for key in _QUESTIONS]
            moved_s, memory_mb = await asyncio.to_thread(_export, postgres.dsn, folder, files)
            after = [await _timed(db, files, key) for key in _QUESTIONS]
            recorded = [day.file for day in await exported_days(db)]
    local = [_local_copy(files, name) for name in recorded]
    kept = sum((files.directory / name).stat().st_size for name in local)
    cores, load = os.cpu_count(), os.getloadavg()[0]
    print(f"{rows:,} accesses of {days} days; {cores} cores, load {load:.1f}")
    print(f"moved in {moved_s:.1f} s, {rows / moved_s:,.0f} a second, {memory_mb:.0f} MB at most")
    place = "bucket" if files.target else "Parquet"
    print(f"| | PostgreSQL | {place} | Parquet, local |\n|---|---|---|---|")
    print(f"| bytes a row | {size / rows:.1f} | {kept / rows:.2f} | |")
    for key, (there_s, one), (here_s, other) in zip(_QUESTIONS, before, after, strict=True):
        assert one == other, f"the answers by {key} differ"
        local_s = _timed_local(local, files, key)
        print(f"| by {key} (s) | {there_s:,.2f} | {here_s:,.2f} | {local_s:,.2f} |")


def _export(dsn: str, folder: Path, files: AccessFiles) -> tuple[float, float]:
    """Export by the command; its seconds, and the memory in MB that it had at most."""
    variables = {"PIWHEELS_ACCESSLOG_PARQUET_DIR": str(files.directory)}
    if files.target:
        variables |= {
            "PIWHEELS_ACCESSLOG_PARQUET_TARGET": files.target,
            "PIWHEELS_PUBLISH_ENDPOINT": files.storage.endpoint,
            "PIWHEELS_PUBLISH_REGION": files.storage.region,
            "PIWHEELS_PUBLISH_CREDENTIALS_FILE": str(files.storage.credentials_file),
        }
    command = [sys.executable, "-m", "piwheels", "stats", "export", "--older-than", "1"]
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment(dsn, folder, **variables))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def _local_copy(files: AccessFiles, recorded: str) -> str:
    """A file on this machine with the bytes of a file, relative to the directory."""
    if not files.target:
        return recorded
    bucket, _, key = recorded.removeprefix("s3://").partition("/")
    found = files.find(recorded)
    assert found is not None
    path = files.directory / Path(key).name
    path.write_bytes(files.bucket(bucket).read(key, 0, found.size_bytes))
    return path.name


def _timed_local(names: list[str], files: AccessFiles, key: str) -> float:
    began = time.perf_counter()
    count_accesses(names, KEYS[key], *_PERIOD, files)
    return time.perf_counter() - began


async def _timed(db: Database, files: AccessFiles, key: str) -> tuple[float, object]:
    """The seconds of a question, and its answer."""
    began = time.perf_counter()
    answer = await count_by(db, files, key, _MONTH, _AFTER)
    return time.perf_counter() - began, answer


if __name__ == "__main__":
    main()
