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

from piwheels import host
from piwheels.builder.build import BUILD_PATH, BuildOptions, build
from piwheels.builder.cache import FileCache
from piwheels.builder.debian import needed_packages
from piwheels.builder.outbox import Outbox
from piwheels.builder.pips import Pips
from piwheels.builder.processes import Limits
from piwheels.builder.sandbox import Bubblewrap, NoSandbox, Sandbox, check, find_bubblewrap
from piwheels.builder.session import BuilderSession, Endpoints, Phase
from piwheels.builder.speed import measure_speed
from piwheels.config import BuilderSection, Config
from piwheels.errors import ConfigError, first_of
from piwheels.model import Job, Outcome, Target
from piwheels.protocol.keys import MASTER, KeyStore, checked_public_key
from piwheels.protocol.messages import (
    MOST_INPUT_CHARS,
    MOST_INPUTS,
    MOST_PACKAGES,
    PROTOCOL,
    Built,
    FileOffer,
    Hello,
    HostState,
)
from piwheels.simpleapi import SimpleIndex, configured_index
from piwheels.wheel.file import WheelFacts
from piwheels.wheel.tags import target_of

log = logging.getLogger(__name__)

_MB = 1024 * 1024
_TOOLCHAIN_S = 30.0
_WAITING = "waiting for a job"


def run(config: Config) -> int:
    """Run a builder until it is stopped or drained; returns the exit code.

    Raises:
        ConfigError: no sandbox, no such interpreter, no key, or the master will not have it.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return asyncio.run(_until_stopped(config.builder, config.upstream.url))


async def _until_stopped(config: BuilderSection, upstream: str) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(_serve(config, upstream, stopped))
            alive = group.create_task(_report_alive())
            await stopped.wait()
            host.notify("STOPPING=1")
            alive.cancel()
            serving.cancel()
    except BaseExceptionGroup as errors:
        raise first_of(errors) from errors
    return 0


async def _report_alive() -> None:
    every_s = host.watchdog_interval_s() or 60.0
    while True:
        host.notify("WATCHDOG=1")
        await asyncio.sleep(every_s)


def _index(url: str) -> SimpleIndex:
    """An index as builders read it: by this name access logs count no download of theirs."""
    return SimpleIndex(url, user_agent="piwheels-builder")


async def _serve(config: BuilderSection, upstream: str, stopped: asyncio.Event) -> None:
    async with AsyncExitStack() as stack:
        index = await stack.enter_async_context(_index(upstream or configured_index()))
        farm = None
        if config.farm_index:
            farm = await stack.enter_async_context(_index(config.farm_index))
        other = _pip_index(config, index)
        others = [await stack.enter_async_context(other)] if other is not None else []
        workshop = await _open(config, index, farm, others)
        session = BuilderSession(
            endpoints=_endpoints(config),
            hello=workshop.hello,
            measure=workshop.measure,
            build=workshop.carry_out,
            outbox=Outbox(config.work / "job"),
        )
        for interpreter in workshop.interpreters.values():
            if lacking := host.missing_toolchain(interpreter, BUILD_PATH):
                log.warning("%s", lacking)
        host.notify(f"READY=1\nSTATUS={_WAITING}")
        watching = asyncio.create_task(_watch_toolchain(workshop, session))
        stack.callback(watching.cancel)
        reason = await session.run()
        log.info("the master said to stop: %s", reason)
        stopped.set()


async def _watch_toolchain(workshop: "Workshop", session: BuilderSession) -> None:
    """Tell the master when a C compiler is installed here, or removed."""
    known = workshop.lacking()
    while True:
        await asyncio.sleep(_TOOLCHAIN_S)
        found = await asyncio.to_thread(workshop.look_again)
        if found != known:
            log.info("targets without a C compiler are now: %s", ", ".join(found) or "none")
            known = found
            session.introduce_again()


def _pip_index(config: BuilderSection, upstream: SimpleIndex) -> SimpleIndex | None:
    """Where pip comes from if the upstream has none; None if that is no other index.

    Raises:
        UsageError: the configuration names something that is no index.
    """
    try:
        other = _index(config.pip_index or configured_index())
    except ConfigError:
        if config.pip_index:
            raise
        return None  # this machine's pip takes packages from a folder
    return None if other.url == upstream.url else other


async def _open(
    config: BuilderSection,
    index: SimpleIndex,
    farm: SimpleIndex | None,
    pip_indexes: Sequence[SimpleIndex],
) -> "Workshop":
    """Check what building needs before the master is asked for work.

    Raises:
        ConfigError: an interpreter, the sandbox or the work folder cannot be used.
    """
    interpreters = [
        _for_machine(host.interpreter(path), config.machine)
        for path in config.python or (sys.executable,)
    ]
    served = {target_of(item): item for item in interpreters}
    try:
        config.work.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"{config.work} (builder.work): {error.strerror}") from None
    sandbox: Sandbox = NoSandbox()
    if config.sandbox:
        sandbox = Bubblewrap(find_bubblewrap(), reads=config.binds)
    await check(sandbox, config.work)
    cache = FileCache(
        config.work / "cache",
        limit_bytes=config.cache_mb * _MB,
        file_limit_bytes=config.file_mb * _MB,
    )
    options = BuildOptions(
        sandbox=sandbox,
        limits=_limits(config),
        cache=cache,
        pips=Pips(index, cache, config.work / "pips", others=pip_indexes),
        upstream=index,
        farm=farm,
        speed=measure_speed(),
    )
    return Workshop(
        options=options,
        interpreters={target.name: item for target, item in served.items()},
        targets=tuple(served),
        work=config.work,
        sandboxed=config.sandbox,
    )


def _for_machine(found: host.Interpreter, machine: str) -> host.Interpreter:
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
    memory = config.memory_mb * _MB or host.stats(config.work).memory_total * 3 // 4
    return Limits(
        timeout_s=config.timeout_s,
        memory_bytes=memory,
        file_bytes=config.file_mb * _MB,
        disk_reserve_bytes=config.disk_reserve_mb * _MB,
        processes=config.processes,
    )


@dataclass(frozen=True, slots=True)
class Workshop:
    """What a session needs of the machine: a description, measurements, and builds."""

    options: BuildOptions
    interpreters: dict[str, host.Interpreter]  # by the name of the target
    targets: tuple[Target, ...]
    work: Path
    sandboxed: bool
    instance: str = field(default_factory=lambda: uuid.uuid4().hex)

    def hello(self, busy: int | None) -> Hello:
        """Describe this builder."""
        return Hello(
            protocol=PROTOCOL,
            version=version("piwheels"),
            targets=self.targets,
            platform=f"{platform.system().lower()} {platform.machine()}",
            board=host.board(),
            os=host.os_name(),
            host=self.measure(),
            sandboxed=self.sandboxed,
            limit_s=self.options.limits.timeout_s,
            memory_limit=self.options.limits.memory_bytes,
            disk_reserve=self.options.limits.disk_reserve_bytes,
            speed=self.options.speed,
            busy=busy,
            instance=self.instance,
            lacking=self.lacking(),
        )

    def lacking(self) -> tuple[str, ...]:
        """The targets for which this machine has no C compiler now, or no headers of Python."""
        return tuple(
            name
            for name, interpreter in self.interpreters.items()
            if host.missing_toolchain(interpreter, BUILD_PATH)
        )

    def look_again(self) -> tuple[str, ...]:
        """As `lacking`, after asking the interpreters that lacked headers for them again."""
        for name in self.lacking():
            known = self.interpreters[name]
            with contextlib.suppress(ConfigError):
                headers = host.interpreter(str(known.path)).headers
                self.interpreters[name] = msgspec.structs.replace(known, headers=headers)
        return self.lacking()

    def measure(self) -> HostState:
        """How the machine is now."""
        stats = host.stats(self.work)
        return HostState(**{name: getattr(stats, name) for name in HostState.__struct_fields__})

    async def carry_out(self, job: Job, outbox: Outbox, phase: Phase) -> Built:
        """Build a job, and describe what came of it."""
        interpreter = self.interpreters.get(job.target)
        if interpreter is None:
            reason = f"this builder has no interpreter for {job.target}"
            return Built(
                build=job.build, outcome=Outcome.BUILDER_FAILED, reason=reason, duration_s=0.0
            )
        host.notify(f"STATUS=building {job.project} {job.version} for {job.target}")
        try:
            result = await build(
                job,
                interpreter,
                workdir=outbox.folder,
                options=self.options,
                on_log=outbox.add_log,
                on_phase=phase,
            )
        finally:
            host.notify(f"STATUS={_WAITING}")
        return Built(
            build=job.build,
            outcome=result.outcome,
            reason=result.reason,
            duration_s=result.duration_s,
            files=(await _offer(result.facts),) if result.facts else (),
            inputs=tuple(text[:MOST_INPUT_CHARS] for text in result.inputs[:MOST_INPUTS]),
            failure=result.failure,
            evidence=result.evidence,
            lacking=result.lacking,
        )


async def _offer(facts: WheelFacts) -> FileOffer:
    packages = await asyncio.to_thread(needed_packages, facts.needed)
    return FileOffer(
        filename=facts.filename,
        size_bytes=facts.size_bytes,
        sha256=facts.sha256,
        dependencies=packages[:MOST_PACKAGES],
    )


def _endpoints(config: BuilderSection) -> Endpoints:
    keys = KeyStore(config.keys)
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
    return Endpoints(
        builders=f"tcp://{place}:{config.builders_port}",
        files=f"tcp://{place}:{config.files_port}",
        key=keys.require(config.key_name),
        master_key=checked_public_key(master, "builder.master_key"),
    )
