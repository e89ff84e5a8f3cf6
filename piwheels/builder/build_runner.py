"""Builds jobs on this machine: its interpreters, sandbox and limits, from the configuration."""

import contextlib
import platform
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

import msgspec

from piwheels.builder.bubblewrap import Bubblewrap, find_bubblewrap
from piwheels.builder.build import BuildOptions, build
from piwheels.builder.build_log import OnPhase
from piwheels.builder.build_system import BuildSystem, HostSystem, RootSystem
from piwheels.builder.cpu_benchmark import measure_speed
from piwheels.builder.debian_packages import installed_packages
from piwheels.builder.file_cache import FileCache
from piwheels.builder.import_check import ImportPolicy
from piwheels.builder.job_dir import JobDir
from piwheels.builder.no_sandbox import NoSandbox
from piwheels.builder.pip_provider import PipProvider
from piwheels.builder.process_runner import Limits
from piwheels.builder.root_systems import HOST, Roots, with_machine
from piwheels.builder.sandbox import Sandbox
from piwheels.builder.sandbox_check import check_sandbox
from piwheels.config import BuilderSection, RootSection
from piwheels.errors import ConfigError
from piwheels.index_client.client import SimpleIndex
from piwheels.model import HostMetrics, Interpreter, Job, Outcome, Target
from piwheels.protocol.messages import (
    MAX_INSTALLED,
    PROTOCOL,
    BuildFinished,
    Hello,
)
from piwheels.roots.store import MadeRoot
from piwheels.sanitize import truncate_line
from piwheels.system.board import board_model
from piwheels.system.interpreters import probe_interpreter
from piwheels.system.metrics import read_metrics
from piwheels.system.os_release import os_name
from piwheels.system.sdnotify import sd_notify
from piwheels.system.throttling import ThrottleMonitor
from piwheels.wheel.tags import target_of

IDLE_STATUS = "waiting for a job"

_MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class BuildRunner:
    """What the master client needs of this machine: its description, its metrics, and builds."""

    options: BuildOptions
    interpreters: dict[str, Interpreter]  # by the name of the target
    systems: dict[str, BuildSystem]  # likewise
    targets: tuple[Target, ...]
    work_dir: Path
    sandboxed: bool
    instance: str = field(default_factory=lambda: uuid.uuid4().hex)
    throttle_monitor: ThrottleMonitor = field(default_factory=ThrottleMonitor)

    def describe(self, current_build: int | None, last_build: int) -> Hello:
        """The Hello of this builder."""
        return Hello(
            protocol=PROTOCOL,
            version=version("piwheels"),
            targets=self.targets,
            platform=f"{platform.system().lower()} {platform.machine()}",
            board=board_model(),
            os=self._os(),
            host=self.host_metrics(),
            sandboxed=self.sandboxed,
            build_timeout_s=self.options.limits.timeout_s,
            memory_limit_bytes=self.options.limits.memory_bytes,
            disk_reserve_bytes=self.options.limits.disk_reserve_bytes,
            process_limit=self.options.limits.processes,
            file_limit_bytes=self.options.limits.file_bytes,
            speed=self.options.speed,
            current_build=current_build,
            last_build=last_build,
            instance=self.instance,
            targets_without_compiler=self.targets_without_compiler(),
            layer_targets=tuple(
                name for name, system in self.systems.items() if isinstance(system, RootSystem)
            ),
            installed_packages=installed_packages()[:MAX_INSTALLED],
            roots=tuple(dict.fromkeys(root.record.state for root in self._roots())),
        )

    def _roots(self) -> list[MadeRoot]:
        systems = self.systems.values()
        return [system.root for system in systems if isinstance(system, RootSystem)]

    def _os(self) -> str:
        """This machine's system, and the roots that builds run on."""
        names = dict.fromkeys(
            f"{system.root.record.name}{' (emulated)' if system.mount.emulated else ''}"
            for system in self.systems.values()
            if isinstance(system, RootSystem)
        )
        return truncate_line(f"{os_name()}; roots {', '.join(names)}") if names else os_name()

    def targets_without_compiler(self) -> tuple[str, ...]:
        """The targets for which this machine now lacks a C compiler or the headers of Python."""
        return tuple(
            name
            for name, interpreter in self.interpreters.items()
            if self.systems[name].missing_toolchain(interpreter)
        )

    def recheck_compilers(self) -> tuple[str, ...]:
        """As `targets_without_compiler`, after probing interpreters without headers again."""
        for name in self.targets_without_compiler():
            if self.systems[name].mount is not None:
                continue  # a root changes only with a restart
            known = self.interpreters[name]
            with contextlib.suppress(ConfigError):
                headers = probe_interpreter(str(known.path)).headers
                self.interpreters[name] = msgspec.structs.replace(known, headers=headers)
        return self.targets_without_compiler()

    def host_metrics(self) -> HostMetrics:
        """The machine's metrics now."""
        throttled = self.throttle_monitor.read()
        return msgspec.structs.replace(
            read_metrics(self.work_dir),
            throttled=throttled.now,
            throttled_s=throttled.last_hour_s,
        )

    async def run(self, job: Job, job_dir: JobDir, on_phase: OnPhase) -> BuildFinished:
        """Build a job; returns the message for the master."""
        interpreter = self.interpreters.get(job.target)
        if interpreter is None:
            reason = f"this builder has no interpreter for {job.target}"
            return BuildFinished(
                build=job.build_id, outcome=Outcome.BUILDER_FAILED, reason=reason, duration_s=0.0
            )
        sd_notify(f"STATUS=building {job.project} {job.version} for {job.target}")
        try:
            return await build(
                job,
                interpreter,
                workdir=job_dir.folder,
                options=self.options,
                on_log=job_dir.append_log,
                on_phase=on_phase,
                system=self.systems[job.target],
            )
        finally:
            sd_notify(f"STATUS={IDLE_STATUS}")


async def create_build_runner(
    config: BuilderSection,
    upstream: SimpleIndex,
    farm: SimpleIndex | None,
    pip_indexes: Sequence[SimpleIndex],
    sections: Mapping[str, RootSection] = MappingProxyType({}),
    *,
    crates: SimpleIndex | None = None,
) -> BuildRunner:
    """Check the interpreters, the sandbox and the work folder.

    Args:
        config: the builder's settings.
        upstream: the upstream index.
        farm: the farm's own index, or None.
        pip_indexes: where pip comes from if upstream has none.
        sections: the settings of roots, by name.
        crates: a cargo sparse registry, or None.

    Raises:
        ConfigError: an interpreter, the sandbox or the work folder cannot be used.
    """
    try:
        config.work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"{config.work_dir} (builder.work_dir): {error.strerror}") from None
    sandbox: Sandbox = NoSandbox()
    if config.sandbox:
        sandbox = Bubblewrap(find_bubblewrap(), readable_paths=config.extra_readonly_paths)
    await check_sandbox(sandbox, config.work_dir)
    roots = Roots(config, sections) if set(config.roots) - {HOST} else None
    systems = await _served_systems(config, roots)
    served = {target_of(interpreter): (interpreter, system) for interpreter, system in systems}
    cache = FileCache(
        config.work_dir / "cache",
        max_bytes=config.max_cache_mb * _MB,
        max_file_bytes=config.max_file_mb * _MB,
    )
    options = BuildOptions(
        sandbox=sandbox,
        limits=_limits(config),
        cache=cache,
        pips=PipProvider(upstream, cache, config.work_dir / "pips", fallback_indexes=pip_indexes),
        upstream=upstream,
        farm=farm,
        crates=crates,
        path=config.path,
        speed=measure_speed(),
        make_layer=roots.layer if roots else None,
        import_check=ImportPolicy(config.import_check),
    )
    return BuildRunner(
        options=options,
        interpreters={target.name: item for target, (item, _) in served.items()},
        systems={target.name: system for target, (_, system) in served.items()},
        targets=tuple(served),
        work_dir=config.work_dir,
        sandboxed=config.sandbox,
    )


async def _served_systems(
    config: BuilderSection, roots: Roots | None
) -> list[tuple[Interpreter, BuildSystem]]:
    """Each interpreter to build for, and its system: this machine's, and those of roots."""
    found: list[tuple[Interpreter, BuildSystem]] = []
    names = config.roots or (HOST,)
    if HOST in names:
        found += [
            (with_machine(probe_interpreter(path), config.machine), HostSystem())
            for path in config.interpreters or (sys.executable,)
        ]
    if roots is not None:
        for name in names:
            if name != HOST:
                found += await roots.interpreters(name)
    return found


def _limits(config: BuilderSection) -> Limits:
    memory = config.max_memory_mb * _MB or read_metrics(config.work_dir).memory_total * 3 // 4
    return Limits(
        timeout_s=config.build_timeout_s,
        memory_bytes=memory,
        file_bytes=config.max_file_mb * _MB,
        disk_reserve_bytes=config.min_free_disk_mb * _MB,
        processes=config.max_processes,
    )
