"""`piw up`: a private farm in one folder, with everything that it needs, while it runs."""

import asyncio
import contextlib
import dataclasses
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from piwheels import host
from piwheels.admin.projects import print_added, print_notes
from piwheels.config import Config, load
from piwheels.errors import NotNowError, RefusedError, first_of
from piwheels.local.children import Child, piw
from piwheels.local.cluster import Cluster
from piwheels.local.console import Console, has_terminal, wants_to_stop
from piwheels.local.folder import FarmFolder
from piwheels.local.hints import pip_line, piw_line, shown, uv_line
from piwheels.local.ports import free_port, listening, own_address
from piwheels.local.progress import Progress, print_report
from piwheels.model import Target, Wanted
from piwheels.protocol.client import ANSWER_S, ControlClient, NoMasterError, end_tasks
from piwheels.protocol.keys import MASTER, KeyStore, Role
from piwheels.protocol.messages import (
    Add,
    Added,
    AddReply,
    AddTargets,
    Applied,
    Batch,
    Body,
    Report,
    ReportReply,
    Skip,
    Status,
    StatusReply,
    Watch,
)
from piwheels.requirements import environments, read
from piwheels.simpleapi import check_address, configured_index
from piwheels.wheel.tags import target_of

_SLOW_START_S = 60.0
_READY_EVERY_S = 0.05
_RECONNECT_S = 0.5
_REPORT_EVERY_S = 1.0
_Wanted = TypeVar("_Wanted")
_EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what --host may be


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said."""

    projects: tuple[str, ...]
    files: tuple[Path, ...]
    latest: int  # 0 is all
    folder: Path
    pythons: tuple[str, ...]
    builders: int
    host: str
    port: int
    upstream: str | None
    no_tui: bool
    no_sandbox: bool
    exit_when_idle: bool


async def up(options: Options) -> int:
    """Run the farm until interrupted, or until idle; returns the exit code.

    Raises:
        PiwheelsError: something is missing or in the way; everything is stopped again.
    """
    asked = read(options.projects, options.files)
    interpreters = _interpreters(options.pythons)
    targets = [environments(target.name, target.python_full) for target in interpreters]
    requests = asked.wanted(targets, latest=options.latest)
    print_notes(asked)
    options = dataclasses.replace(options, port=options.port or free_port())
    folder = FarmFolder(options.folder)
    check_address(options.upstream or folder.written().get("upstream.url") or configured_index())
    if not folder.root.exists():
        listening(options.host, options.port).close()  # before anything is made
    with folder.hold():
        listening(options.host, options.port).close()
        click.echo(f"farm:   starting in {shown(folder.root)}")
        try:
            async with Cluster(folder.database) as cluster:
                config = _configure(folder, options, cluster.dsn)
                return await _Farm(
                    options,
                    folder,
                    config,
                    cluster=cluster,
                    requests=requests,
                    interpreters=interpreters,
                ).run()
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):  # its terminal may be what went away
                click.echo("\nThe farm is stopped; the same command goes on.")
            raise


def _interpreters(pythons: Sequence[str]) -> dict[Target, host.Interpreter]:
    found = [host.interpreter(path) for path in pythons or (sys.executable,)]
    return {target_of(item): item for item in found}


def _configure(folder: FarmFolder, options: Options, dsn: str) -> Config:
    url = f"http://{_reachable(options.host)}:{options.port}/"
    folder.configure(
        {
            "database.dsn": dsn,
            "webroot.url": url,
            "upstream.url": options.upstream,
            "builder.farm_index": f"http://{_named(options.host)}:{options.port}/simple/",
            "builder.python": list(options.pythons) or [sys.executable],
            "builder.sandbox": False if options.no_sandbox else None,
        }
    )
    return load(folder.config).config


def _reachable(address: str) -> str:
    """How a URL for everybody names the host that is listened on."""
    return own_address() if address in _EVERYWHERE else _named(address)


def _named(address: str) -> str:
    """How a URL for this machine names the host that is listened on."""
    if address in _EVERYWHERE:
        return "127.0.0.1"
    return f"[{address}]" if ":" in address else address


class _Farm:
    """The processes of one run, and what was asked of them."""

    def __init__(
        self,
        options: Options,
        folder: FarmFolder,
        config: Config,
        *,
        cluster: Cluster,
        requests: Sequence[Wanted],
        interpreters: Mapping[Target, host.Interpreter],
    ) -> None:
        self._options = options
        self._folder = folder
        self._config = config
        self._cluster = cluster
        self._requests = requests
        self._interpreters = interpreters
        self._targets = tuple(interpreters)
        self._keys = KeyStore(folder.keys)
        self._releases: tuple[tuple[str, str], ...] = ()
        self._problems: tuple[Added, ...] = ()
        self._master = self._child("master", notifies=True)

    async def run(self) -> int:
        """Start everything, work until done, stop everything."""
        task = asyncio.current_task()
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        self._allow_builders()
        await self._child("initdb").run()
        children = [
            self._master,
            self._web_server(),
            self._child("accesslog", "--follow", self._access_log),
            *self._builders(),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                for child in children:
                    group.create_task(child.supervise())
                watch = group.create_task(self._cluster.supervise())
                try:
                    code = await self._work()
                finally:
                    await asyncio.gather(*(child.stop() for child in children))
                    watch.cancel()
        except BaseExceptionGroup as group:
            raise first_of(group) from None
        return code

    # --- the parts ---

    def _child(
        self, *verb: str | Path, name: str = "", notifies: bool = False, **environ: str
    ) -> Child:
        name = name or str(verb[0])
        return Child(
            name=name,
            argv=piw(*verb, "--config", self._folder.config),
            log_file=self._folder.logs / f"{name}.log",
            environ=environ,
            notifies=notifies,
        )

    @property
    def _access_log(self) -> Path:
        return self._folder.logs / "access.log"

    def _web_server(self) -> Child:
        options = self._options
        root = self._config.webroot.root
        argv = piw("serve", root, "--host", options.host, "--port", str(options.port))
        return Child(
            name="serve",
            argv=[*argv, "--access-log", str(self._access_log)],
            log_file=self._folder.logs / "serve.log",
        )

    def _builders(self) -> list[Child]:
        master_key = self._keys.require(MASTER).public
        return [
            self._child(
                "builder",
                name=name,
                notifies=True,
                PIWHEELS_BUILDER_KEY_NAME=name,
                PIWHEELS_BUILDER_MASTER_KEY=master_key,
                PIWHEELS_BUILDER_WORK=str(self._config.builder.work / name),
            )
            for name in self._builder_names()
        ]

    def _allow_builders(self) -> None:
        self._keys.ensure(MASTER)
        for name in self._builder_names():
            self._keys.allow(Role.BUILDER, name, self._keys.ensure(name).public)

    def _builder_names(self) -> list[str]:
        return [f"builder-{number + 1}" for number in range(self._options.builders)]

    # --- the work ---

    async def _work(self) -> int:
        progress = Progress(frozenset(target.name for target in self._targets))
        async with ControlClient(self._config.master.control) as client:
            await self._ready(client, progress)
            if self._options.no_tui or not has_terminal():
                watching = asyncio.create_task(self._watch(client, progress))
                try:
                    await self._prepare(client, progress)
                    reply = await self._until_idle(client)
                finally:
                    watching.cancel()
            else:
                await self._prepare(client, progress)
                reply = await self._with_console(client, progress)
        return self._conclude(reply, progress.farm)

    async def _with_console(self, client: ControlClient, progress: Progress) -> ReportReply:
        """The console until it is left or the farm is idle; then lines, or the end."""
        console = Console(self._folder.config)
        idle = asyncio.create_task(self._until_idle(client))
        left = asyncio.create_task(console.run())
        try:
            await asyncio.wait({idle, left}, return_when=asyncio.FIRST_COMPLETED)
            if not idle.done() and await wants_to_stop():
                return await self._ask(client, self._report(), ReportReply)
            await console.stop()
            if not idle.done():
                progress.say("The farm goes on; Ctrl-C stops it.")
            watching = asyncio.create_task(self._watch(client, progress))
            try:
                return await idle
            finally:
                watching.cancel()
        finally:
            idle.cancel()
            await console.stop()

    async def _ready(self, client: ControlClient, progress: Progress) -> None:
        """Wait for the master, for as long as it lives; `run` sees to one that fails."""
        noting = asyncio.create_task(self._note_slow_start(progress))
        try:
            await self._ask(client, Status(), StatusReply, timeout_s=5.0, every_s=_READY_EVERY_S)
        finally:
            noting.cancel()

    async def _note_slow_start(self, progress: Progress) -> None:
        await asyncio.sleep(_SLOW_START_S)
        log_file = shown(self._master.log_file)
        progress.say(f"note:   the master is still starting; it writes to {log_file}", "yellow")

    async def _ask(
        self,
        client: ControlClient,
        body: Body,
        wanted: type[_Wanted],
        *,
        timeout_s: float = ANSWER_S,
        every_s: float = _RECONNECT_S,
    ) -> _Wanted:
        """The master's answer, however often it is started again before it gives one.

        A database that does not answer now is waited for as well.

        Raises:
            RefusedError: the master refuses.
        """
        while True:
            asking = asyncio.create_task(client.ask(body, wanted, timeout_s=timeout_s))
            ended = asyncio.create_task(self._master.end_of_run())
            try:
                await asyncio.wait({asking, ended}, return_when=asyncio.FIRST_COMPLETED)
                if asking.done():
                    return asking.result()
            except (NoMasterError, NotNowError):
                pass
            finally:
                await end_tasks(asking, ended)
            await asyncio.sleep(every_s)

    async def _prepare(self, client: ControlClient, progress: Progress) -> None:
        status = await self._choose_targets(client)
        progress.farm |= {queue.target for queue in status.queues if queue.served}
        url, config = self._config.webroot.url, self._folder.config
        progress.say(f"site:   {url}")
        progress.say(f"index:  {url}simple/")
        progress.say(f"pip:    {pip_line(url)}")
        progress.say(f"uv:     {uv_line(url)}")
        progress.say(f"status: {piw_line('status', config)}")
        progress.say(f"tui:    {piw_line('tui', config)}")
        path = os.environ.get("PATH", os.defpath)
        for interpreter in self._interpreters.values():
            if lacking := host.missing_toolchain(interpreter, path):
                progress.say(f"note:   {lacking}", "yellow")
        if status.paused:
            resume = piw_line("resume", config)
            progress.say(f"note:   the farm is paused; `{resume}` goes on", "yellow")
        if not self._requests:
            return
        add = Add(wanted=tuple(self._requests))
        reply = await self._ask(client, add, AddReply, timeout_s=600.0)
        print_added(reply)
        self._problems = tuple(added for added in reply.added if added.problem)
        self._releases = tuple(
            (added.project, version) for added in reply.added for version in added.versions
        )

    async def _choose_targets(self, client: ControlClient) -> StatusReply:
        await self._ask(client, AddTargets(targets=tuple(self._targets)), Applied)
        ours = {target.name for target in self._targets}
        status = await self._ask(client, Status(), StatusReply)
        for queue in status.queues:
            if queue.target not in ours and not queue.served:
                reason = "no builder of this farm serves it now"
                await self._ask(client, Skip(target=queue.target, reason=reason), Applied)
        return status

    async def _watch(self, client: ControlClient, progress: Progress) -> None:
        while True:
            with contextlib.suppress(NoMasterError, RefusedError):
                async with client.stream(Watch()) as events:
                    while True:
                        match await events.next(None):
                            case Batch(events=batch):
                                for event in batch:
                                    progress.show(event)
            await asyncio.sleep(_RECONNECT_S)

    def _report(self) -> Report:
        targets = tuple(target.name for target in self._targets)
        return Report(releases=self._releases, targets=targets)

    async def _until_idle(self, client: ControlClient) -> ReportReply:
        """The report when nothing is being done for what was asked; without that option, never."""
        report = self._report()
        while True:
            if self._options.exit_when_idle:
                reply = await self._ask(client, report, ReportReply)
                if all(row.resting for row in reply.rows) and not reply.stale_pages:
                    return reply
            await asyncio.sleep(_REPORT_EVERY_S)

    def _conclude(self, reply: ReportReply, farm: frozenset[str]) -> int:
        if reply.rows:
            print_report(reply.rows, farm)
        # Said before, and scrolled away by now.
        print_added(AddReply(added=self._problems))
        if not self._options.exit_when_idle:
            return 0  # an operator left the console and stopped the farm
        missing = self._problems or not all(row.covered for row in reply.rows)
        return 1 if missing else 0
