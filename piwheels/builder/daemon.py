"""The builder daemon: configuration in, a session with the master that builds in the sandbox."""

import asyncio
import contextlib
import logging
import platform
import signal
import sys
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import msgspec

from piwheels.builder.build import BUILD_PATH, BuildOptions, build
from piwheels.builder.debian_packages import needed_packages
from piwheels.builder.file_cache import FileCache
from piwheels.builder.job_dir import JobDir
from piwheels.builder.master_client import MasterAddresses, MasterClient, OnPhase
from piwheels.builder.pip_provider import PipProvider
from piwheels.builder.process_runner import Limits
from piwheels.builder.sandbox import Bubblewrap, NoSandbox, Sandbox, check_sandbox, find_bubblewrap
from piwheels.builder.speed import measure_speed
from piwheels.config import BuilderSection, Config
from piwheels.errors import EXIT_STAYS_ENDED, ConfigError, first_error
from piwheels.log_setup import configure_logging
from piwheels.model import HostMetrics, Interpreter, Job, Outcome, Target
from piwheels.protocol.keys import MASTER, KeyStore, validate_public_key
from piwheels.protocol.messages import (
    MAX_INPUT_CHARS,
    MAX_INPUTS,
    MAX_PACKAGES,
    PROTOCOL,
    ArtifactInfo,
    BuildFinished,
    Hello,
)
from piwheels.simple_index.client import SimpleIndex
from piwheels.simple_index.pip_config import pip_index_url
from piwheels.system.board import board_model
from piwheels.system.interpreters import missing_toolchain, probe_interpreter
from piwheels.system.metrics import read_metrics
from piwheels.system.os_release import os_name
from piwheels.system.sdnotify import sd_notify, watchdog_interval_s
from piwheels.wheel.inspect import WheelInfo
from piwheels.wheel.tags import target_of

log = logging.getLogger(__name__)

_MB = 1024 * 1024
_TOOLCHAIN_CHECK_INTERVAL_S = 30.0
_IDLE_STATUS = "waiting for a job"


@dataclass(slots=True)
class _ExitCode:
    value: int = 0


def run(config: Config) -> int:
    """Run a builder until it is stopped or drained; returns the exit code.

    Raises:
        ConfigError: no sandbox, no such interpreter, no key, or the master will not have it.
    """
    configure_logging()
    return asyncio.run(_run_until_stopped(config.builder, config.upstream.url))


async def _run_until_stopped(config: BuilderSection, upstream: str) -> int:
    stopped = asyncio.Event()
    exit_code = _ExitCode()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(_serve(config, upstream, stopped, exit_code))
            alive = group.create_task(_send_watchdog_pings())
            await stopped.wait()
            sd_notify("STOPPING=1")
            alive.cancel()
            serving.cancel()
    except BaseExceptionGroup as errors:
        raise first_error(errors) from errors
    return exit_code.value


async def _send_watchdog_pings() -> None:
    every_s = watchdog_interval_s() or 60.0
    while True:
        sd_notify("WATCHDOG=1")
        await asyncio.sleep(every_s)


def _simple_index(url: str) -> SimpleIndex:
    """An index as builders read it: by this name access logs count no download of theirs."""
    return SimpleIndex(url, user_agent="piwheels-builder")


async def _serve(
    config: BuilderSection, upstream: str, stopped: asyncio.Event, exit_code: _ExitCode
) -> None:
    async with AsyncExitStack() as stack:
        index = await stack.enter_async_context(_simple_index(upstream or pip_index_url()))
        farm = None
        if config.farm_index_url:
            farm = await stack.enter_async_context(_simple_index(config.farm_index_url))
        other = _fallback_pip_index(config, index)
        others = [await stack.enter_async_context(other)] if other is not None else []
        workshop = await _create_runner(config, index, farm, others)
        session = MasterClient(
            addresses=_master_addresses(config),
            describe=workshop.describe,
            host_metrics=workshop.host_metrics,
            build=workshop.run,
            job_dir=JobDir(config.work_dir / "job"),
        )
        for interpreter in workshop.interpreters.values():
            if lacking := missing_toolchain(interpreter, BUILD_PATH):
                log.warning("%s", lacking)
        sd_notify(f"READY=1\nSTATUS={_IDLE_STATUS}")
        watching = asyncio.create_task(_watch_toolchain(workshop, session))
        stack.callback(watching.cancel)
        reason = await session.run()
        log.info("the master said to stop: %s", reason)
        exit_code.value = 0 if session.restart_after_shutdown else EXIT_STAYS_ENDED
        stopped.set()


async def _watch_toolchain(workshop: "BuildRunner", session: MasterClient) -> None:
    """Tell the master when a C compiler is installed here, or removed."""
    known = workshop.targets_without_compiler()
    while True:
        await asyncio.sleep(_TOOLCHAIN_CHECK_INTERVAL_S)
        found = await asyncio.to_thread(workshop.recheck_compilers)
        if found != known:
            log.info("targets without a C compiler are now: %s", ", ".join(found) or "none")
            known = found
            session.announce_again()


def _fallback_pip_index(config: BuilderSection, upstream: SimpleIndex) -> SimpleIndex | None:
    """Where pip comes from if the upstream has none; None if that is no other index.

    Raises:
        UsageError: the configuration names something that is no index.
    """
    try:
        other = _simple_index(config.pip_index_url or pip_index_url())
    except ConfigError:
        if config.pip_index_url:
            raise
        return None  # this machine's pip takes packages from a folder
    return None if other.url == upstream.url else other


async def _create_runner(
    config: BuilderSection,
    index: SimpleIndex,
    farm: SimpleIndex | None,
    pip_indexes: Sequence[SimpleIndex],
) -> "BuildRunner":
    """Check what building needs before the master is asked for work.

    Raises:
        ConfigError: an interpreter, the sandbox or the work folder cannot be used.
    """
    interpreters = [
        _with_machine(probe_interpreter(path), config.machine)
        for path in config.interpreters or (sys.executable,)
    ]
    served = {target_of(item): item for item in interpreters}
    try:
        config.work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"{config.work_dir} (builder.work_dir): {error.strerror}") from None
    sandbox: Sandbox = NoSandbox()
    if config.sandbox:
        sandbox = Bubblewrap(find_bubblewrap(), readable_paths=config.extra_readonly_paths)
    await check_sandbox(sandbox, config.work_dir)
    cache = FileCache(
        config.work_dir / "cache",
        max_bytes=config.max_cache_mb * _MB,
        max_file_bytes=config.max_file_mb * _MB,
    )
    options = BuildOptions(
        sandbox=sandbox,
        limits=_limits(config),
        cache=cache,
        pips=PipProvider(index, cache, config.work_dir / "pips", fallback_indexes=pip_indexes),
        upstream=index,
        farm=farm,
        speed=measure_speed(),
    )
    return BuildRunner(
        options=options,
        interpreters={target.name: item for target, item in served.items()},
        targets=tuple(served),
        work_dir=config.work_dir,
        sandboxed=config.sandbox,
    )


def _with_machine(found: Interpreter, machine: str) -> Interpreter:
    """The interpreter as one that builds for this machine; "" for its own.

    Raises:
        ConfigError: its system cannot run what it would build.
    """
    if machine in {"", found.arch}:
        return found
    if found.arch != "armv7l":
        raise ConfigError(
            f"builder.machine: {found.path} is for {found.arch}; only an interpreter of a 32-bit "
            f"ARM system can build for {machine}"
        )
    return msgspec.structs.replace(found, arch=machine)


def _limits(config: BuilderSection) -> Limits:
    memory = config.max_memory_mb * _MB or read_metrics(config.work_dir).memory_total * 3 // 4
    return Limits(
        timeout_s=config.build_timeout_s,
        memory_bytes=memory,
        file_bytes=config.max_file_mb * _MB,
        disk_reserve_bytes=config.min_free_disk_mb * _MB,
        processes=config.max_processes,
    )


@dataclass(frozen=True, slots=True)
class BuildRunner:
    """What a session needs of the machine: a description, measurements, and builds."""

    options: BuildOptions
    interpreters: dict[str, Interpreter]  # by the name of the target
    targets: tuple[Target, ...]
    work_dir: Path
    sandboxed: bool
    instance: str = field(default_factory=lambda: uuid.uuid4().hex)

    def describe(self, busy: int | None) -> Hello:
        """Describe this builder."""
        return Hello(
            protocol=PROTOCOL,
            version=version("piwheels"),
            targets=self.targets,
            platform=f"{platform.system().lower()} {platform.machine()}",
            board=board_model(),
            os=os_name(),
            host=self.host_metrics(),
            sandboxed=self.sandboxed,
            build_timeout_s=self.options.limits.timeout_s,
            memory_limit_bytes=self.options.limits.memory_bytes,
            disk_reserve_bytes=self.options.limits.disk_reserve_bytes,
            speed=self.options.speed,
            current_build=busy,
            instance=self.instance,
            targets_without_compiler=self.targets_without_compiler(),
        )

    def targets_without_compiler(self) -> tuple[str, ...]:
        """The targets for which this machine has no C compiler now, or no headers of Python."""
        return tuple(
            name
            for name, interpreter in self.interpreters.items()
            if missing_toolchain(interpreter, BUILD_PATH)
        )

    def recheck_compilers(self) -> tuple[str, ...]:
        """As `lacking`, after asking the interpreters that lacked headers for them again."""
        for name in self.targets_without_compiler():
            known = self.interpreters[name]
            with contextlib.suppress(ConfigError):
                headers = probe_interpreter(str(known.path)).headers
                self.interpreters[name] = msgspec.structs.replace(known, headers=headers)
        return self.targets_without_compiler()

    def host_metrics(self) -> HostMetrics:
        """How the machine is now."""
        return read_metrics(self.work_dir)

    async def run(self, job: Job, outbox: JobDir, phase: OnPhase) -> BuildFinished:
        """Build a job, and describe what came of it."""
        interpreter = self.interpreters.get(job.target)
        if interpreter is None:
            reason = f"this builder has no interpreter for {job.target}"
            return BuildFinished(
                build=job.build_id, outcome=Outcome.BUILDER_FAILED, reason=reason, duration_s=0.0
            )
        sd_notify(f"STATUS=building {job.project} {job.version} for {job.target}")
        try:
            result = await build(
                job,
                interpreter,
                workdir=outbox.folder,
                options=self.options,
                on_log=outbox.append_log,
                on_phase=phase,
            )
        finally:
            sd_notify(f"STATUS={_IDLE_STATUS}")
        return BuildFinished(
            build=job.build_id,
            outcome=result.outcome,
            reason=result.reason,
            duration_s=result.duration_s,
            files=(await _artifact_info(result.wheel_info),) if result.wheel_info else (),
            build_inputs=tuple(text[:MAX_INPUT_CHARS] for text in result.build_inputs[:MAX_INPUTS]),
            failure_class=result.failure_class,
            evidence=result.evidence,
            compiler_missing=result.compiler_missing,
        )


async def _artifact_info(facts: WheelInfo) -> ArtifactInfo:
    packages = await asyncio.to_thread(needed_packages, facts.needed_libraries)
    return ArtifactInfo(
        filename=facts.filename,
        size_bytes=facts.size_bytes,
        sha256=facts.sha256,
        debian_packages=packages[:MAX_PACKAGES],
    )


def _master_addresses(config: BuilderSection) -> MasterAddresses:
    keys = KeyStore(config.key_dir)
    master = config.master_key
    if not master:
        own = keys.pair(MASTER)
        if own is None:
            raise ConfigError(
                "builder.master_key is not set: it is the master's public key, as "
                "`piw key list` prints it there"
            )
        master = own.public
    place = f"[{config.master}]" if ":" in config.master else config.master  # IPv6 as in a URL
    return MasterAddresses(
        builder_address=f"tcp://{place}:{config.master_port}",
        upload_address=f"tcp://{place}:{config.upload_port}",
        key=keys.require(config.key_name),
        master_key=validate_public_key(master, "builder.master_key"),
    )
