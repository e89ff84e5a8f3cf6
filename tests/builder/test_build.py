"""Builds from sdist to outcome, with the real pip in the real sandbox."""

import asyncio
import hashlib
import re
import sys
import tarfile
import time
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from piwheels.builder import download_retries, failure_classification, sandbox_entry
from piwheels.builder.bubblewrap import Bubblewrap, find_bubblewrap
from piwheels.builder.no_sandbox import NoSandbox
from piwheels.formatting import format_duration
from piwheels.index_client.client import SimpleIndex
from piwheels.model import FailureClass, Interpreter, Outcome
from piwheels.system.interpreters import probe_interpreter
from tests import requires
from tests.builder import sdists
from tests.builder.builder_harness import (
    BuilderHarness,
    builder_for,
    daemonizing_script,
    processes_with,
    wait_until,
)
from tests.fake_index import FakeIndex
from tests.timeouts import WAIT_S
from tests.wheel.factories import make_wheel

SOCKET = (
    "python3 -c 'import socket; "
    's = socket.socket(socket.AF_UNIX); s.bind("pure-1.0-py3-none-any.whl")\''
)

pytestmark = requires.requires_sandbox()


@pytest.fixture
async def builder(upstream: FakeIndex, tmp_path: Path) -> AsyncIterator[BuilderHarness]:
    async with SimpleIndex(upstream.simple) as index:
        yield builder_for(index, tmp_path, Bubblewrap(find_bubblewrap()))


@pytest.fixture
def here() -> Interpreter:
    return probe_interpreter(Path(sys.executable))


@pytest.fixture
def marker() -> str:
    """An argument that no other process has: a number of seconds to sleep."""
    return f"{time.time_ns() % 10**9 + 10**6}"


# --- what is built ---


async def test_a_pure_project_is_built(
    builder: BuilderHarness, upstream: FakeIndex, oldest: Interpreter, newest: Interpreter
) -> None:
    job = sdists.make_job(upstream, "pure", sdists.sdist_running("pure"))
    for interpreter in (oldest, newest):
        result = await builder.build(job, interpreter)
        assert (result.outcome, result.reason) == (Outcome.BUILT, "")
        (wheel,) = builder.wheels
        assert wheel.name == "pure-1.0-py3-none-any.whl"
        assert zipfile.ZipFile(wheel).read("pure.py") == b"answer, note = 42, None\n"
        assert builder.phases == ["fetching", "preparing", "building", "inspecting"]
        python, source, pip, *variables = result.build_inputs
        assert python == f"python {interpreter.version} {interpreter.abi}"
        assert source == f"source {job.sdist.sha256} {job.sdist.filename}"
        assert pip.split()[1].startswith("pip-")
        assert variables == [
            "env PYTHONHASHSEED=0",
            f"env SOURCE_DATE_EPOCH={int(sdists.RELEASED.timestamp())}",
        ]
        assert builder.log.endswith(b"--- piwheels: built ---\n")


async def test_a_wheel_without_the_projects_modules_is_rejected(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    setup = "from setuptools import setup\nsetup(name='hollow', version='1.0', packages=[])"
    content = sdists.archive("hollow", {"setup.py": setup, "hollow/__init__.py": ""})
    result = await builder.build(sdists.make_job(upstream, "hollow", content), here)
    assert (result.outcome, result.files) == (Outcome.REFUSED, ())
    assert result.reason == (
        "hollow-1.0-py3-none-any.whl: the wheel is empty: it has no module, script or data "
        "file, and the sdist has hollow"
    )
    assert result.reason.encode() in bytes(builder.log)


async def test_files_that_the_upstream_wheel_has_and_ours_lacks_are_reported(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter, tmp_path: Path
) -> None:
    job = sdists.make_job(upstream, "pure", sdists.sdist_running("pure"))
    files = {"pure.py": b"", "_fast.abi3.so": b""}
    theirs = make_wheel(tmp_path, name="pure", tags="cp39-abi3-manylinux_2_17_x86_64", files=files)
    upstream.add("pure", theirs.name, theirs.read_bytes())
    result = await builder.build(job, here)
    assert result.outcome is Outcome.BUILT
    assert result.reason == f"the wheel lacks _fast, which the upstream's {theirs.name} has"
    assert result.reason.encode() in bytes(builder.log)


async def test_a_c_extension_is_built_for_each_interpreter(
    builder: BuilderHarness, upstream: FakeIndex, oldest: Interpreter, newest: Interpreter
) -> None:
    job = sdists.make_job(upstream, "cext", sdists.extension_sdist("cext"))
    for interpreter in (oldest, newest):
        result = await builder.build(job, interpreter)
        assert result.outcome is Outcome.BUILT, builder.log.decode()
        assert f"-{interpreter.abi}-{interpreter.abi}-linux_" in result.files[0].filename
        inputs = (text.split() for text in result.build_inputs[2:])
        files = [words for words in inputs if words[0] != "env"]
        assert [name.partition("-")[0] for _, name in files] == ["pip", "setuptools"]
        assert all(len(sha256) == 64 for sha256, _ in files)


@pytest.mark.parametrize(
    ("compiled", "lacking"), [(True, True), pytest.param(False, False, marks=pytest.mark.slow)]
)
async def test_a_build_without_a_compiler_is_reported_if_the_sdist_has_sources_to_compile(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter, compiled: bool, lacking: bool
) -> None:
    content = (
        sdists.extension_sdist("maybe", "#error no") if compiled else sdists.sdist_running("maybe")
    )
    bare = msgspec.structs.replace(here, headers=False)
    job = sdists.make_job(upstream, "maybe", content)
    result = await builder.build(job, bare)
    assert result.outcome is (Outcome.FAILED if compiled else Outcome.BUILT)
    assert result.without_compiler is lacking
    assert not (await builder.build(job, here)).without_compiler, (
        "it is the machine that lacks something"
    )


async def test_a_build_does_not_see_the_environment_of_the_builder(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "/opt/private-wheels")
    monkeypatch.setenv("FARM_SECRET", "hunter2")
    body = """
    print("ENVIRONMENT", sorted(os.environ.items()))
    print("HOME", os.listdir(os.path.expanduser("~")), os.getuid(), os.listdir("/etc"))
    print("GIT", os.environ["GIT_ALLOW_PROTOCOL"], os.environ["SOURCE_DATE_EPOCH"])
    """
    result = await builder.build(
        sdists.make_job(upstream, "nosy", sdists.sdist_running("nosy", body)), here
    )
    assert result.outcome is Outcome.BUILT
    log = builder.log.decode()
    assert "HOME [] 1000" in log
    assert f"GIT file {int(sdists.RELEASED.timestamp())}" in log
    for secret in ("private-wheels", "hunter2", "shadow", "pip.conf", "resolv.conf"):
        assert secret not in log


async def test_a_build_for_armv6_gets_armv6_compiler_flags(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    body = """
    import sysconfig
    assert sysconfig.get_platform() == "linux-armv6l"
    assert "-march=armv6" in os.environ["CFLAGS"] and "-march=armv6" in os.environ["CXXFLAGS"]
    """
    zero = msgspec.structs.replace(here, arch="armv6l")
    result = await builder.build(
        sdists.make_job(upstream, "pure", sdists.sdist_running("pure", body)), zero
    )
    assert (result.outcome, result.reason) == (Outcome.BUILT, "")
    failed = await builder.build(
        sdists.make_job(upstream, "pure", sdists.sdist_running("pure", body)), here
    )
    assert failed.outcome is Outcome.FAILED


async def test_a_build_cannot_write_outside_its_directories(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter, tmp_path: Path
) -> None:
    body = f"""
    for path in ("/usr/x", "/etc/x", "/x", "/dev/x", "/proc/sys/kernel/core_pattern",
                 "/proc/sysrq-trigger", {str(here.base_prefix / "x")!r},
                 {str(tmp_path / "cache" / "x")!r}, os.path.dirname(sys.prefix) + "/etc/passwd"):
        try:
            open(path, "r+" if os.path.exists(path) else "w")
        except OSError:
            continue
        raise RuntimeError("could write " + path)
    """
    result = await builder.build(
        sdists.make_job(upstream, "vandal", sdists.sdist_running("vandal", body)), here
    )
    assert (result.outcome, result.reason) == (Outcome.BUILT, "")


# --- what fails, and what it is said to have failed of ---


async def test_a_failed_build_reports_the_error_line_of_its_log(
    builder: BuilderHarness, upstream: FakeIndex, newest: Interpreter
) -> None:
    head = "#include <no/such/header.h>"
    job = sdists.make_job(upstream, "broken", sdists.extension_sdist("broken", head))
    result = await builder.build(job, newest)
    assert result.outcome is Outcome.FAILED
    assert "fatal error: no/such/header.h: No such file or directory" in result.reason
    assert result.files == ()


async def test_an_exception_in_a_build_is_its_reason(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    body = "import numpy_that_nobody_has"
    result = await builder.build(
        sdists.make_job(upstream, "raising", sdists.sdist_running("raising", body)), here
    )
    assert result.outcome is Outcome.FAILED
    assert result.reason == "ModuleNotFoundError: No module named 'numpy_that_nobody_has'"


async def test_a_build_that_uses_the_network_fails(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    port = int(upstream.url.rstrip("/").rpartition(":")[2])
    body = f"socket.create_connection(('127.0.0.1', {port}), 5)"
    result = await builder.build(
        sdists.make_job(upstream, "caller", sdists.sdist_running("caller", body)), here
    )
    assert result.outcome is Outcome.FAILED
    assert result.reason == "ConnectionRefusedError: [Errno 111] Connection refused"


async def test_a_missing_dependency_fails_the_build(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    job = sdists.make_job(
        upstream, "needy", sdists.sdist_running("needy", requires='"no-such-thing>=3"')
    )
    result = await builder.build(job, here)
    assert result.outcome is Outcome.FAILED
    assert "No matching distribution found for no-such-thing>=3" in result.reason


async def test_a_dependency_that_the_upstream_cannot_serve_is_a_transient_failure(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    upstream.faults["/simple/slowpoke/"] = 503
    job = sdists.make_job(upstream, "needy", sdists.sdist_running("needy", requires='"slowpoke"'))
    result = await builder.build(job, here)
    assert result.outcome is Outcome.FETCH_FAILED
    assert "/simple/slowpoke/ answered 503" in result.reason


async def test_an_sdist_with_a_wrong_hash_is_downloaded_again_without_caches(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    job = sdists.make_job(upstream, "swapped", sdists.sdist_running("swapped"))
    path = next(path for path in upstream.files if "swapped" in path)
    upstream.files[path] += b"!"
    result = await builder.build(job, here)
    assert (result.outcome, result.failure_class) == (
        Outcome.FETCH_FAILED,
        FailureClass.DAMAGED_DOWNLOAD,
    )
    assert "swapped-1.0.tar.gz has sha256" in result.reason
    assert result.evidence.digest in result.reason
    requested = [
        headers.get("Cache-Control") for where, headers in upstream.requests if where == path
    ]
    assert requested == [None, "no-cache"]


async def test_a_web_page_instead_of_an_sdist_is_an_index_fault(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_retries, "_DELAYS_S", ())
    job = sdists.make_job(upstream, "portal", sdists.sdist_running("portal"))
    portal = sdists.make_job(upstream, "portal", sdists.sdist_running("portal"))
    upstream.pages["login"] = ("text/html", b"<html>log in</html>")
    login = msgspec.structs.replace(portal.sdist, url=f"{upstream.simple}login/")
    result = await builder.build(msgspec.structs.replace(job, sdist=login), here)
    assert (result.outcome, result.failure_class) == (
        Outcome.FETCH_FAILED,
        FailureClass.INDEX_FAULT,
    )


_SLOWPOKE = sdists.sdist_running("needy", requires='"slowpoke"')


@pytest.mark.parametrize(
    "content", [sdists.sdist_running("away"), _SLOWPOKE], ids=["sdist", "dependency"]
)
@pytest.mark.parametrize(
    "status", [pytest.param(status, marks=pytest.mark.slow) for status in (503, 403, 404)] + [429]
)
async def test_index_faults_are_not_failures_of_the_release(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter, status: int, content: bytes
) -> None:
    name = "needy" if content == _SLOWPOKE else "away"
    job = sdists.make_job(upstream, name, content)
    upstream.add("slowpoke", "slowpoke-1.0-py3-none-any.whl", b"x")
    away = "slowpoke" if name == "needy" else name
    (path,) = (path for path in upstream.files if away in path)
    upstream.faults[path] = status
    upstream.headers["Retry-After"] = "900"
    result = await builder.build(job, here)
    failure = FailureClass.FILE_GONE if status == 404 else FailureClass.INDEX_FAULT
    assert (result.outcome, result.failure_class) == (Outcome.FETCH_FAILED, failure)
    assert result.evidence.disk_free_bytes


async def test_a_long_retry_after_is_passed_to_the_master(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    job = sdists.make_job(upstream, "away", sdists.sdist_running("away"))
    upstream.faults[""] = 503
    upstream.headers["Retry-After"] = "900"
    result = await builder.build(job, here)
    assert (result.failure_class, result.evidence.retry_after_s) == (FailureClass.INDEX_FAULT, 900)


async def test_a_job_can_have_a_longer_timeout_than_the_builder(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    builder.set_limits(timeout_s=0.01)
    job = sdists.make_job(upstream, "slow", sdists.sdist_running("slow"))
    short = await builder.build(job, here)
    assert short.failure_class in {FailureClass.TIMED_OUT, FailureClass.INDEX_FAULT}
    longer = await builder.build(msgspec.structs.replace(job, min_timeout_s=600.0), here)
    assert longer.outcome is Outcome.BUILT, longer.reason


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [("md5", "verified by the md5 of the index"), ("", "not verified: the index has no hash")],
)
async def test_an_sdist_without_a_sha256_is_built(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter, algorithm: str, message: str
) -> None:
    content = sdists.sdist_running("pure")
    job = sdists.make_job(upstream, "pure", content)
    digest = f"md5={hashlib.md5(content).hexdigest()}" if algorithm else ""
    sdist = msgspec.structs.replace(job.sdist, sha256="", digest=digest)
    result = await builder.build(msgspec.structs.replace(job, sdist=sdist), here)
    assert result.outcome is Outcome.BUILT
    line = f"pure-1.0.tar.gz sha256 {hashlib.sha256(content).hexdigest()}, {message}"
    assert line.encode() in builder.log


@pytest.mark.parametrize("whole", [b"this is no archive", None])
async def test_an_unreadable_sdist_is_a_bad_sdist(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter, whole: bytes | None
) -> None:
    content = whole or sdists.sdist_running("cut")[:200]
    result = await builder.build(sdists.make_job(upstream, "cut", content), here)
    assert result.outcome is Outcome.BAD_SDIST
    assert "the sdist cannot be read" in result.reason


def _hostile_sdists() -> dict[str, bytes]:
    sound = {"pure-1.0/pyproject.toml": "", "pure-1.0/setup.py": ""}
    base = [(sdists.member(name, size=len(text)), text.encode()) for name, text in sound.items()]
    links = [
        (sdists.member("pure-1.0/setup.py", tarfile.SYMTYPE, link="/etc/passwd"), b""),
        (sdists.member("pure-1.0/up", tarfile.LNKTYPE, link="../../etc/shadow"), b""),
    ]
    devices = [
        (sdists.member("pure-1.0/null", tarfile.CHRTYPE), b""),
        (sdists.member("pure-1.0/pipe", tarfile.FIFOTYPE), b""),
    ]
    deep = "/".join(["pure-1.0", *("d" * 20 for _ in range(4))])
    return {
        "links": sdists.hostile_archive("pure", *base, *links),
        "devices": sdists.hostile_archive("pure", *base, *devices),
        "outside": sdists.hostile_archive("pure", *base, (sdists.member("../../evil.py"), b"")),
        "size": sdists.hostile_archive(
            "pure", *base, (sdists.member("pure-1.0/x", size=2**32), b"x")
        ),
        "names": sdists.hostile_archive(
            "pure", *base, (sdists.member("pure-1.0/\udcff\udcfe"), b"")
        ),
        "deep": sdists.hostile_archive("pure", *base, (sdists.member(deep), b"")),
        "many": sdists.hostile_archive(
            "pure", *base, *((sdists.member(f"pure-1.0/{number}"), b"") for number in range(3000))
        ),
        "zip": b"PK\x05\x06" + b"\xff" * 18,
        "metadata": sdists.archive("pure", {"pyproject.toml": "[" * 100_000, "PKG-INFO": "\0"}),
    }


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=() if kind in {"outside", "names"} else pytest.mark.slow)
        for kind in sorted(_hostile_sdists())
    ],
)
async def test_no_invalid_archive_is_a_builder_failure(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter, kind: str
) -> None:
    result = await builder.build(sdists.make_job(upstream, "pure", _hostile_sdists()[kind]), here)
    assert result.outcome in {Outcome.FAILED, Outcome.BAD_SDIST, Outcome.REFUSED}
    assert result.reason
    assert result.reason.isprintable()


async def test_a_missing_sdist_is_a_transient_failure(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    job = sdists.make_job(upstream, "gone", sdists.sdist_running("gone"))
    upstream.files = {path: data for path, data in upstream.files.items() if "gone" not in path}
    result = await builder.build(job, here)
    assert result.outcome is Outcome.FETCH_FAILED
    assert "gone-1.0.tar.gz is no longer on the index" in result.reason


async def test_requests_to_a_failing_upstream_are_retried_before_the_build_fails(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_retries, "_DELAYS_S", (0.01, 0.01))
    upstream.faults[""] = 502
    job = sdists.make_job(upstream, "later", sdists.sdist_running("later"))
    result = await builder.build(job, here)
    assert result.outcome is Outcome.FETCH_FAILED
    assert len(upstream.requests) == 3
    assert builder.phases == ["fetching"]


async def test_a_missing_interpreter_is_a_builder_failure(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter, tmp_path: Path
) -> None:
    gone = msgspec.structs.replace(here, executable=tmp_path / "python3.99")
    result = await builder.build(
        sdists.make_job(upstream, "pure", sdists.sdist_running("pure")), gone
    )
    assert result.outcome is Outcome.BUILDER_FAILED
    assert "python3.99" in result.reason


@pytest.mark.parametrize(
    "filename",
    ["../../evil.tar.gz", f"{'e' * 300}.tar.gz", "sandbox_entry.py", "wheels", "e\0.zip", ""],
    ids=lambda text: text[:10],
)
async def test_a_hostile_file_name_does_not_escape_its_directory(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter, filename: str
) -> None:
    job = sdists.make_job(upstream, "pure", sdists.sdist_running("pure"))
    hostile = msgspec.structs.replace(job.sdist, filename=filename)
    result = await builder.build(msgspec.structs.replace(job, sdist=hostile), here)
    assert result.outcome is Outcome.BAD_SDIST


# --- limits ---


async def test_daemons_that_a_build_starts_are_killed(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter, marker: str
) -> None:
    body = daemonizing_script(marker)
    job = sdists.make_job(upstream, "forking", sdists.sdist_running("forking", body))
    result = await builder.build(job, here)
    assert result.outcome is Outcome.BUILT
    assert processes_with(marker) == []


async def test_a_build_that_never_ends_is_killed_at_its_timeout(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter, marker: str
) -> None:
    body = f"""
    {daemonizing_script(marker)}
    while True:
        try:
            time.sleep(100)
        except BaseException:
            pass
    """
    job = sdists.make_job(upstream, "forever", sdists.sdist_running("forever", body))
    limit_s, begun = 1.5, False
    while not begun:  # a busy machine may not come to it in so short a time
        limit_s *= 2
        builder.set_limits(timeout_s=limit_s)
        building = asyncio.create_task(builder.build(job, here))
        while not building.done():
            begun = begun or bool(processes_with(marker))
            await asyncio.sleep(0.05)
        result = await building
        assert processes_with(marker) == []
    assert result.outcome is Outcome.TIMED_OUT
    assert result.reason.startswith(f"not done after {format_duration(limit_s)} (")
    assert 0 < result.evidence.cpu_s < WAIT_S, "it was busy for a moment, and idle after that"
    assert result.evidence.limit_s == limit_s
    assert result.duration_s < limit_s + WAIT_S


async def test_a_canceled_build_has_no_processes(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter, marker: str
) -> None:
    body = f"subprocess.call(['sleep', '{marker}'])"
    job = sdists.make_job(upstream, "unwanted", sdists.sdist_running("unwanted", body))
    building = asyncio.create_task(builder.build(job, here))
    await wait_until(lambda: processes_with(marker))
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(building, WAIT_S)
    assert processes_with(marker) == []
    assert not list(builder.folder.glob("*/scratch"))


@pytest.mark.parametrize(
    "body",
    [
        "data = bytearray(2 << 30)",
        """
        for _ in range(8):
            if os.fork() == 0:
                data = b"x" * (100 << 20)
                time.sleep(60)
        time.sleep(60)
        """,
        """
        import mmap
        shared = mmap.mmap(-1, 600 << 20)
        shared[::4096] = bytes(len(shared) // 4096)
        time.sleep(60)
        """,
    ],
    ids=["in one process", "in many", "in none of its own"],
)
async def test_a_build_that_uses_too_much_memory_is_out_of_memory(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter, body: str
) -> None:
    builder.set_limits(memory_bytes=400 << 20)
    result = await builder.build(
        sdists.make_job(upstream, "greedy", sdists.sdist_running("greedy", body)), here
    )
    assert result.outcome is Outcome.OUT_OF_MEMORY
    assert "emory" in result.reason


async def test_a_file_larger_than_the_limit_fails_the_build(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    builder.set_limits(file_bytes=20 << 20)
    body = "open('big', 'wb').write(bytes(30 << 20))"
    result = await builder.build(
        sdists.make_job(upstream, "big", sdists.sdist_running("big", body)), here
    )
    assert (result.outcome, result.reason) == (
        Outcome.FAILED,
        "OSError: [Errno 27] File too large",
    )


async def test_a_full_disk_in_the_sandbox_is_a_transient_failure(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    body = "open('/dev/shm/big', 'wb').write(bytes(65 << 20))"
    result = await builder.build(
        sdists.make_job(upstream, "full", sdists.sdist_running("full", body)), here
    )
    assert (result.outcome, result.reason) == (
        Outcome.DISK_FULL,
        "OSError: [Errno 28] No space left on device",
    )


@pytest.mark.parametrize(
    ("limit", "message"),
    [("disk_reserve_bytes", "MiB of disk were left"), ("inode_reserve", "files")],
)
async def test_a_build_is_ended_when_the_disk_is_nearly_full(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter, limit: str, message: str
) -> None:
    builder.set_limits(**{limit: 1 << 60})
    result = await builder.build(
        sdists.make_job(upstream, "pure", sdists.sdist_running("pure")), here
    )
    assert result.outcome is Outcome.DISK_FULL
    assert message in result.reason


async def test_a_set_uid_program_of_a_build_is_inaccessible_to_others(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    """It opens the one folder that it owns; the one above is the builder's."""
    opened: list[tuple[int, int]] = []

    def look(_: bytes) -> None:
        for trap in builder.folder.glob("job-*/scratch/trap"):
            mode = trap.parents[1].stat().st_mode & 0o777
            opened.append((mode, trap.stat().st_mode & 0o7777))

    body = (
        "import shutil; os.chmod('/build', 0o777); shutil.copy('/bin/true', '/build/trap'); "
        "os.chmod('/build/trap', 0o4755); print('made', flush=True); time.sleep(1)"
    )
    builder.log = _Listening(look)
    await builder.build(sdists.make_job(upstream, "pure", sdists.sdist_running("pure", body)), here)
    assert (0o700, 0o4755) in opened
    assert {mode for mode, _ in opened} == {0o700}


class _Listening(bytearray):
    """A log that calls a function for each piece that is added."""

    def __init__(self, listener: Callable[[bytes], None]) -> None:
        super().__init__()
        self._listener = listener

    def extend(self, data: bytes) -> None:  # type: ignore[override]
        """Add a piece."""
        super().extend(data)
        self._listener(data)


async def test_the_directories_of_a_build_are_always_removed(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    body = """
        here = os.open(".", os.O_RDONLY)
        os.chdir("/build/home")
        os.makedirs("closed/inner")
        os.symlink("/etc", "closed/link")
        os.chmod("closed/inner", 0)
        os.chmod("closed", 0o100)
        for _ in range(3000):  # deeper than a path can say, or Python call itself
            os.mkdir("deeper")
            os.chdir("deeper")
        os.fchdir(here)
    """
    result = await builder.build(
        sdists.make_job(upstream, "deep", sdists.sdist_running("deep", body)), here
    )
    assert result.outcome is Outcome.BUILT
    assert not list(builder.folder.glob("*/scratch"))
    assert Path("/etc/passwd").exists()


# --- what pip leaves ---


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "no wheel of it"),
        ("touch other-1.0-py3-none-any.whl", "no wheel of it"),
        ("ln -s /etc/shadow pure-1.0-py3-none-any.whl", "is unusable"),
        ("mkfifo pure-1.0-py3-none-any.whl", "not a regular file"),
        ("mkdir pure-1.0-py3-none-any.whl", "not a regular file"),
        ("touch pure-1.0-py3-none-any.whl pure-1.0-cp39-cp39-any.whl", "more than one wheel"),
        ("cd .. && rmdir wheels && ln -s /etc wheels", "wheels is unusable"),
        ("cd .. && rmdir wheels", "wheels is unusable"),
        ("chmod 0 .", "unusable|no wheel of it"),
        ("chmod 0 ..", "unusable|no wheel of it"),
        ("printf x > \"$(printf 'pure-\\3771.0-py3-none-any.whl')\"", "no wheel of it"),
        (f"touch pure-{'9' * 200}.{'9' * 30}-py3-none-any.whl", "no wheel of it"),
        (SOCKET, "is unusable"),
        ("seq 10100 | xargs touch", "more than 10000 files"),
    ],
    ids=lambda text: text[:30],
)
async def test_exactly_one_wheel_of_the_project_is_accepted(  # noqa: PLR0917
    builder: BuilderHarness,
    upstream: FakeIndex,
    here: Interpreter,
    monkeypatch: pytest.MonkeyPatch,
    body: str,
    reason: str,
) -> None:
    script = 'print("--- piwheels: preparing ---", flush=True)\nimport os\n'
    script += f"os.chdir('/build/wheels')\nraise SystemExit(os.system({body!r}) if {body!r} else 0)"
    hostile = builder.folder.parent / "hostile.py"
    hostile.write_text(script)
    monkeypatch.setattr(sandbox_entry, "__file__", str(hostile))
    result = await builder.build(
        sdists.make_job(upstream, "pure", sdists.sdist_running("pure")), here
    )
    assert result.outcome is Outcome.FAILED
    assert re.search(reason, result.reason)
    assert result.files == ()


@pytest.mark.parametrize("status", [sandbox_entry.VENV_FAILED, sandbox_entry.BAD_SDIST, 137, 255])
async def test_an_exit_status_of_a_build_is_never_a_builder_failure(
    builder: BuilderHarness,
    upstream: FakeIndex,
    here: Interpreter,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
) -> None:
    script = "".join(
        f'print("--- piwheels: {phase} ---", flush=True)\n' for phase in ("preparing", "building")
    )
    hostile = builder.folder.parent / "hostile.py"
    hostile.write_text(f"{script}raise SystemExit({status})")
    monkeypatch.setattr(sandbox_entry, "__file__", str(hostile))
    result = await builder.build(
        sdists.make_job(upstream, "pure", sdists.sdist_running("pure")), here
    )
    assert result.outcome in {Outcome.FAILED, Outcome.BAD_SDIST, Outcome.OUT_OF_MEMORY}


async def test_an_error_while_the_result_is_checked_is_a_failure_of_the_release(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object) -> str:
        raise KeyError("odd")

    monkeypatch.setattr(failure_classification, "classify", wrong)
    result = await builder.build(
        sdists.make_job(upstream, "bad", sdists.sdist_running("bad", "1 / 0")), here
    )
    assert (result.outcome, result.reason) == (
        Outcome.FAILED,
        "its output cannot be inspected: KeyError: 'odd'",
    )


# --- without a sandbox ---


@pytest.fixture
async def bare(upstream: FakeIndex, tmp_path: Path) -> AsyncIterator[BuilderHarness]:
    async with SimpleIndex(upstream.simple) as index:
        yield builder_for(index, tmp_path, NoSandbox())


async def test_the_log_says_that_there_is_no_sandbox_and_directories_are_removed(
    bare: BuilderHarness, upstream: FakeIndex, here: Interpreter, marker: str
) -> None:
    body = daemonizing_script(marker)
    result = await bare.build(
        sdists.make_job(upstream, "free", sdists.sdist_running("free", body)), here
    )
    assert result.outcome is Outcome.BUILT, bare.log.decode()
    assert bare.log.startswith(b"*** no sandbox: this build runs with all permissions")
    assert processes_with(marker) == []


async def test_a_canceled_build_without_a_sandbox_has_no_processes(
    bare: BuilderHarness, upstream: FakeIndex, here: Interpreter, marker: str
) -> None:
    body = f"{daemonizing_script(marker)}; time.sleep(100)"
    job = sdists.make_job(upstream, "free", sdists.sdist_running("free", body))
    building = asyncio.create_task(bare.build(job, here))
    await wait_until(lambda: len(processes_with(marker)) > 1)
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    assert processes_with(marker) == []
