"""One build: an sdist fetched, made into a wheel by pip in the sandbox, and judged.

Whatever goes wrong with the sdist, the index, the limits or the builder is an outcome with
a reason of one line; only a cancellation is raised, and leaves nothing running.
"""

import asyncio
import errno
import itertools
import json
import logging
import os
import shutil
import signal
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from piwheels import names
from piwheels.builder import sandbox_entry
from piwheels.builder.download_errors import classify_download_error, retry_after_s
from piwheels.builder.file_cache import FileCache
from piwheels.builder.index_proxy import IndexProxy
from piwheels.builder.log_analysis import find_error_line, last_line, resource_shortage
from piwheels.builder.pip_provider import Pip, PipProvider
from piwheels.builder.process_runner import LimitExceeded, Limits, ProcessResult
from piwheels.builder.rmtree import remove_tree
from piwheels.builder.sandbox import Sandbox, SandboxCommand
from piwheels.builder.upstream_wheel import upstream_wheel_tail
from piwheels.causes.policy import failure_class_of
from piwheels.errors import PiwheelsError, RejectedError, TransientError
from piwheels.model import FailureClass, FailureEvidence, Interpreter, Job, Outcome, Sdist, Struct
from piwheels.sanitize import truncate_line
from piwheels.simple_index.client import DigestError, SimpleIndex
from piwheels.system.interpreters import missing_toolchain
from piwheels.wheel.inspect import WheelInfo
from piwheels.wheel.isolated_read import WheelSurvey, needs_compiler, survey_wheel

log = logging.getLogger(__name__)

OnLog = Callable[[bytes], None]
OnPhase = Callable[[str], None]

_LOG_TAIL_BYTES = 256 * 1024
_FETCH_DELAYS_S = (1.0, 4.0, 15.0)
_MAX_RETRY_AFTER_S = 60.0  # an index may ask for more, but a builder has other jobs
_ZIP_EPOCH = 315532800  # 1980-01-01: a zip, and so a wheel, knows no earlier time
_ARMV6_FLAGS = "-march=armv6 -mfpu=vfp -mfloat-abi=hard -marm"
#: What a build is told to build for, where that can differ from the machine that it runs on:
#: what sysconfig, and so the wheel's tag, says of the platform, and the flags of compilers.
_ARCH_ENVIRONMENTS = {
    "armv6l": {
        "_PYTHON_HOST_PLATFORM": "linux-armv6l",
        "CFLAGS": _ARMV6_FLAGS,
        "CXXFLAGS": _ARMV6_FLAGS,
        "FFLAGS": _ARMV6_FLAGS,
        "GOARM": "6",
    }
}
_SDIST_SUFFIXES = (
    ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tlz", ".tar.lz",
    ".tar.lzma",
)  # fmt: skip
_MAX_ENTRIES = 10_000
#: Where a build looks for programs.
BUILD_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What all builds of a builder share."""

    sandbox: Sandbox
    limits: Limits
    cache: FileCache
    pips: PipProvider
    upstream: SimpleIndex
    farm: SimpleIndex | None = None  # the farm's own index, preferred to upstream
    speed: float = 0.0  # of this builder, as `model.Fitness` has it


class BuildResult(Struct, frozen=True, kw_only=True):
    """What came of a build."""

    outcome: Outcome
    reason: str = ""  # one line: the failing line of the log; if it was built, what it lacks
    wheels: tuple[Path, ...] = ()  # in <workdir>/wheels; one, if it was built
    wheel_info: WheelInfo | None = None  # of that wheel
    build_inputs: tuple[
        str, ...
    ] = ()  # "<sha256> <filename>" (or "installed pip-26.3") beside the sdist
    duration_s: float
    failure_class: FailureClass | None = None  # None if it was built
    evidence: FailureEvidence = FailureEvidence()
    compiler_missing: bool = (
        False  # the builder has no C compiler, and the sdist has sources for one
    )


class _BuildFailedError(PiwheelsError):
    """A build ends here, with an outcome; the message is the reason."""

    def __init__(self, outcome: Outcome, reason: str, failure: FailureClass | None = None) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.failure_class = failure or failure_class_of(outcome)


class _DownloadError(_BuildFailedError):
    """A build ends here, for an index did not give it what it needs."""

    def __init__(self, error: PiwheelsError) -> None:
        super().__init__(Outcome.FETCH_FAILED, str(error), classify_download_error(error))
        self.retry_after_s = retry_after_s(error)
        self.digest = error.digest if isinstance(error, DigestError) else ""


async def build(
    job: Job,
    interpreter: Interpreter,
    *,
    workdir: Path,
    options: BuildOptions,
    on_log: OnLog,
    on_phase: OnPhase,
) -> BuildResult:
    """Carry out a job.

    Args:
        job: what to build.
        interpreter: the target's Python.
        workdir: an existing folder of this build alone. The wheel is left in its `wheels`;
            all else is removed.
        options: what all builds share.
        on_log: gets the log as it grows.
        on_phase: is told "fetching", "preparing", "building" and "inspecting".

    Raises:
        CancelledError: this task was cancelled; everything of the build is dead by then.
    """
    # What a build may write to lies in it: nobody else reaches a set-uid program that it leaves.
    workdir.chmod(0o700)
    began = time.monotonic()
    work = _BuildTask(job, interpreter, workdir, options, _BuildLog(on_log, on_phase))
    facts: WheelInfo | None = None
    lacks = ""
    over: _BuildFailedError | None = None
    try:
        survey = await work.run()
        facts, lacks = survey.info, survey.completeness.missing
    except _BuildFailedError as error:
        over = error
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        outcome = Outcome.DISK_FULL if full else Outcome.BUILDER_FAILED
        over = _BuildFailedError(outcome, f"the builder: {error}")
    finally:
        await asyncio.to_thread(remove_tree, work.scratch_dir)
    outcome = over.outcome if over else Outcome.BUILT
    reason = _single_line(str(over)) if over else lacks
    work.log.write_marker(f"{outcome}{': ' if reason else ''}{reason}")
    return BuildResult(
        outcome=outcome,
        reason=reason,
        wheels=(work.wheels / facts.filename,) if facts else (),
        wheel_info=facts,
        build_inputs=work.build_inputs,
        duration_s=time.monotonic() - began,
        failure_class=over.failure_class if over else None,
        evidence=work.evidence(over) if over else FailureEvidence(),
        compiler_missing=work.compiler_missing,
    )


@dataclass(slots=True)
class _BuildLog:
    """The log on its way out: its tail is kept, and the lines that tell a phase are heeded."""

    on_log: OnLog
    on_phase: OnPhase
    tail: bytearray = field(default_factory=bytearray)
    phase: str = ""
    _partial_line: bytes = b""

    def write(self, data: bytes) -> None:
        """Take what the build wrote."""
        self.on_log(data)
        self.tail += data
        del self.tail[:-_LOG_TAIL_BYTES]
        *lines, rest = (self._partial_line + data).split(b"\n")
        self._partial_line = rest[-200:]
        for line in lines:
            self._check_phase(line)

    def _check_phase(self, line: bytes) -> None:
        # The build may write such a line itself: only the next phase is believed.
        following = {"fetching": "preparing", "preparing": "building"}.get(self.phase)
        if following and line.strip() == f"{sandbox_entry.PHASE_PREFIX}{following} ---".encode():
            self.enter_phase(following)

    def enter_phase(self, phase: str) -> None:
        self.phase = phase
        self.on_phase(phase)

    def write_marker(self, text: str) -> None:
        """Add a line of our own."""
        self.on_log(f"{sandbox_entry.PHASE_PREFIX}{text} ---\n".encode(errors="replace"))


@dataclass(slots=True)
class _BuildTask:
    """A job on its way from sdist to wheel."""

    job: Job
    interpreter: Interpreter
    workdir: Path
    options: BuildOptions
    log: _BuildLog
    build_inputs: tuple[str, ...] = ()
    process_result: ProcessResult | None = None
    compiler_missing: bool = False  # Result.lacking

    @property
    def limits(self) -> Limits:
        """The builder's limits, with the longer time that a job may have."""
        limits = self.options.limits
        return replace(limits, timeout_s=max(limits.timeout_s, self.job.min_timeout_s))

    def evidence(self, over: _BuildFailedError) -> FailureEvidence:
        """What was measured around a failure; called when everything is cleared away."""
        limits, ended = self.limits, self.process_result
        download = over if isinstance(over, _DownloadError) else None
        return FailureEvidence(
            stop=str(ended.limit_exceeded or "") if ended else "",
            cpu_s=ended.cpu_s if ended else 0.0,
            limit_s=limits.timeout_s,
            speed=self.options.speed,
            peak_memory_bytes=ended.peak_memory_bytes if ended else 0,
            memory_limit_bytes=limits.memory_bytes,
            disk_reserve_bytes=limits.disk_reserve_bytes,
            disk_free_bytes=disk_free_bytes(self.workdir, limits),
            retry_after_s=download.retry_after_s if download else 0.0,
            digest=download.digest if download else "",
        )

    @property
    def scratch_dir(self) -> Path:
        """The folder that the sandbox may write to."""
        return self.workdir / "room"

    @property
    def wheels(self) -> Path:
        """Where the wheel is left."""
        return self.workdir / "wheels"

    async def run(self) -> WheelSurvey:
        self._log_header()
        self.log.enter_phase("fetching")
        try:
            async with asyncio.timeout(self.limits.timeout_s):
                pip, sdist = await self._fetch_with_retries()
        except TimeoutError:
            raise _BuildFailedError(
                Outcome.FETCH_FAILED, "the sdist did not arrive in time"
            ) from None
        if missing_toolchain(self.interpreter, BUILD_PATH):
            self.compiler_missing = await needs_compiler(sdist)
        ended = await self._run_pip(pip, sdist)
        try:
            return await self._inspect_result(ended, sdist)
        except (_BuildFailedError, OSError):
            raise
        except RejectedError as error:
            raise _BuildFailedError(Outcome.REFUSED, str(error)) from None
        except Exception as error:
            # From here on all that can go wrong is what the build left: never the builder.
            log.exception("judging %s %s", self.job.project, self.job.version)
            text = f"what it left cannot be judged: {type(error).__name__}: {error}"
            raise _BuildFailedError(Outcome.FAILED, text) from error

    async def _inspect_result(self, ended: ProcessResult, sdist: Path) -> WheelSurvey:
        if ended.status != 0 or ended.limit_exceeded is not None:
            raise self._classify_failure(ended)
        self.log.enter_phase("inspecting")
        wheel = await asyncio.to_thread(self._collect_wheel)
        upstream = await upstream_wheel_tail(self.options.upstream, self.job, self.interpreter)
        survey = await survey_wheel(wheel, sdist, upstream=upstream)
        if survey.completeness.rejection:
            raise _BuildFailedError(
                Outcome.REFUSED, f"{wheel.name}: {survey.completeness.rejection}"
            )
        return survey

    def _log_header(self) -> None:
        job = self.job
        if self.options.sandbox.warning:
            self.log.on_log(f"{self.options.sandbox.warning}\n".encode())
        self.log.write_marker(f"{job.project} {job.version} for {job.target}")
        if lacking := missing_toolchain(self.interpreter, BUILD_PATH):
            self.log.write_marker(lacking)
        if not os.access(self.interpreter.executable, os.X_OK):
            raise _BuildFailedError(
                Outcome.BUILDER_FAILED,
                f"the interpreter {self.interpreter.executable} is not there any more",
            )
        if not _is_sdist_filename(job.sdist.filename):
            raise _BuildFailedError(
                Outcome.BAD_SDIST, f"{job.sdist.filename[:200]!r} is no file name of an sdist"
            )

    # --- fetching ---

    async def _fetch_with_retries(self) -> tuple[Pip, Path]:
        delays = iter(_FETCH_DELAYS_S)
        past_caches = False
        while True:
            try:
                return await self._fetch_once(bypass_caches=past_caches)
            except DigestError as error:
                if past_caches:
                    raise _DownloadError(error) from None
                self.log.write_marker(f"{error}; trying again past caches")
                past_caches = True
            except RejectedError as error:
                raise _DownloadError(error) from None
            except TransientError as error:
                delay_s = next(delays, None)
                if delay_s is None or error.retry_after_s > _MAX_RETRY_AFTER_S:
                    raise _DownloadError(error) from None
                self.log.write_marker(f"{error}; trying again")
                await asyncio.sleep(max(delay_s, error.retry_after_s))

    async def _fetch_once(self, *, bypass_caches: bool) -> tuple[Pip, Path]:
        options, sdist = self.options, self.job.sdist
        pip = await options.pips.get(self.interpreter.version)
        path = await options.cache.get(
            options.upstream,
            sdist.url,
            sdist.sha256,
            digest=sdist.digest,
            size_bytes=sdist.size_bytes,
            bypass_caches=bypass_caches,
        )
        self.build_inputs = (pip.provenance,)
        self.log.write_marker(
            f"{sdist.filename} sha256 {path.name}, {_describe_verification(sdist)}"
        )
        return pip, path

    # --- building ---

    async def _run_pip(self, pip: Pip, sdist: Path) -> ProcessResult:
        options = self.options
        await asyncio.to_thread(remove_tree, self.scratch_dir)
        options.sandbox.prepare(self.scratch_dir)
        shutil.copyfile(sdist, self.scratch_dir / self.job.sdist.filename)
        shutil.copyfile(sandbox_entry.__file__, self.scratch_dir / "inside.py")
        (self.scratch_dir / "wheels").mkdir()
        errand = self._sandbox_command(pip)
        indexes = [index for index in (options.farm, options.upstream) if index is not None]
        proxy = IndexProxy(indexes, options.cache)
        async with proxy.serving(self.scratch_dir / "index.sock"):
            try:
                ended = self.process_result = await options.sandbox.run(errand, self.log.write)
            finally:
                self.build_inputs += proxy.sent_files
        if ended.status != 0 and ended.limit_exceeded is None and proxy.last_error is not None:
            raise _DownloadError(proxy.last_error)
        return ended

    def _sandbox_command(self, pip: Pip) -> SandboxCommand:
        task = self.scratch_dir / "task.json"
        places = {
            name: self._path_inside(path)
            for name, path in {
                "sdist": self.job.sdist.filename,
                "venv": "venv",
                "wheels": "wheels",
                "socket": "index.sock",
            }.items()
        }
        task.write_text(json.dumps({"pip": str(pip.script), **places}))
        python = self.interpreter.executable
        return SandboxCommand(
            command=(
                str(python),
                "-I",
                self._path_inside("inside.py"),
                self._path_inside(task.name),
            ),
            environment=self._environment(),
            work_dir=self.scratch_dir,
            limits=self.limits,
            readable_paths=(self.interpreter.base_prefix, python, pip.folder),
        )

    def _environment(self) -> dict[str, str]:
        """All that a build knows of the outside; nothing of this machine's pip configuration."""
        return {
            "PATH": BUILD_PATH,
            "HOME": self._path_inside("home"),
            "TMPDIR": self._path_inside("tmp"),
            "USER": "build",
            "LOGNAME": "build",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "NO_COLOR": "1",
            "PYTHONUNBUFFERED": "1",  # the log is followed while it grows
            "SOURCE_DATE_EPOCH": str(max(_ZIP_EPOCH, int(self.job.released_at.timestamp()))),
            "GIT_ALLOW_PROTOCOL": "file",
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "PIP_PROGRESS_BAR": "off",
            "PIP_DEFAULT_TIMEOUT": "900",  # a large file comes only when the proxy has all of it
            "PIP_RETRIES": "3",
            **_ARCH_ENVIRONMENTS.get(self.interpreter.arch, {}),
        }

    def _path_inside(self, name: str) -> str:
        return self.options.sandbox.path_inside(self.scratch_dir, self.scratch_dir / name)

    # --- judging ---

    def _classify_failure(self, ended: ProcessResult) -> _BuildFailedError:
        tail = bytes(self.log.tail)
        limits = self.limits
        match ended.limit_exceeded:
            case LimitExceeded.TIME:
                text = f"not done after {limits.timeout_s:.0f} s"
                text += f" ({ended.cpu_s:.0f} s of processor time)"
                return _BuildFailedError(Outcome.TIMED_OUT, text)
            case LimitExceeded.MEMORY:
                text = f"it used more than {limits.memory_bytes >> 20} MiB of memory"
                return _BuildFailedError(Outcome.OUT_OF_MEMORY, text)
            case LimitExceeded.PROCESSES:
                text = f"it ran more than {limits.processes} processes"
                return _BuildFailedError(Outcome.FAILED, text, FailureClass.LIMIT)
            case LimitExceeded.DISK:
                text = (
                    f"less than {limits.disk_reserve_bytes >> 20} MiB of disk were left, or room "
                    f"for less than {limits.inode_reserve} files"
                )
                return _BuildFailedError(Outcome.DISK_FULL, text)
        line = find_error_line(tail)
        if self.log.phase == "fetching":
            return _BuildFailedError(Outcome.BUILDER_FAILED, f"the sandbox did not start: {line}")
        # A build can have its parent exit as it likes, but only when it has begun.
        if ended.status == sandbox_entry.VENV_FAILED and self.log.phase == "preparing":
            return _BuildFailedError(
                Outcome.BUILDER_FAILED, f"no environment could be made: {line}"
            )
        if ended.status == sandbox_entry.BAD_SDIST:
            return _BuildFailedError(Outcome.BAD_SDIST, last_line(tail))
        if ended.status == 128 + signal.SIGKILL:
            text = "a process of it was killed (SIGKILL), as happens when memory runs out"
            return _BuildFailedError(resource_shortage(tail) or Outcome.OUT_OF_MEMORY, text)
        outcome = resource_shortage(tail) or Outcome.FAILED
        return _BuildFailedError(outcome, line or f"it ended with status {ended.status}")

    # --- collecting ---

    def _collect_wheel(self) -> Path:
        """Copy the project's one wheel to where no build writes.

        Raises:
            _OverError: there is none, or more than one.
        """
        source = os.open(self.scratch_dir, os.O_PATH | os.O_DIRECTORY)
        try:
            folder = _open_build_output("wheels", source, os.O_DIRECTORY)
            try:
                name = self._select_wheel(_list_output_dir(folder))
                target = self.wheels / name
                target.parent.mkdir(exist_ok=True)
                _copy_regular_file(name, folder, target)
            finally:
                os.close(folder)
        finally:
            os.close(source)
        return target

    def _select_wheel(self, found: list[str]) -> str:
        ours = [name for name in found if _project_of(name) == self.job.project]
        if len(ours) == 1:
            return ours[0]
        said = "more than one wheel: " + ", ".join(sorted(ours)) if ours else "no wheel of it"
        raise _BuildFailedError(Outcome.FAILED, f"pip succeeded, and made {said}")


def disk_free_bytes(folder: Path, limits: Limits) -> int:
    """How much is free where builds write: nothing, where there is no room for more files."""
    disk = os.statvfs(folder)
    # Some file systems (btrfs) make inodes as they are needed, and tell of none.
    if disk.f_files and disk.f_favail < limits.inode_reserve:
        return 0
    return disk.f_bavail * disk.f_frsize


def _describe_verification(sdist: Sdist) -> str:
    """By what an sdist was verified that arrived."""
    if sdist.sha256:
        return "as the index says"
    if sdist.digest:
        return f"verified by the {sdist.digest.partition('=')[0]} of the index, which has no sha256"
    return "not verified: the index gives no hash of it"


def _project_of(filename: str) -> str:
    try:
        return names.parse_wheel_filename(filename).project
    except RejectedError:
        return ""


def _is_sdist_filename(text: str) -> bool:
    """Whether it is a file name of an sdist, and none that a build's own files have."""
    return (
        Path(text).name == text
        and text.isprintable()
        and len(os.fsencode(text)) <= names.MAX_FILENAME_BYTES
        and text.lower().endswith(_SDIST_SUFFIXES)
    )


def _list_output_dir(folder: int) -> list[str]:
    """What is in a folder that a build wrote.

    Raises:
        _OverError: it holds far more than a wheel and its dependencies.
    """
    with os.scandir(folder) as entries:
        found = [entry.name for entry in itertools.islice(entries, _MAX_ENTRIES + 1)]
    if len(found) > _MAX_ENTRIES:
        raise _BuildFailedError(Outcome.FAILED, f"the build left more than {_MAX_ENTRIES} files")
    return found


def _open_build_output(name: str, folder: int, flags: int = 0) -> int:
    """Open what a build left, never what it only points to."""
    try:
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | flags, dir_fd=folder)
    except OSError as error:
        raise _BuildFailedError(
            Outcome.FAILED, f"the build's {name} is unusable: {error}"
        ) from None


def _copy_regular_file(name: str, folder: int, target: Path) -> None:
    descriptor = _open_build_output(name, folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _BuildFailedError(Outcome.FAILED, f"the build's {name} is not a regular file")
    with os.fdopen(descriptor, "rb") as file, target.open("wb") as copy:
        shutil.copyfileobj(file, copy, 1 << 20)


def _single_line(text: str) -> str:
    return truncate_line(" ".join(text.split()), 500)
