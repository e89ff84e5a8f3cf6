"""Simulated builders in one process: the real connection and uploads, and builds of seconds.

python -m tests.soak.builders FOLDER BUILDER_PORT UPLOAD_PORT COUNT
"""

import argparse
import asyncio
import os
import random
import signal
from functools import partial
from pathlib import Path

from piwheels.append_file import AppendFile
from piwheels.builder import connection_events as events
from piwheels.builder import connection_instructions as instructions
from piwheels.builder.build_log import OnPhase
from piwheels.builder.job_dir import JobDir
from piwheels.builder.master_client import MasterAddresses, MasterClient
from piwheels.model import HostMetrics, Job, Outcome
from piwheels.protocol import messages as m
from piwheels.protocol.keys import MASTER, KeyStore
from tests.db.scenario import TARGETS
from tests.scheduler.message_factories import hello, offer
from tests.wheel.factories import make_wheel

_LOG_LINES = 300


def main() -> None:
    """Serve the master until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.builders")
    parser.add_argument("folder", type=Path)
    for name in ("builder_port", "upload_port", "count"):
        parser.add_argument(name, type=int)
    parser.add_argument("--mean-build-s", type=float, default=3.0)
    parser.add_argument("--built-share", type=float, default=0.3)
    parser.add_argument("--wheel-bytes", type=int, default=0, help="at most, without zip headers")
    parser.add_argument(
        "--acknowledged", type=Path, help="a list of builds, and which were recorded"
    )
    asyncio.run(_serve(parser.parse_args()))


class _Client(MasterClient):
    """A builder that lists the builds that the master says it has recorded."""

    acknowledged: Path | None = None

    async def _handle(self, event: events.Event) -> instructions.Exit | None:
        match event:
            case events.MessageReceived(message=m.BuildAcknowledged(build=build, note="")):
                if self.acknowledged is not None:
                    with AppendFile(self.acknowledged) as file:
                        file.write(f"{build} acknowledged\n".encode())
        return await super()._handle(event)


async def _serve(options: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    keys = KeyStore(options.folder / "keys")
    tasks = []
    for number in range(options.count):
        addresses = MasterAddresses(
            builder_address=f"tcp://127.0.0.1:{options.builder_port}",
            upload_address=f"tcp://127.0.0.1:{options.upload_port}",
            key=keys.require(f"soak-{number}"),
            master_key=keys.require(MASTER).public,
        )
        client = _Client(
            addresses=addresses,
            describe=partial(hello, target=TARGETS[1], instance=str(os.getpid())),
            host_metrics=HostMetrics,
            build=partial(_build, options),
            job_dir=JobDir(options.folder / "jobs" / str(number)),
        )
        client.acknowledged = options.acknowledged
        tasks.append(asyncio.create_task(client.run()))
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in [waiting, *tasks]:
        task.cancel()
    await asyncio.gather(waiting, *tasks, return_exceptions=True)


async def _build(
    options: argparse.Namespace, job: Job, job_dir: JobDir, on_phase: OnPhase
) -> m.BuildFinished:
    if options.acknowledged:
        with AppendFile(options.acknowledged) as file:
            file.write(f"{job.build_id} {job.project} {job.version}\n".encode())
    chance = random.Random(job.build_id)
    mean_s = options.mean_build_s
    duration_s = min(chance.expovariate(1 / mean_s), 4 * mean_s)
    on_phase("building")
    for number in range(_LOG_LINES):
        job_dir.append_log(f"{number}: compiling {job.project} {chance.random()}\n".encode())
    await asyncio.sleep(duration_s)
    if chance.random() > options.built_share:
        job_dir.append_log(b"error: command 'gcc' failed with exit code 1\n")
        return m.BuildFinished(
            build=job.build_id, outcome=Outcome.FAILED, reason="it broke", duration_s=duration_s
        )
    name = job.project.replace("-", "_")
    code = {f"{name}.py": chance.randbytes(chance.randint(0, options.wheel_bytes)).hex().encode()}
    wheel = make_wheel(job_dir.wheels, name=name, version=job.version, files=code)
    return m.BuildFinished(
        build=job.build_id, outcome=Outcome.BUILT, duration_s=duration_s, files=(offer(wheel),)
    )


if __name__ == "__main__":
    main()
