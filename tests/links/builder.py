"""A builder with the real connection, and builds that make a wheel and a log of some size.

    python -m tests.links.builder FOLDER NAME MASTER_ADDRESS

It is for the project `wheel-BYTES-log-BYTES`. The content is the same each time, so that a test
can tell what has to arrive.
"""

import asyncio
import base64
import contextlib
import hashlib
import os
import random
import signal
import sys
import time
import zipfile
from functools import partial
from pathlib import Path

from piwheels.builder.build_log import OnPhase
from piwheels.builder.job_dir import JobDir
from piwheels.builder.master_client import MasterAddresses, MasterClient
from piwheels.log_setup import configure_logging
from piwheels.model import HostMetrics, Job, Outcome
from piwheels.protocol import messages as m
from piwheels.protocol.keys import MASTER, KeyStore
from tests.db.scenario import TARGETS
from tests.scheduler.message_factories import hello, offer
from tests.wheel.factories import record_line, wheel_members

BUILDER_PORT, UPLOAD_PORT = 5555, 5556
_CHUNK_BYTES = 1 << 20


def project_name(wheel_bytes: int, log_bytes: int = 1000) -> str:
    """The project whose builds have a wheel and a log of these sizes."""
    return f"wheel-{wheel_bytes}-log-{log_bytes}"


def main() -> None:
    """Serve the master until SIGTERM."""
    folder, name, address = sys.argv[1:]
    configure_logging()
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_serve(Path(folder), name, address))


async def _serve(folder: Path, name: str, address: str) -> None:
    keys = KeyStore(folder / "keys")
    client = MasterClient(
        addresses=MasterAddresses(
            builder_address=f"tcp://{address}:{BUILDER_PORT}",
            upload_address=f"tcp://{address}:{UPLOAD_PORT}",
            key=keys.require(name),
            master_key=keys.require(MASTER).public,
        ),
        describe=partial(hello, target=TARGETS[1], instance=str(os.getpid())),
        host_metrics=lambda: HostMetrics(clock_s=time.time()),
        build=_build,
        job_dir=JobDir(folder / "jobs" / name),
    )
    task = asyncio.ensure_future(client.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await task


async def _build(job: Job, job_dir: JobDir, on_phase: OnPhase) -> m.BuildFinished:
    _, wheel_bytes, _, log_bytes = job.project.split("-")
    on_phase("building")
    line = f"compiling {'x' * 80}\n".encode()
    job_dir.append_log(line * (int(log_bytes) // len(line)))
    path = await asyncio.to_thread(
        write_wheel, job_dir.wheels, job.project, job.version, int(wheel_bytes)
    )
    return m.BuildFinished(
        build=job.build_id, outcome=Outcome.BUILT, duration_s=1.0, files=(offer(path),)
    )


def write_wheel(folder: Path, project: str, version: str, size_bytes: int) -> Path:
    """A wheel with a member of this size, of random bytes that depend on its name alone."""
    name = project.replace("-", "_")
    path = folder / f"{name}-{version}-py3-none-any.whl"
    chance = random.Random(project)
    members = wheel_members(name=name, version=version, files={})
    record = next(member for member in members if member.endswith("/RECORD"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        digest = hashlib.sha256()
        with archive.open(zipfile.ZipInfo(f"{name}/data.bin"), "w", force_zip64=True) as member:
            for start in range(0, size_bytes, _CHUNK_BYTES):
                part = chance.randbytes(min(_CHUNK_BYTES, size_bytes - start))
                digest.update(part)
                member.write(part)
        for other, content in members.items():
            if other != record:
                archive.writestr(zipfile.ZipInfo(other), content)
        lines = [record_line(n, c) for n, c in members.items() if n != record]
        encoded = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
        lines.append(f"{name}/data.bin,sha256={encoded},{size_bytes}\n")
        archive.writestr(zipfile.ZipInfo(record), "".join([*lines, f"{record},,\n"]))
    return path


if __name__ == "__main__":
    main()
