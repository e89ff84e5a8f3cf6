"""`piw up`: runs a private farm in one directory, with everything that it needs."""

import asyncio
import contextlib
import dataclasses
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from piwheels.config import Config, load
from piwheels.errors import NotNowError, RejectedError, first_error
from piwheels.index_client.pip_config import pip_index_url
from piwheels.index_client.urls import validate_index_url
from piwheels.local.command_hints import (
    pip_command_line,
    piw_command_line,
    shell_path,
    uv_command_line,
)
from piwheels.local.farm_dir import FarmDir
from piwheels.local.ports import bind_listener, free_port, local_ip
from piwheels.local.postgres import PrivatePostgres
from piwheels.local.progress import ProgressPrinter, print_results_table
from piwheels.local.roots import HOST, serve_roots
from piwheels.local.supervisor import SupervisedProcess, piw_command
from piwheels.local.tui_process import TuiProcess, confirm_stop, stdio_is_terminal
from piwheels.model import BuildRequest, Interpreter, Target
from piwheels.output import print_added, print_notes
from piwheels.protocol.client import (
    REPLY_TIMEOUT_S,
    ControlClient,
    MasterUnreachableError,
    end_tasks,
)
from piwheels.protocol.keys import MASTER, KeyStore, Role
from piwheels.protocol.messages import (
    Add,
    AddReply,
    AddResult,
    AddTargets,
    CommandSucceeded,
    EventBatch,
    ReleaseReport,
    ReleaseReportReply,
    RequestBody,
    Skip,
    Status,
    StatusReply,
    Subscribe,
)
from piwheels.requirements import ParsedRequirements, parse_requirements, target_environments
from piwheels.system.interpreters import missing_toolchain, probe_interpreter
from piwheels.wheel.tags import target_of

_SLOW_START_NOTICE_S = 60.0
_READY_POLL_S = 0.05
_RETRY_DELAY_S = 0.5
_REPORT_POLL_S = 1.0
_Reply = TypeVar("_Reply")
_WILDCARD_ADDRESSES = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what --host may be


@dataclass(frozen=True, slots=True)
class UpOptions:
    """The options of the command line."""

    projects: tuple[str, ...]
    requirement_files: tuple[Path, ...]
    latest: int  # 0 is all
    farm_dir: Path
    pythons: tuple[str, ...]
    roots: tuple[str, ...]
    builders: int
    host: str
    port: int
    upstream_url: str | None
    no_tui: bool
    no_sandbox: bool
    exit_when_idle: bool


async def run_private_farm(options: UpOptions) -> int:
    """Run the farm until interrupted, or until idle; returns the exit code.

    Raises:
        PiwheelsError: the farm cannot start, or a part of it fails; everything is stopped.
    """
    parsed = parse_requirements(options.projects, options.requirement_files)
    interpreters = _probe_interpreters(options.pythons)
    if not options.roots:
        _build_requests(parsed, interpreters, options)  # fail before anything is created
    print_notes(parsed)
    options = dataclasses.replace(options, port=options.port or free_port())
    folder = FarmDir(options.farm_dir)
    validate_index_url(
        options.upstream_url or folder.config_values().get("upstream.url") or pip_index_url()
    )
    if not folder.root.exists():
        bind_listener(options.host, options.port).close()  # fail before anything is created
    with folder.lock():
        bind_listener(options.host, options.port).close()
        click.echo(f"farm:   starting in {shell_path(folder.root)}")
        try:
            async with PrivatePostgres(folder.postgres_dir) as postgres:
                config = _write_config(folder, options, postgres.dsn)
                served = await serve_roots(config, interpreters)
                return await _PrivateFarm(
                    options,
                    folder,
                    config,
                    postgres=postgres,
                    requests=_build_requests(parsed, served, options),
                    interpreters=served,
                ).run()
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):  # the terminal may be closed
                click.echo("\nThe farm has stopped; run the same command again to resume.")
            raise


def _build_requests(
    parsed: ParsedRequirements, served: Iterable[Target], options: UpOptions
) -> Sequence[BuildRequest]:
    targets = [target_environments(target.name, target.python_full) for target in served]
    return parsed.build_requests(targets, latest=options.latest)


def _probe_interpreters(pythons: Sequence[str]) -> dict[Target, Interpreter]:
    found = [probe_interpreter(path) for path in pythons or (sys.executable,)]
    return {target_of(item): item for item in found}


def _write_config(farm_dir: FarmDir, options: UpOptions, dsn: str) -> Config:
    # For other machines.
    public_host = local_ip() if options.host in _WILDCARD_ADDRESSES else _local_host(options.host)
    url = f"http://{public_host}:{options.port}/"
    farm_dir.write_config(
        {
            "database.dsn": dsn,
            "webroot.url": url,
            "upstream.url": options.upstream_url,
            "builder.farm_index_url": f"http://{_local_host(options.host)}:{options.port}/simple/",
            "builder.interpreters": list(options.pythons) or [sys.executable],
            "builder.sandbox": False if options.no_sandbox else None,
            "builder.roots": _root_names(options),
        }
    )
    return load(farm_dir.config_file).config


def _root_names(options: UpOptions) -> list[str] | None:
    """`builder.roots`; None keeps what the farm has."""
    if not options.roots:
        return None
    return [*((HOST,) if options.pythons else ()), *options.roots]


def _local_host(address: str) -> str:
    """The host in URLs for this machine."""
    if address in _WILDCARD_ADDRESSES:
        return "127.0.0.1"
    return f"[{address}]" if ":" in address else address


class _PrivateFarm:
    """The processes of one run, and the projects to build."""

    def __init__(
        self,
        options: UpOptions,
        farm_dir: FarmDir,
        config: Config,
        *,
        postgres: PrivatePostgres,
        requests: Sequence[BuildRequest],
        interpreters: Mapping[Target, Interpreter | None],
    ) -> None:
        self._options = options
        self._farm_dir = farm_dir
        self._config = config
        self._postgres = postgres
        self._requests = requests
        self._interpreters = interpreters
        self._targets = tuple(interpreters)
        self._keys = KeyStore(farm_dir.key_dir)
        self._releases: tuple[tuple[str, str], ...] = ()
        self._add_failures: tuple[AddResult, ...] = ()
        self._master = self._process("master", sends_ready=True)

    async def run(self) -> int:
        """Start all processes, build until done, and stop them."""
        task = asyncio.current_task()
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        self._authorize_builders()
        await self._process("db", "upgrade", name="db-upgrade").run()
        children = [
            self._master,
            self._web_server(),
            self._process("accesslog", "--follow", self._access_log),
            *self._builders(),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                for child in children:
                    group.create_task(child.supervise())
                watch = group.create_task(self._postgres.supervise())
                try:
                    code = await self._run_client()
                finally:
                    await asyncio.gather(*(child.stop() for child in children))
                    watch.cancel()
        except BaseExceptionGroup as group:
            raise first_error(group) from None
        return code

    # --- processes ---

    def _process(
        self, *words: str | Path, name: str = "", sends_ready: bool = False, **environ: str
    ) -> SupervisedProcess:
        name = name or str(words[0])
        return SupervisedProcess(
            name=name,
            argv=piw_command(*words, "--config", self._farm_dir.config_file),
            log_file=self._farm_dir.log_dir / f"{name}.log",
            environ=environ,
            sends_ready=sends_ready,
        )

    @property
    def _access_log(self) -> Path:
        return self._farm_dir.log_dir / "access.log"

    def _web_server(self) -> SupervisedProcess:
        options = self._options
        root = self._config.webroot.root
        argv = piw_command("serve", root, "--host", options.host, "--port", str(options.port))
        return SupervisedProcess(
            name="serve",
            argv=[*argv, "--access-log", str(self._access_log)],
            log_file=self._farm_dir.log_dir / "serve.log",
        )

    def _builders(self) -> list[SupervisedProcess]:
        master_key = self._keys.require(MASTER).public
        return [
            self._process(
                "builder",
                name=name,
                sends_ready=True,
                PIWHEELS_BUILDER_KEY_NAME=name,
                PIWHEELS_BUILDER_MASTER_KEY=master_key,
                PIWHEELS_BUILDER_WORK_DIR=str(self._config.builder.work_dir / name),
            )
            for name in self._builder_names()
        ]

    def _authorize_builders(self) -> None:
        self._keys.load_or_generate(MASTER)
        for name in self._builder_names():
            self._keys.authorize(Role.BUILDER, name, self._keys.load_or_generate(name).public)

    def _builder_names(self) -> list[str]:
        return [f"builder-{number + 1}" for number in range(self._options.builders)]

    # --- building ---

    async def _run_client(self) -> int:
        progress = ProgressPrinter(frozenset(target.name for target in self._targets))
        async with ControlClient(self._config.master.control_bind) as client:
            await self._wait_until_ready(client, progress)
            if self._options.no_tui or not stdio_is_terminal():
                watching = asyncio.create_task(self._print_events(client, progress))
                try:
                    await self._set_up_work(client, progress)
                    reply = await self._until_idle(client)
                finally:
                    watching.cancel()
            else:
                await self._set_up_work(client, progress)
                reply = await self._run_tui(client, progress)
        return self._print_results(reply, progress.target_names)

    async def _run_tui(
        self, client: ControlClient, progress: ProgressPrinter
    ) -> ReleaseReportReply:
        """Run the console until the user quits it or the farm is idle; then print, or stop."""
        console = TuiProcess(self._farm_dir.config_file)
        idle = asyncio.create_task(self._until_idle(client))
        left = asyncio.create_task(console.run())
        try:
            await asyncio.wait({idle, left}, return_when=asyncio.FIRST_COMPLETED)
            if not idle.done() and await confirm_stop():
                return await self._request(client, self._report_query(), ReleaseReportReply)
            await console.stop()
            if not idle.done():
                progress.print_line("The farm keeps running; press Ctrl-C to stop it.")
            watching = asyncio.create_task(self._print_events(client, progress))
            try:
                return await idle
            finally:
                watching.cancel()
        finally:
            idle.cancel()
            await console.stop()

    async def _wait_until_ready(self, client: ControlClient, progress: ProgressPrinter) -> None:
        """Wait until the master answers; `run` handles one that fails to start."""
        noting = asyncio.create_task(self._report_slow_start(progress))
        try:
            await self._request(
                client, Status(), StatusReply, timeout_s=5.0, retry_delay_s=_READY_POLL_S
            )
        finally:
            noting.cancel()

    async def _report_slow_start(self, progress: ProgressPrinter) -> None:
        await asyncio.sleep(_SLOW_START_NOTICE_S)
        log_file = shell_path(self._master.log_file)
        progress.print_line(
            f"note:   the master is still starting; its log is {log_file}", "yellow"
        )

    async def _request(
        self,
        client: ControlClient,
        body: RequestBody,
        reply_type: type[_Reply],
        *,
        timeout_s: float = REPLY_TIMEOUT_S,
        retry_delay_s: float = _RETRY_DELAY_S,
    ) -> _Reply:
        """Send a request until the master answers it, across restarts of the master.

        It also waits for a database that does not answer.

        Raises:
            RejectedError: the master rejects it.
        """
        while True:
            asking = asyncio.create_task(client.request(body, reply_type, timeout_s=timeout_s))
            ended = asyncio.create_task(self._master.wait_for_exit())
            try:
                await asyncio.wait({asking, ended}, return_when=asyncio.FIRST_COMPLETED)
                if asking.done():
                    return asking.result()
            except (MasterUnreachableError, NotNowError):
                pass
            finally:
                await end_tasks(asking, ended)
            await asyncio.sleep(retry_delay_s)

    async def _set_up_work(self, client: ControlClient, progress: ProgressPrinter) -> None:
        status = await self._activate_targets(client)
        progress.target_names |= {queue.target for queue in status.queues if queue.has_builder}
        url, config = self._config.webroot.url, self._farm_dir.config_file
        progress.print_line(f"site:   {url}")
        progress.print_line(f"index:  {url}simple/")
        progress.print_line(f"pip:    {pip_command_line(url)}")
        progress.print_line(f"uv:     {uv_command_line(url)}")
        progress.print_line(f"status: {piw_command_line('status', config)}")
        progress.print_line(f"tui:    {piw_command_line('tui', config)}")
        path = os.environ.get("PATH", os.defpath)
        for interpreter in self._interpreters.values():
            if interpreter is None:
                continue
            if lacking := missing_toolchain(interpreter, path):
                progress.print_line(f"note:   {lacking}", "yellow")
        if status.paused:
            resume = piw_command_line("resume", config)
            progress.print_line(f"note:   the farm is paused; run `{resume}` to continue", "yellow")
        if not self._requests:
            return
        add = Add(requests=tuple(self._requests))
        reply = await self._request(client, add, AddReply, timeout_s=600.0)
        print_added(reply)
        self._add_failures = tuple(added for added in reply.added if added.problem)
        self._releases = tuple(
            (added.project, version) for added in reply.added for version in added.versions
        )

    async def _activate_targets(self, client: ControlClient) -> StatusReply:
        await self._request(client, AddTargets(targets=tuple(self._targets)), CommandSucceeded)
        ours = {target.name for target in self._targets}
        status = await self._request(client, Status(), StatusReply)
        for queue in status.queues:
            if queue.target not in ours and not queue.has_builder:
                reason = "no builder of this farm serves it"
                await self._request(
                    client, Skip(target=queue.target, reason=reason), CommandSucceeded
                )
        return status

    async def _print_events(self, client: ControlClient, progress: ProgressPrinter) -> None:
        while True:
            with contextlib.suppress(MasterUnreachableError, RejectedError):
                async with client.stream(Subscribe()) as events:
                    while True:
                        match await events.next(None):
                            case EventBatch(events=batch):
                                for event in batch:
                                    progress.print_event(event)
            await asyncio.sleep(_RETRY_DELAY_S)

    def _report_query(self) -> ReleaseReport:
        targets = tuple(target.name for target in self._targets)
        return ReleaseReport(releases=self._releases, targets=targets)

    async def _until_idle(self, client: ControlClient) -> ReleaseReportReply:
        """Wait until the requested releases are settled; without the option, forever."""
        report = self._report_query()
        while True:
            if self._options.exit_when_idle:
                reply = await self._request(client, report, ReleaseReportReply)
                if all(row.resting for row in reply.rows) and not reply.stale_pages:
                    return reply
            await asyncio.sleep(_REPORT_POLL_S)

    def _print_results(self, reply: ReleaseReportReply, target_names: frozenset[str]) -> int:
        if reply.rows:
            print_results_table(reply.rows, target_names)
        # Repeated, since the first time has scrolled away.
        print_added(AddReply(added=self._add_failures))
        if not self._options.exit_when_idle:
            return 0  # the user quit the console and stopped the farm
        missing = self._add_failures or not all(row.covered for row in reply.rows)
        return 1 if missing else 0
