"""What single accesses cost in PostgreSQL and in Parquet files: space, and five questions.

python -m tests.benchmarks.access_files --rows 1000000
"""

import argparse
import asyncio
import os
import tempfile
import time
from datetime import date
from pathlib import Path

from piwheels.accesslog.access_files import AccessFiles
from piwheels.accesslog.access_questions import count_by
from piwheels.accesslog.parquet_export import export_accesses
from piwheels.db.database import Database
from piwheels.db.migrate import upgrade
from piwheels.local.postgres import PrivatePostgres

_MONTH = date(2026, 1, 1)
_AFTER = date(2026, 2, 1)
_DAYS = 5
_QUESTIONS = ("day", "project", "python", "arch", "installer")
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
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_measure(Path(folder), rows))


async def _measure(folder: Path, rows: int) -> None:
    (folder / "postgres").mkdir()
    async with PrivatePostgres(folder / "postgres", durable=False) as postgres:
        await upgrade(postgres.dsn)
        async with await Database.connect(postgres.dsn, role="benchmark") as db:
            await db.execute("SELECT create_access_partition('2026-01-15Z')")
            for statement in _FILL:
                await db.execute(statement, {"rows": rows, "days": _DAYS})
            await db.execute("ANALYZE")
            size = await db.value("SELECT pg_table_size('access_records_2026_01')")
            before = [await _timed(db, folder, key) for key in _QUESTIONS]
            began = time.perf_counter()
            assert await export_accesses(db, AccessFiles(folder / "files"), _AFTER) == rows
            moved_s = time.perf_counter() - began
            after = [await _timed(db, folder, key) for key in _QUESTIONS]
    files = sum(file.stat().st_size for file in (folder / "files").rglob("*.parquet"))
    cores, load = os.cpu_count(), os.getloadavg()[0]
    print(f"{rows:,} accesses of {_DAYS} days; {cores} cores, load {load:.1f}")
    print(f"moved in {moved_s:.1f} s, {rows / moved_s:,.0f} a second")
    print("| | PostgreSQL | Parquet |\n|---|---|---|")
    print(f"| bytes a row | {size / rows:.1f} | {files / rows:.2f} |")
    for key, (there_s, one), (here_s, other) in zip(_QUESTIONS, before, after, strict=True):
        assert one == other, f"the answers by {key} differ"
        print(f"| by {key} (ms) | {1000 * there_s:,.0f} | {1000 * here_s:,.0f} |")


async def _timed(db: Database, folder: Path, key: str) -> tuple[float, object]:
    """The best of three, and the answer."""
    times, answer = [], None
    for _ in range(3):
        began = time.perf_counter()
        answer = await count_by(db, AccessFiles(folder / "files"), key, _MONTH, _AFTER)
        times.append(time.perf_counter() - began)
    return min(times), answer


if __name__ == "__main__":
    main()
