"""What tests do in a process that is recorded: python -m tests.crashes.scripts FUNCTION FOLDER."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

from piwheels.accesslog.parquet_files import make_durable
from piwheels.builder.job_dir import JobDir
from piwheels.cli.edit_config import replace_text
from piwheels.model import Job, Outcome
from piwheels.protocol.keys import KeyStore
from piwheels.protocol.messages import ArtifactInfo, BuildFinished
from piwheels.roots.store import RootRecord, RootStore
from piwheels.webroot import Webroot, install_file, replace_file
from tests.db.scenario import BUILD_TIME, TARGETS, make_sdist

NEW = b"new" * 1000
WHEEL = "demo-1-py3-none-any.whl"
JOB = Job(
    build_id=7,
    project="demo",
    version="1",
    target=TARGETS[0].name,
    sdist=make_sdist("demo", "1"),
    released_at=BUILD_TIME,
)
BUILD = BuildFinished(
    build=JOB.build_id,
    outcome=Outcome.BUILT,
    duration_s=1.0,
    files=(ArtifactInfo(filename=WHEEL, size_bytes=len(NEW), sha256="0" * 64),),
)


def write_without_sync(folder: Path) -> None:
    (folder / "temporary").write_bytes(NEW)
    (folder / "temporary").replace(folder / "file")


def replace(folder: Path) -> None:
    replace_file(folder / "file", NEW)


def replace_in_new_folder(folder: Path) -> None:
    replace_file(folder / "new/file", NEW)


def write_pages(folder: Path) -> None:
    root = Webroot(folder)
    assert not root.write_pages({"demo": [(root.simple_dir("demo") / "index.html", NEW)]})


def install(folder: Path) -> None:
    (folder / "part").write_bytes(NEW)
    install_file(folder / "part", folder / "packages/wheel")


def write_and_die_before_the_sync(folder: Path) -> None:
    with mock.patch("piwheels.webroot.atomic_file.sync_dir", side_effect=lambda _: os._exit(0)):
        Webroot(folder).write(folder / "file", NEW)


def remove_wheel(folder: Path) -> None:
    Webroot(folder).remove([folder / "packages/aa/wheel"])


def remove_wheel_and_die_before_the_sync(folder: Path) -> None:
    with mock.patch("piwheels.webroot.sync_dir", side_effect=lambda _: os._exit(0)):
        remove_wheel(folder)


def write_the_same(folder: Path) -> None:
    assert not Webroot(folder).write(folder / "file", NEW)


def finish_build(folder: Path) -> None:
    jobs = JobDir(folder / "jobs/0")
    jobs.start(JOB)
    jobs.append_log(b"a line\n")
    jobs.wheel_path(WHEEL).write_bytes(NEW)
    jobs.save_result(BUILD)


def generate_key(folder: Path) -> None:
    KeyStore(folder / "keys").generate("builder")


def write_config(folder: Path) -> None:
    replace_text(folder / "piwheels.toml", NEW.decode())


def publish_root(folder: Path) -> None:
    store = RootStore(folder / "roots", 0)
    record = RootRecord(
        name="trixie",
        title="Debian 13",
        arch="arm64",
        key="0" * 64,
        packages=(),
        archive_dates=(),
        made_at=datetime.now(UTC),
        size_bytes=len(NEW),
    )
    with store.making("trixie") as making:
        (making / "system").mkdir()
        (making / "system/libc.so").write_bytes(NEW)
        store.publish(making, record)


def write_and_make_durable(folder: Path) -> None:
    file = folder / "2026/day.parquet"
    file.parent.mkdir()
    file.write_bytes(NEW)
    make_durable(file)


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
