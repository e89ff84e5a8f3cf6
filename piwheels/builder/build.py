"""One build: fetches an sdist, builds a wheel from it with pip in the sandbox, and inspects it.

Every problem of the sdist, the index, the limits or the builder becomes an outcome with a reason
of one line. Only a cancellation is raised, and it leaves nothing running.
"""

import asyncio
import errno
import json
import logging
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from piwheels import untrusted_names
from piwheels.builder import sandbox_entry
from piwheels.builder.build_environment import (
    build_environment,
    reproducible_variables,
    with_compiler_options,
)
from piwheels.builder.build_errors import BuildFailedError, DownloadFailedError
from piwheels.builder.build_log import ADDING_PACKAGES, TRYING_AGAIN, BuildLog, OnLog, OnPhase
from piwheels.builder.build_system import BuildSystem, HostSystem, RootSystem
from piwheels.builder.download_retries import fetch_with_retries
from piwheels.builder.failure_classification import classify_failure, recorded_cause
from piwheels.builder.file_cache import FileCache
from piwheels.builder.import_check import ImportCheck, ImportPolicy, clean_system
from piwheels.builder.index_proxy import IndexProxy
from piwheels.builder.job_tries import JobTries, try_rules
from piwheels.builder.missing_packages import package_index
from piwheels.builder.package_rounds import MAX_ROUNDS, MakeLayer, add_packages
from piwheels.builder.pip_bytecode import compile_pip
from piwheels.builder.pip_provider import Pip, PipProvider
from piwheels.builder.process_runner import Limits, ProcessResult
from piwheels.builder.recipe_steps import (
    CONSTRAINTS_FILE,
    describe_recipe,
    recipe_environment,
    recipe_for,
    write_constraints,
    write_patches,
)
from piwheels.builder.rmtree import remove_tree
from piwheels.builder.sandbox import Sandbox, SandboxCommand
from piwheels.builder.upstream_wheel import upstream_wheel_tail
from piwheels.builder.wheel_collection import collect_wheel
from piwheels.causes import IndexRecord
from piwheels.errors import RejectedError, TransientError
from piwheels.index_client.client import SimpleIndex
from piwheels.model import (
    FailureClass,
    FailureEvidence,
    Interpreter,
    Job,
    Outcome,
    Recipe,
    Sdist,
    projection,
)
from piwheels.protocol.messages import (
    MAX_INPUT_CHARS,
    MAX_INPUTS,
    MAX_PACKAGES,
    ArtifactInfo,
    BuildFinished,
)
from piwheels.sanitize import truncate_line
from piwheels.wheel.inspect import WheelInfo
from piwheels.wheel.isolated_read import WheelSurvey, needs_compiler, survey_wheel

log = logging.getLogger(__name__)

_SDIST_SUFFIXES = (
    ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tlz", ".tar.lz",
    ".tar.lzma",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What all builds of a builder share."""

    sandbox: Sandbox
    limits: Limits
    cache: FileCache
    pips: PipProvider
    upstream: SimpleIndex
    farm: SimpleIndex | None = None  # the farm's own index, preferred to upstream
    crates: SimpleIndex | None = None  # a cargo sparse registry
    path: tuple[Path, ...] = ()  # directories of programs, before those of the system
    speed: float = 0.0  # of this builder, as `model.BuilderCapability` defines it
    make_layer: MakeLayer | None = None  # adds packages to roots; None if there are no roots
    import_check: ImportPolicy = ImportPolicy.OFF


async def build(
    job: Job,
    interpreter: Interpreter,
    *,
    workdir: Path,
    options: BuildOptions,
    on_log: OnLog,
    on_phase: OnPhase,
    system: BuildSystem = HostSystem(),  # noqa: B008 - it is immutable
) -> BuildFinished:
    """Build a job; returns the message that reports how it ended.

    Args:
        job: what to build.
        interpreter: the target's Python.
        workdir: an existing folder of this build alone. The wheel is left in its `wheels`;
            everything else is removed.
        options: what all builds share.
        on_log: receives the log as it grows.
        on_phase: receives "fetching", "preparing", "building", "inspecting" and "importing", after
            "adding PACKAGES" on a root and "trying again"; with ", emulated" on a root of
            another processor.
        system: what it runs on.

    Raises:
        CancelledError: this task was canceled; all processes of the build have ended.
    """
    # Nobody else can reach a set-uid program that a build leaves in it.
    workdir.chmod(0o700)
    started_at = time.monotonic()
    emulated = ", emulated" if system.mount and system.mount.emulated else ""
    build_log = BuildLog(on_log, lambda phase: on_phase(f"{phase}{emulated}"))
    tries = JobTries(try_rules(job, recipe_for(job), interpreter, system))
    task = _BuildTask(job, interpreter, workdir, options, build_log, system, tries)
    finished = await _run(task)
    task.log.write_marker(": ".join(filter(None, (finished.outcome, finished.reason))))
    return replace(
        finished,
        duration_s=time.monotonic() - started_at,
        build_inputs=tuple(text[:MAX_INPUT_CHARS] for text in task.build_inputs[:MAX_INPUTS]),
        without_compiler=task.without_compiler,
        added_packages=task.added_packages,
        **_peaks(task.process_result),
        phases=build_log.phases,
    )


async def _run(task: "_BuildTask") -> BuildFinished:
    """Run the steps of a build; returns its outcome, and the wheel or why there is none."""
    try:
        survey = await task.run()
        problems = (survey.completeness.missing, await task.import_problem(survey.info))
    except BuildFailedError as error:
        failed = error
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        outcome = Outcome.DISK_FULL if full else Outcome.BUILDER_FAILED
        failed = BuildFailedError(outcome, f"the builder: {error}")
    else:
        return BuildFinished(
            build=task.job.build_id,
            outcome=Outcome.BUILT,
            reason="; ".join(filter(None, problems)),
            duration_s=0.0,
            files=(await _artifact_info(survey.info, task.system),),
        )
    finally:
        await asyncio.to_thread(remove_tree, task.scratch_dir)
    return BuildFinished(
        build=task.job.build_id,
        outcome=failed.outcome,
        reason=truncate_line(" ".join(str(failed).split()), 500),
        duration_s=0.0,
        failure_class=failed.failure_class,
        evidence=task.evidence(failed),
    )


@dataclass(slots=True)
class _BuildTask:
    """The steps of one build."""

    job: Job
    interpreter: Interpreter
    workdir: Path
    options: BuildOptions
    log: BuildLog
    system: BuildSystem
    tries: JobTries
    pip: Pip | None = None
    source: str = ""  # "<sha256> <filename>" of the sdist
    sent_files: tuple[str, ...] = ()  # that the index proxy sent during the last try
    process_result: ProcessResult | None = None
    deadline: float = 0.0  # of all tries, on the monotonic clock
    rounds: int = 0  # in which packages were added
    without_compiler: bool = False  # as in BuildFinished

    @property
    def limits(self) -> Limits:
        """The builder's limits, with a longer timeout if job, recipe or emulation needs one."""
        limits, recipe = self.options.limits, self.recipe
        recipe_s = recipe.time_limit_s if recipe else 0.0
        timeout_s = max(limits.timeout_s, self.job.min_timeout_s, recipe_s) * self.system.slowdown
        return replace(limits, timeout_s=timeout_s)

    @property
    def recipe(self) -> Recipe | None:
        """The recipe that applies to this build."""
        return recipe_for(self.job)

    @property
    def added_packages(self) -> tuple[str, ...] | None:
        """The packages that were added; None if none can be."""
        if not isinstance(self.system, RootSystem) or self.options.make_layer is None:
            return None
        return self.system.requested[:MAX_PACKAGES]

    @property
    def day(self) -> date | None:
        """The day at whose end the index is shown; None for the index as it is."""
        return self.tries.current.day or (self.recipe.tools_date if self.recipe else None)

    @property
    def build_inputs(self) -> tuple[str, ...]:
        """The system, source, recipe and tries of the build, and its downloads, for its record."""
        if self.pip is None:
            return ()
        recipe = describe_recipe(self.recipe) if self.recipe else ()
        tries = self.tries.describe()
        path = (f"path {folder}" for folder in self.path)
        python = f"python {self.interpreter.version} {self.interpreter.abi}"
        variables = (f"env {it}" for it in reproducible_variables(self._plain_environment()))
        own = (*self.system.inputs, python, f"source {self.source}", *path, self.pip.provenance)
        return (*own, *variables, *recipe, *tries, *self.sent_files)

    @property
    def path(self) -> tuple[Path, ...]:
        """The directories of programs of the settings, which are for this machine's processor."""
        mount = self.system.mount
        return () if mount is not None and mount.emulated else self.options.path

    @property
    def scratch_dir(self) -> Path:
        """The folder that the sandbox may write to."""
        return self.workdir / "scratch"

    @property
    def wheels_dir(self) -> Path:
        """Where the wheel is left."""
        return self.workdir / "wheels"

    def evidence(self, failed: BuildFailedError) -> FailureEvidence:
        """Measurements that describe a failure, taken after the scratch folder was removed."""
        limits, result = self.limits, self.process_result
        download = failed if isinstance(failed, DownloadFailedError) else None
        return FailureEvidence(
            stop=str(result.limit_exceeded or "") if result else "",
            cpu_s=result.cpu_s if result else 0.0,
            limit_s=limits.timeout_s,
            speed=self.options.speed / self.system.slowdown,
            peak_memory_bytes=result.peak_memory_bytes if result else 0,
            memory_limit_bytes=limits.memory_bytes,
            process_limit=limits.processes,
            file_limit_bytes=limits.file_bytes,
            disk_reserve_bytes=limits.disk_reserve_bytes,
            disk_free_bytes=disk_free_bytes(self.workdir, limits),
            retry_after_s=download.retry_after_s if download else 0.0,
            digest=download.digest if download else "",
            **recorded_cause(failed.cause),
        )

    async def run(self) -> WheelSurvey:
        self._log_header()
        self.log.enter_phase("fetching")
        try:
            async with asyncio.timeout(self.limits.timeout_s):
                pip, sdist = await fetch_with_retries(self._fetch_once, self.log)
        except TimeoutError:
            raise BuildFailedError(
                Outcome.FETCH_FAILED, "the sdist was not downloaded in time"
            ) from None
        await compile_pip(pip, self.interpreter, self.system, self.options.sandbox)
        if self.system.missing_toolchain(self.interpreter):
            self.without_compiler = await needs_compiler(sdist)
        if self.recipe and self.recipe.packages:
            await self._add_packages(self.recipe.packages)
        self.deadline = time.monotonic() + self.limits.timeout_s
        while True:
            try:
                result = await self._run_pip(pip, sdist)
                return await self._read_result(result, sdist)
            except BuildFailedError as error:
                if not (await self._add_missing_packages(error) or self._begin_next_try(error)):
                    raise self._deciding_error() from None

    async def _read_result(self, result: ProcessResult, sdist: Path) -> WheelSurvey:
        try:
            return await self._inspect_result(result, sdist)
        except (BuildFailedError, OSError):
            raise
        except RejectedError as error:
            raise BuildFailedError(Outcome.REFUSED, str(error)) from None
        except Exception as error:
            # Any other error here is caused by the build's output, not by the builder.
            log.exception("inspecting %s %s", self.job.project, self.job.version)
            text = f"its output cannot be inspected: {type(error).__name__}: {error}"
            raise BuildFailedError(Outcome.FAILED, text) from error

    def _log_header(self) -> None:
        job = self.job
        if self.options.sandbox.warning:
            self.log.write_line(self.options.sandbox.warning)
        self.log.write_marker(f"{job.project} {job.version} for {job.target}")
        if self.system.description:
            self.log.write_marker(self.system.description)
        for line in describe_recipe(self.recipe) if self.recipe else ():
            self.log.write_marker(line)
        if missing := self.system.missing_toolchain(self.interpreter):
            self.log.write_marker(missing)
        if not self.system.has_executable(self.interpreter):
            raise BuildFailedError(
                Outcome.BUILDER_FAILED,
                f"the interpreter {self.interpreter.executable} no longer exists",
            )
        if not _is_sdist_filename(job.sdist.filename):
            raise BuildFailedError(
                Outcome.BAD_SDIST, f"{job.sdist.filename[:200]!r} is not the file name of an sdist"
            )

    # --- fetching ---

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
        verification = _describe_verification(sdist)
        self.log.write_marker(f"{sdist.filename} sha256 {path.name}, {verification}")
        self.pip, self.source = pip, f"{path.name} {sdist.filename}"
        return pip, path

    # --- building ---

    async def _run_pip(self, pip: Pip, sdist: Path) -> ProcessResult:
        options = self.options
        await asyncio.to_thread(remove_tree, self.scratch_dir)
        options.sandbox.prepare(self.scratch_dir)
        shutil.copyfile(sdist, self.scratch_dir / self.job.sdist.filename)
        shutil.copyfile(sandbox_entry.__file__, self.scratch_dir / "sandbox_entry.py")
        (self.scratch_dir / "wheels").mkdir()
        command = self._sandbox_command(pip)
        self.sent_files = ()
        only = self.job.only_inputs
        proxy = IndexProxy(
            self._indexes, options.cache, day=self.day, crates=options.crates, only=only
        )
        async with proxy.serving(self.scratch_dir / "index.sock"):
            try:
                result = self.process_result = await options.sandbox.run(command, self.log.write)
            finally:
                self.sent_files = proxy.sent_files
        if result.status != 0 and result.limit_exceeded is None and proxy.last_error is not None:
            raise DownloadFailedError(proxy.last_error) from proxy.last_error
        return result

    def _sandbox_command(self, pip: Pip) -> SandboxCommand:
        task = self.scratch_dir / "task.json"
        paths = {
            name: self._path_inside(filename)
            for name, filename in {
                "sdist": self.job.sdist.filename,
                "venv": "venv",
                "wheels": "wheels",
                "socket": "index.sock",
                "source": "source",
            }.items()
        }
        patches = write_patches(self.recipe, self.scratch_dir) if self.recipe else []
        paths["patches"] = "\n".join(
            self._path_inside(f"patches/{patch.name}") for patch in patches
        )
        paths["requirements"] = "\n".join(self.tries.current.requirements)
        paths["generates"] = "yes" if self.tries.current.generates else ""
        paths["crates"] = "yes" if self.options.crates else ""
        task.write_text(json.dumps({"pip": str(pip.script), **paths}))
        python = self.interpreter.executable
        entry = self._path_inside("sandbox_entry.py")
        own = (self.interpreter.base_prefix, python) if self.system.mount is None else ()
        return SandboxCommand(
            command=(str(python), "-I", entry, self._path_inside(task.name)),
            environment=self._environment(),
            work_dir=self.scratch_dir,
            limits=replace(self.limits, timeout_s=self.deadline - time.monotonic()),
            readable_paths=(*own, pip.folder, *map(_installation, self.path)),
            mount=self.system.mount,
        )

    @property
    def _indexes(self) -> list[SimpleIndex]:
        """The indexes that a build sees, the preferred first."""
        options = self.options
        return [index for index in (options.farm, options.upstream) if index is not None]

    def _plain_environment(self) -> dict[str, str]:
        return build_environment(
            home=self._path_inside("home"),
            temporary_dir=self._path_inside("tmp"),
            released_at=self.job.released_at,
            arch=self.interpreter.arch,
            path=self.path,
        )

    def _environment(self) -> dict[str, str]:
        environment = self._plain_environment()
        if self.recipe is not None:
            constrained = write_constraints(self.recipe, self.scratch_dir)
            file = self._path_inside(CONSTRAINTS_FILE) if constrained else ""
            environment |= recipe_environment(self.recipe, file)
        return with_compiler_options(environment, self.tries.current.compiler_options)

    def _path_inside(self, name: str) -> str:
        return self.options.sandbox.path_inside(self.scratch_dir, self.scratch_dir / name)

    async def _add_missing_packages(self, error: BuildFailedError) -> bool:
        """Add the packages that a failed round lacked to the root; whether another one can help."""
        failure_class, cause = error.failure_class, error.cause
        if failure_class is None or not failure_class.lacks_packages or cause is None:
            return False
        if self.rounds >= MAX_ROUNDS or not cause.packages:
            return False
        self.rounds += 1
        return await self._add_packages(cause.packages)

    def _begin_next_try(self, error: BuildFailedError) -> bool:
        """Begin to build again after a failure that no package repairs; False if nothing helps."""
        following = self.tries.begin_next(error, self.process_result, self.system)
        if following is None:
            if len(self.tries.failures) > 1:
                self.log.write_marker(str(error))
            return False
        self.log.enter_phase(TRYING_AGAIN)
        self.log.write_marker(f"{error.failure_class}: trying again with the {following}")
        self.log.start_round()
        return True

    def _deciding_error(self) -> BuildFailedError:
        """The error of the try that says how the job ended."""
        deciding = self.tries.deciding()
        self.process_result = deciding.result
        return deciding.error

    async def _add_packages(self, packages: Sequence[str]) -> bool:
        """Add packages to the root, if the build runs on one; whether it has more than before."""
        system, make_layer = self.system, self.options.make_layer
        if not isinstance(system, RootSystem) or make_layer is None:
            return False
        self.log.enter_phase(ADDING_PACKAGES, f"adding {', '.join(packages)}")
        try:
            self.system, notice = await add_packages(system, packages, make_layer)
        except TransientError as error:
            raise DownloadFailedError(error) from None
        self.log.write_marker(notice)
        self.log.start_round()
        return self.system is not system

    # --- inspecting ---

    async def import_problem(self, wheel: WheelInfo) -> str:
        """Why the wheel cannot be imported, in one line; "" if it can, or is not checked.

        Raises:
            BuildFailedError: it cannot, and such wheels are refused.
        """
        options = self.options
        if options.import_check is ImportPolicy.OFF or self.pip is None:
            return ""
        self.log.enter_phase("importing")
        await asyncio.to_thread(remove_tree, self.scratch_dir)
        check = ImportCheck(
            sandbox=options.sandbox,
            system=await clean_system(self.system, wheel.needed_libraries, options.make_layer),
            interpreter=self.interpreter,
            pip=self.pip,
            limits=self.limits,
            environment=self._plain_environment(),
            scratch_dir=self.scratch_dir,
            log=self.log,
            serve_index=IndexProxy(self._indexes, options.cache).serving,
        )
        try:
            problem = await check.problem(self.wheels_dir / wheel.filename)
        except OSError as error:  # a full disk, for example: the wheel is built all the same
            self.log.write_marker(f"not imported: {error}")
            return ""
        if problem and options.import_check is ImportPolicy.REFUSE:
            raise BuildFailedError(Outcome.REFUSED, problem, FailureClass.REJECTED)
        return problem

    async def _inspect_result(self, result: ProcessResult, sdist: Path) -> WheelSurvey:
        if result.status != 0 or result.limit_exceeded is not None:
            packages = await asyncio.to_thread(package_index, self.interpreter.os)
            index = IndexRecord(partial=self.day is not None)
            raise classify_failure(result, self.limits, self.log, packages, index)
        self.log.enter_phase("inspecting")
        wheel = await asyncio.to_thread(
            collect_wheel, self.scratch_dir, self.wheels_dir, self.job.project
        )
        upstream = await upstream_wheel_tail(self.options.upstream, self.job, self.interpreter)
        survey = await survey_wheel(wheel, sdist, upstream=upstream)
        if survey.completeness.rejection:
            reason = f"{wheel.name}: {survey.completeness.rejection}"
            raise BuildFailedError(Outcome.REFUSED, reason, FailureClass.EMPTY_WHEEL)
        return survey


def _installation(programs: Path) -> Path:
    """What a directory of programs belongs to: a toolchain has its libraries beside its `bin`."""
    return programs.parent if programs.name == "bin" else programs


async def _artifact_info(info: WheelInfo, system: BuildSystem) -> ArtifactInfo:
    packages = await asyncio.to_thread(system.needed_packages, info.needed_libraries)
    return projection(ArtifactInfo, info, debian_packages=packages[:MAX_PACKAGES])


def _peaks(result: ProcessResult | None) -> dict[str, Any]:
    """The most memory and disk that a build used, as fields of its report."""
    if result is None:
        return {}
    return {
        "peak_memory_bytes": result.peak_memory_bytes,
        "peak_disk_bytes": result.peak_disk_bytes,
    }


def disk_free_bytes(folder: Path, limits: Limits) -> int:
    """The free disk space where builds write; 0 if there are too few inodes for more files."""
    disk = os.statvfs(folder)
    # Some file systems (btrfs) allocate inodes on demand and report none.
    if disk.f_files and disk.f_favail < limits.inode_reserve:
        return 0
    return disk.f_bavail * disk.f_frsize


def _describe_verification(sdist: Sdist) -> str:
    """How a downloaded sdist was verified."""
    if sdist.sha256:
        return "as on the index"
    if sdist.digest:
        return f"verified by the {sdist.digest.partition('=')[0]} of the index, which has no sha256"
    return "not verified: the index has no hash of it"


def _is_sdist_filename(text: str) -> bool:
    """Whether it is a file name of an sdist, and not one of a build's own files."""
    return (
        Path(text).name == text
        and text.isprintable()
        and len(os.fsencode(text)) <= untrusted_names.MAX_FILENAME_BYTES
        and text.lower().endswith(_SDIST_SUFFIXES)
    )
