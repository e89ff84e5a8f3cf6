"""The builder daemon: connects to the master and builds its jobs until it is stopped."""

import asyncio
import logging
import os
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from msgspec.structs import replace

from piwheels.builder.build_counts import BuildCounts
from piwheels.builder.build_runner import IDLE_STATUS, BuildRunner, create_build_runner
from piwheels.builder.connection_instructions import Exit
from piwheels.builder.connection_state_machine import STAYS, ConnectionStateMachine, ExitRules
from piwheels.builder.debian_packages import packages_changed_at
from piwheels.builder.job_dir import JobDir
from piwheels.builder.joining import builder_address, join_at_start
from piwheels.builder.master_client import MasterAddresses, MasterClient
from piwheels.builder.master_list import parse_masters
from piwheels.builder.slots import slot_label, with_slot
from piwheels.config import BuilderSection, Config, RootSection, UpstreamSection
from piwheels.errors import EXIT_STAYS_ENDED, ConfigError, first_error
from piwheels.index_client.client import SimpleIndex
from piwheels.index_client.pip_config import pip_index_url
from piwheels.log_setup import configure_logging
from piwheels.protocol.key_lock import KeyLock
from piwheels.protocol.keys import MASTER, KeyStore, validate_public_key
from piwheels.protocol.messages import Hello
from piwheels.protocol.sockets import KeyPair
from piwheels.system.machine_identity import machine_identity
from piwheels.system.sdnotify import sd_notify, slow_start, watchdog_interval_s

log = logging.getLogger(__name__)

_TOOLCHAIN_CHECK_INTERVAL_S = 30.0
_DRAINED = "SIGUSR1 asked it to"


@dataclass(frozen=True, slots=True)
class BuilderStart:
    """How a builder is started: in which slot, and when it ends by itself."""

    slot: str = ""
    exit_rules: ExitRules = STAYS

    @property
    def on_demand(self) -> bool:
        """Whether it ends by itself, so that another program starts it when there is work."""
        return self.exit_rules != STAYS


def run(config: Config, start: BuilderStart | None = None) -> int:
    """Run a builder until it is stopped or drained, or ends by itself; returns the exit code.

    Raises:
        ConfigError: there is no sandbox, interpreter or key, or the master rejects this builder.
    """
    configure_logging()
    return asyncio.run(_run_until_stopped(config, start or BuilderStart()))


async def _run_until_stopped(config: Config, start: BuilderStart) -> int:
    builder = with_slot(config.builder, start.slot)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(_serve(builder, config.upstream, config.root, start))
            serving.add_done_callback(lambda _: stopped.set())
            alive = group.create_task(_send_watchdog_pings())
            await stopped.wait()
            sd_notify("STOPPING=1")
            alive.cancel()
            serving.cancel()
    except BaseExceptionGroup as errors:
        raise first_error(errors) from errors
    return 0 if serving.cancelled() else serving.result()


async def _send_watchdog_pings() -> None:
    every_s = watchdog_interval_s() or 60.0
    while True:
        sd_notify("WATCHDOG=1")
        await asyncio.sleep(every_s)


def _simple_index(url: str) -> SimpleIndex:
    """An index client whose user agent is not counted as a download in access logs."""
    return SimpleIndex(url, user_agent="piwheels-builder")


async def _serve(
    config: BuilderSection,
    upstream: UpstreamSection,
    roots: Mapping[str, RootSection],
    start: BuilderStart,
) -> int:
    """Build for the master until this builder has to end; returns the exit code."""
    async with AsyncExitStack() as stack:
        keys = KeyStore(config.key_dir)
        # A slot's key belongs to the slot, on whatever machine it runs.
        pair, is_new = keys.own_pair(config.key_name, "" if start.slot else machine_identity())
        stack.enter_context(KeyLock(keys.secret_path(config.key_name)))
        index = await stack.enter_async_context(_simple_index(upstream.url or pip_index_url()))
        farm = None
        if config.farm_index_url:
            farm = await stack.enter_async_context(_simple_index(config.farm_index_url))
        crates = None
        if upstream.crates:
            crates = await stack.enter_async_context(_simple_index(upstream.crates))
        other = _fallback_pip_index(config, index)
        others = [await stack.enter_async_context(other)] if other is not None else []
        async with slow_start():  # each interpreter of a root is run, perhaps emulated
            runner = await create_build_runner(config, index, farm, others, roots, crates=crates)
        counts = BuildCounts()
        addresses = _master_addresses(config, keys, pair)
        if is_new:
            _report_new_key(pair, start.slot)
        client = _master_client(runner, counts, addresses, config, start)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, client.drain, _DRAINED)
        for name, interpreter in runner.interpreters.items():
            if missing := runner.systems[name].missing_toolchain(interpreter):
                log.warning("%s", missing)
        sd_notify(f"READY=1\nSTATUS={IDLE_STATUS}")
        watching = asyncio.create_task(_watch_toolchain(runner, client))
        stack.callback(watching.cancel)
        if config.metrics_bind:
            # Not imported where it is off.
            from piwheels.builder.metrics import metrics_endpoint  # noqa: PLC0415

            endpoint = metrics_endpoint(config.metrics_bind, counts, client)
            stack.callback(asyncio.create_task(endpoint.run()).cancel)
        if config.join_token:
            name = slot_label(start.slot)
            await join_at_start(keys, config.key_name, config.join_token, name=name)
        end = await client.run()
        log.info("the builder ends: %s", end.reason)
        return _exit_code(end, start)


def _exit_code(end: Exit, start: BuilderStart) -> int:
    """For systemd, whether to start it again; for a batch system, that all is well."""
    return 0 if end.restart or start.on_demand else EXIT_STAYS_ENDED


def _master_client(
    runner: BuildRunner,
    counts: BuildCounts,
    addresses: list[MasterAddresses],
    config: BuilderSection,
    start: BuilderStart,
) -> MasterClient:
    def describe(current_build: int | None, last_build: int) -> Hello:
        hello = runner.describe(current_build, last_build)
        return replace(hello, on_demand=start.on_demand)

    return MasterClient(
        addresses=addresses,
        describe=describe,
        host_metrics=runner.host_metrics,
        build=counts.counting(runner.run),
        job_dir=JobDir(config.work_dir / "job"),
        machine=ConnectionStateMachine(
            check_each_event=bool(os.environ.get("PIWHEELS_DEBUG")), exit_rules=start.exit_rules
        ),
    )


async def _watch_toolchain(runner: BuildRunner, client: MasterClient) -> None:
    """Tell the master when a C compiler or a package is installed here, or removed."""
    known, changed_at = runner.targets_without_compiler(), packages_changed_at()
    while True:
        await asyncio.sleep(_TOOLCHAIN_CHECK_INTERVAL_S)
        found, last = await asyncio.to_thread(runner.recheck_compilers), packages_changed_at()
        if found != known:
            log.info("targets without a C compiler are now: %s", ", ".join(found) or "none")
        if (found, last) != (known, changed_at):
            known, changed_at = found, last
            client.announce_again()


def _fallback_pip_index(config: BuilderSection, upstream: SimpleIndex) -> SimpleIndex | None:
    """The index with pip if upstream has none; None if there is no other index.

    Raises:
        UsageError: the configured address is not one of an index.
    """
    try:
        other = _simple_index(config.pip_index_url or pip_index_url())
    except ConfigError:
        if config.pip_index_url:
            raise
        return None  # this machine's pip installs from a folder
    return None if other.url == upstream.url else other


def _report_new_key(pair: KeyPair, slot: str) -> None:
    owner = f"the slot {slot}" if slot else "this machine"
    log.info("%s has a new key; on the master: piw builder authorize %s NAME", owner, pair.public)


def _master_addresses(
    config: BuilderSection, keys: KeyStore, pair: KeyPair
) -> list[MasterAddresses]:
    places = parse_masters(
        config.master,
        config.master_key or _own_master_key(keys),
        config.master_port,
        config.upload_port,
    )
    return [
        MasterAddresses(
            builder_address=builder_address(place.host, place.port),
            upload_address=builder_address(place.host, place.upload_port),
            key=pair,
            master_key=validate_public_key(place.key, "builder.master_key"),
        )
        for place in places
    ]


def _own_master_key(keys: KeyStore) -> str:
    """The public key of a master on this machine."""
    own = keys.pair(MASTER)
    if own is None:
        raise ConfigError(
            "builder.master_key is not set: it is the master's public key, as "
            "`piw key list` prints it there"
        )
    return own.public
