"""Simulated builders in one process: the real connection and uploads, and builds of seconds.

python -m tests.soak.builders FOLDER BUILDER_PORT UPLOAD_PORT COUNT
"""

import asyncio
import hashlib
import os
import random
import signal
import sys
from pathlib import Path

from piwheels.builder.build_log import OnPhase
from piwheels.builder.job_dir import JobDir
from piwheels.builder.master_client import MasterAddresses, MasterClient
from piwheels.model import HostMetrics, Job, Outcome
from piwheels.protocol import messages as m
from piwheels.protocol.keys import MASTER, KeyStore
from tests.db.scenario import TARGETS
from tests.wheel.factories import make_wheel

BUILT_SHARE = 0.3
_MEAN_BUILD_S = 3.0
_LOG_LINES = 300


def main() -> None:
    """Serve the master until SIGTERM."""
    folder, builder_port, upload_port, count = sys.argv[1:]
    asyncio.run(_serve(Path(folder), int(builder_port), int(upload_port), int(count)))


async def _serve(folder: Path, builder_port: int, upload_port: int, count: int) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    keys = KeyStore(folder / "keys")
    tasks = []
    for number in range(count):
        addresses = MasterAddresses(
            builder_address=f"tcp://127.0.0.1:{builder_port}",
            upload_address=f"tcp://127.0.0.1:{upload_port}",
            key=keys.require(f"soak-{number}"),
            master_key=keys.require(MASTER).public,
        )
        client = MasterClient(
            addresses=addresses,
            describe=_hello,
            host_metrics=HostMetrics,
            build=_build,
            job_dir=JobDir(folder / "jobs" / str(number)),
        )
        tasks.append(asyncio.create_task(client.run()))
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in [waiting, *tasks]:
        task.cancel()
    await asyncio.gather(waiting, *tasks, return_exceptions=True)


def _hello(current_build: int | None, last_build: int) -> m.Hello:
    return m.Hello(
        protocol=m.PROTOCOL,
        version="1",
        targets=(TARGETS[1],),
        platform="linux",
        board="soak",
        os="bookworm",
        host=HostMetrics(),
        current_build=current_build,
        last_build=last_build,
        instance=str(os.getpid()),
    )


async def _build(job: Job, job_dir: JobDir, on_phase: OnPhase) -> m.BuildFinished:
    chance = random.Random(job.build_id)
    duration_s = min(chance.expovariate(1 / _MEAN_BUILD_S), 4 * _MEAN_BUILD_S)
    on_phase("building")
    for number in range(_LOG_LINES):
        job_dir.append_log(f"{number}: compiling {job.project} {chance.random()}\n".encode())
    await asyncio.sleep(duration_s)
    if chance.random() > BUILT_SHARE:
        job_dir.append_log(b"error: command 'gcc' failed with exit code 1\n")
        return m.BuildFinished(
            build=job.build_id, outcome=Outcome.FAILED, reason="it broke", duration_s=duration_s
        )
    name = job.project.replace("-", "_")
    wheel = make_wheel(job_dir.wheels, name=name, version=job.version)
    content = wheel.read_bytes()
    info = m.ArtifactInfo(
        filename=wheel.name,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    return m.BuildFinished(
        build=job.build_id, outcome=Outcome.BUILT, duration_s=duration_s, files=(info,)
    )


if __name__ == "__main__":
    main()
