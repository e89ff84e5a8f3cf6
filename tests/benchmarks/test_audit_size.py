"""What an audit costs: its memory does not grow with the farm."""

import asyncio
import contextlib
import hashlib
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from piwheels.db import index_queries
from piwheels.db.database import Database
from piwheels.index.index_publisher import write_pages, write_project_list

_FILES_OF_PROJECT = 200
_SIZES = (20_000, 200_000)
_METADATA = hashlib.sha256(b"m").hexdigest()


@pytest.mark.slow
async def test_memory_does_not_grow_with_the_farm(database: Database, tmp_path: Path) -> None:
    root = tmp_path / "www"
    config = tmp_path / "piwheels.toml"
    config.write_text(
        f'[webroot]\nroot = "{root}"\n[master]\nspool_dir = "{tmp_path / "spool"}"\n'
        f'[database]\ndsn = "{database.dsn}"\n'
    )
    peaks = []
    made = 0
    for size in _SIZES:
        await _fill(database, root, range(made, size))
        made = size
        command = [sys.executable, "-m", "piwheels", "audit", "--config", str(config)]
        began = time.monotonic()
        peak_mb, output = await _run(command)
        took_s = time.monotonic() - began
        wheels = [line for line in output.splitlines() if "packages/" in line or "simple/" in line]
        assert wheels == []
        print(f"{size} wheels: {peak_mb:.0f} MB, {took_s:.0f} s; {output.splitlines()[-1]}")
        peaks.append(peak_mb)
    assert peaks[1] < peaks[0] * 1.2


async def _run(command: Sequence[str]) -> tuple[float, str]:
    """The peak memory of a command, in MB, and what it printed.

    By /proc: what wait4() tells begins with the memory of the process that forked.
    """
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output = asyncio.create_task(process.communicate())
    peak_kb = 0
    while not output.done():
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
            found = re.search(r"VmHWM:\s+(\d+) kB", status)
            peak_kb = max(peak_kb, int(found[1]) if found else 0)
        await asyncio.sleep(0.05)
    return peak_kb / 1024, (await output)[0].decode()


async def _fill(db: Database, root: Path, numbers: range) -> None:
    """Wheels of a few bytes, with their metadata and index pages."""
    hashes = await asyncio.to_thread(_write_wheels, root, numbers)
    async with db.transaction():
        await db.execute("SET LOCAL session_replication_role = replica")
        await db.execute(
            "INSERT INTO requires_python_specifiers VALUES ('') ON CONFLICT DO NOTHING"
        )
        await db.execute(_SQL_PROJECTS, {"first": numbers.start, "last": numbers.stop - 1})
        await db.execute(
            _SQL_FILES,
            {"numbers": list(numbers), "hashes": hashes, "metadata": _METADATA},
        )
    await db.execute("ANALYZE files, releases, projects")
    names = [f"p{number:05}" for number in range(numbers.stop // _FILES_OF_PROJECT)]
    for start in range(0, len(names), 100):
        part = names[start : start + 100]
        pages = await index_queries.index_pages(db, part)
        problems = await asyncio.to_thread(
            write_pages, root, [(name, pages[name]) for name in part]
        )
        assert problems == {}
    await asyncio.to_thread(write_project_list, root, names)


_SQL_PROJECTS = """
    WITH names AS (
        SELECT DISTINCT 'p' || lpad((number / 200)::text, 5, '0') AS project
          FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS number
    ), added AS (
        INSERT INTO projects (project, display_name) SELECT project, project FROM names
    )
    INSERT INTO releases (project, version, released_at, requires_python)
    SELECT project, '1.0', '2026-01-01', '' FROM names
"""
_SQL_FILES = """
    INSERT INTO files (filename, sha256, size_bytes, metadata_sha256, compatibility_id,
                       requires_python, debian_packages, project, version, build_id)
    SELECT 'p' || lpad((number / 200)::text, 5, '0') || '-1.0-' || number || '-py3-none-any.whl',
           hash, length(number::text), %(metadata)s, 'any', '', '{}',
           'p' || lpad((number / 200)::text, 5, '0'), '1.0', 1
      FROM unnest(%(numbers)s::bigint[], %(hashes)s::text[]) AS wheel (number, hash)
"""


def _write_wheels(root: Path, numbers: range) -> list[str]:
    hashes = []
    for number in numbers:
        content = str(number).encode()
        sha256 = hashlib.sha256(content).hexdigest()
        hashes.append(sha256)
        folder = root / "packages" / sha256[:2] / sha256
        folder.mkdir(parents=True)
        name = f"p{number // _FILES_OF_PROJECT:05}-1.0-{number}-py3-none-any.whl"
        (folder / name).write_bytes(content)
        (folder / f"{name}.metadata").write_bytes(b"m")
    return hashes
