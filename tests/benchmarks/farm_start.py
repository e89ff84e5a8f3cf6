"""What a master of a large farm costs: its start, its memory, and a new target.

The master is a process of its own, as on a farm. What it needs to become ready is timed by a client
of its control socket, and by a builder that asks for a job.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from piwheels.db import job_queue, target_queries
from piwheels.db.database import Database
from piwheels.protocol.keys import MASTER, KeyStore
from piwheels.webroot.tree_farm import store_farm
from piwheels.wheel.tags import make_target
from tests.benchmarks.cpu_calibration import cpu_s
from tests.benchmarks.goal_table import Rate
from tests.benchmarks.large_farm import FULL_PROJECTS, TARGET_NAMES
from tests.control.conftest import Master
from tests.db.scenario import RULES
from tests.fake_index import fake_index
from tests.ports import free_port

#: How long a master runs until its memory is read: its services have begun by then.
_SETTLED_S = 20.0
_CLAIM_PAUSE_S = 0.02
_START_S = 3.0
_MASTER_MB = 120
_CONVERGE_MIN = 10
_CLAIM_P99_MS = 20
#: Time to an answer, its processor time, time to a job (s); memory and its peak (MB).
_Start = tuple[float, float, float, tuple[float, float]]
_NEW_TARGET = make_target(
    python_full="3.14.1",
    implementation="cp",
    abi="cp314",
    arch="aarch64",
    os="trixie",
    glibc="2.41",
)


async def measure_master(db: Database, dsn: str, folder: Path) -> list[Rate]:
    """Start a master of this farm twice, and ask it for a status and for a job."""
    times = [await _start_master(db, dsn, folder / f"master-{number}") for number in range(2)]
    answered_s, cpu, job_s, (memory_mb, peak_mb) = min(times)
    measured = f"{answered_s:.1f} s, of which {cpu:.1f} s of its processor"
    return [
        Rate("start of the master to the first answer", measured, "3 s", answered_s < _START_S),
        Rate("start of the master to the first job", f"{job_s:.1f} s", "3 s", job_s < _START_S),
        Rate(
            "master's memory after 20 s, without its page writers",
            f"{memory_mb:.0f} MB, peak {peak_mb:.0f} MB",
            f"{_MASTER_MB} MB",
            memory_mb < _MASTER_MB,
        ),
    ]


async def _start_master(db: Database, dsn: str, folder: Path) -> _Start:
    """The time until the first answer, its processor time, that to a job (s), and the memory."""
    web_root = folder / "www"
    web_root.mkdir(parents=True)
    store_farm(web_root, "")  # for whichever farm comes
    keys = KeyStore(folder / "keys")
    keys.load_or_generate(MASTER)
    with fake_index() as upstream:
        settings: dict[str, Any] = {
            "database.dsn": dsn,
            "webroot.root": web_root,
            "master.control_bind": f"ipc://{folder}/c.sock",
            "master.builder_bind": f"tcp://127.0.0.1:{free_port()}",
            "master.upload_bind": f"tcp://127.0.0.1:{free_port()}",
            "master.key_dir": keys.key_dir,
            "master.spool_dir": folder / "spool",
            "master.metrics_bind": "",
            "upstream.url": upstream.simple,
            "upstream.method": "poll",
        }
        master = Master(folder, db, settings, keys)
        began = time.monotonic()
        await master.start()
        answered_s = time.monotonic() - began
        assert master.process is not None
        cpu = cpu_s(master.process.pid)
        try:
            async with master.builder("bench") as builder:
                await builder.take_job()
                job_s = time.monotonic() - began
                async with builder.keep_alive():
                    await asyncio.sleep(_SETTLED_S)
            return answered_s, cpu, job_s, _memory_mb(master.process.pid)
        finally:
            master.stop()


def _memory_mb(pid: int) -> tuple[float, float]:
    """What a process uses now, and its peak."""
    status = dict(_fields(Path(f"/proc/{pid}/status").read_text()))
    now, peak = (int(status[name].split()[0]) / 1000 for name in ("VmRSS", "VmHWM"))
    return now, peak


def _fields(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, _, value = line.partition(":")
        yield name, value.strip()


async def measure_new_target(db: Database, claims_db: Database) -> list[Rate]:
    """Add a target to the farm, and claim jobs of the others on another connection meanwhile."""
    server = await db.value("SELECT pg_backend_pid()")
    began, server_s = time.monotonic(), cpu_s(server)
    await target_queries.add_target(db, _NEW_TARGET, RULES)
    converging = asyncio.create_task(target_queries.recompute_jobs(db))
    times_ms = []
    while not converging.done():
        claim_began = time.perf_counter()
        await job_queue.claim(claims_db, "bench", TARGET_NAMES)
        times_ms.append((time.perf_counter() - claim_began) * 1000)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(converging), _CLAIM_PAUSE_S)
    await converging
    took_s = time.monotonic() - began
    server_s = max(cpu_s(server) - server_s, 0.01)  # a tick
    times_ms.sort()
    releases = await db.value("SELECT count(*) FROM releases")
    full_min = took_s * FULL_PROJECTS / (await db.value("SELECT count(*) FROM projects")) / 60
    p50, p99 = times_ms[len(times_ms) // 2], times_ms[int(len(times_ms) * 0.99)]
    return [
        Rate(
            "adding a target (converge)",
            f"{took_s:.1f} s, {releases / took_s:,.0f} releases/s; at full size {full_min:.0f} min; "
            f"{releases / server_s:,.0f} releases a second of the server's processor",
            f"{_CONVERGE_MIN} min at full size",
            full_min < _CONVERGE_MIN,
        ),
        Rate(
            "claims while a target is added",
            f"p50 {p50:.1f} ms, p99 {p99:.1f} ms of {len(times_ms)}",
            f"p99 {_CLAIM_P99_MS} ms",
            p99 < _CLAIM_P99_MS,
        ),
    ]
