"""Polls followed projects without a changelog: python -m tests.benchmarks.polling [--projects 10000].

A server on loopback answers each page after 50 ms, with an ETag, and 304 to a conditional request that
has it. The first round has no validators; the second one has those of the first. The table has the
time of each round, how many requests were made at once, and what they were answered with.
"""

import argparse
import asyncio
import json
import resource
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from piwheels.db.database import Database
from piwheels.db.migrate import upgrade
from piwheels.index_client.client import SimpleIndex
from piwheels.local.postgres import PrivatePostgres
from piwheels.upstream.sync import SyncOptions, UpstreamSync
from tests.benchmarks.cpu_calibration import cpu_s
from tests.benchmarks.goal_table import Rate
from tests.db.scenario import RULES

_LATENCY_S = 0.05
_RELEASES = 20  # of each project, none of them new
_POLL_INTERVAL_S = 900.0
_GOAL_PROJECTS = 10_000
_LOOK_S = 0.5


@dataclass(slots=True)
class SlowIndex:
    """Answers each request for a page after the latency; any name is a project."""

    url: str = ""
    answered: Counter[int] = field(default_factory=Counter)
    busy: int = 0
    most_at_once: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection until it ends."""
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                await self._respond(request, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _respond(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        self.busy += 1
        self.most_at_once = max(self.most_at_once, self.busy)
        await asyncio.sleep(_LATENCY_S)
        self.busy -= 1
        project = request.split(b" ", 2)[1].decode().strip("/").rpartition("/")[2]
        status = 304 if f'"{project}"'.encode() in request else 200
        self.answered[status] += 1
        content = _page(project) if status == 200 else b""
        head = (
            f'HTTP/1.1 {status} X\r\nETag: "{project}"\r\nContent-Length: {len(content)}\r\n'
            "Content-Type: application/vnd.pypi.simple.v1+json\r\n\r\n"
        )
        writer.write(head.encode() + content)
        await writer.drain()


def _page(project: str) -> bytes:
    files = [
        {
            "filename": f"{project.replace('-', '_')}-{number}.0.tar.gz",
            "url": f"https://files.example/{project}-{number}.0.tar.gz",
            "hashes": {"sha256": f"{number:064x}"},
            "size": 100_000,
            "upload-time": "2026-01-28T18:14:54Z",
        }
        for number in range(_RELEASES)
    ]
    return json.dumps({"meta": {"api-version": "1.1"}, "name": project, "files": files}).encode()


def main() -> None:
    """Poll, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.polling")
    parser.add_argument("--projects", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_measure(Path(folder), options.projects))


async def _measure(folder: Path, projects: int) -> None:
    async with PrivatePostgres(folder / "database", durable=False) as postgres:
        await upgrade(postgres.dsn)
        print(f"{projects:,} followed projects, {_LATENCY_S * 1000:.0f} ms latency")
        for rate in await poll_rounds(postgres.dsn, projects):
            print(f"{rate.work}: {rate.measured}")


async def poll_rounds(dsn: str, projects: int) -> list[Rate]:
    """What a first round of polling cost and one with validators, on an empty database."""
    index, rounds = SlowIndex(), []
    server = await asyncio.start_server(index.serve, "127.0.0.1", 0)
    index.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/simple/"
    async with server, await Database.connect(dsn, role="follow") as db:
        await _follow(db, projects)
        async with await Database.connect(dsn, role="look") as look:
            for name in ("first round", "second round"):
                await look.execute("UPDATE projects SET next_poll_at = now()")
                took_s, measured = await _poll_once(db, look, index, projects)
                rounds.append(_round_rate(name, projects, took_s, measured))
    return rounds


def _round_rate(name: str, projects: int, took_s: float, measured: str) -> Rate:
    return Rate(
        f"polling {projects:,} projects, {name}",
        measured,
        f"{_GOAL_PROJECTS:,} in {_POLL_INTERVAL_S:.0f} s",
        took_s / projects * _GOAL_PROJECTS < _POLL_INTERVAL_S,
    )


async def _follow(db: Database, projects: int) -> None:
    await db.execute(
        """
        INSERT INTO projects (project, display_name, follow_since, existing_versions)
        SELECT 'polled-' || n, 'polled-' || n, %(now)s, %(existing)s
          FROM generate_series(1, %(count)s) n
        """,
        {
            "count": projects,
            "now": datetime.now(UTC),
            "existing": [f"{number}.0" for number in range(_RELEASES)],
        },
    )
    await db.execute("ANALYZE projects")


async def _poll_once(
    db: Database, look: Database, index: SlowIndex, projects: int
) -> tuple[float, str]:
    index.answered.clear()
    index.most_at_once = 0
    server = await db.value("SELECT pg_backend_pid()")
    started, own_s, server_s = time.monotonic(), time.process_time(), cpu_s(server)
    options = SyncOptions(method="poll", poll_interval_s=_POLL_INTERVAL_S)
    async with SimpleIndex(index.url) as client:
        task = asyncio.create_task(UpstreamSync(db, client, RULES, options).run())
        try:
            while await _due(look):  # noqa: ASYNC110 - it is another process that tells
                await asyncio.sleep(_LOOK_S)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    took_s = time.monotonic() - started
    answers = ", ".join(f"{count:,} x {status}" for status, count in sorted(index.answered.items()))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return took_s, (
        f"{took_s:.0f} s ({projects / took_s:.0f}/s), {answers}, at most "
        f"{index.most_at_once} at once; processor: {time.process_time() - own_s:.0f} s here, with "
        f"the index, {cpu_s(server) - server_s:.0f} s in the database; {peak_mb:.0f} MB"
    )


async def _due(look: Database) -> bool:
    return bool(
        await look.value("SELECT EXISTS (SELECT FROM projects WHERE next_poll_at <= now())")
    )


if __name__ == "__main__":
    main()
