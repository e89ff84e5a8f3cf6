"""The master daemon: its duties composed into one process, from configuration to exit code."""

import asyncio
import logging
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from piwheels import host
from piwheels.config import Config
from piwheels.db.database import Database, is_running
from piwheels.errors import ConfigError, first_of
from piwheels.farm.bulletin import Bulletin
from piwheels.farm.dispatch import Dispatch, DispatchOptions
from piwheels.farm.logs import LogSpool
from piwheels.farm.publishing import Publisher
from piwheels.farm.receive import Receiver
from piwheels.farm.tidings import Tidings
from piwheels.master.clock_watch import ClockWatch
from piwheels.master.control import Control
from piwheels.master.database_watch import DatabaseWatch
from piwheels.master.fates import Fates
from piwheels.master.glance import Glance
from piwheels.master.imports import Importer
from piwheels.master.operators import Operators
from piwheels.master.questions import Questions
from piwheels.master.streams import Streams
from piwheels.master.upkeep import Upkeep
from piwheels.protocol.channels import Gate, Router
from piwheels.protocol.keys import MASTER, KeyStore, Role
from piwheels.protocol.messages import (
    CHUNK_BYTES,
    PROTOCOL,
    Command,
    FromBuilder,
    FromSender,
    Problem,
    Refused,
    Reply,
    ToBuilder,
    ToSender,
    header,
    mismatch,
)
from piwheels.protocol.transfer import LARGEST_WINDOW_BYTES
from piwheels.simpleapi import SimpleIndex, configured_index
from piwheels.site.content import Site
from piwheels.site.publish import Publisher as PagePublisher
from piwheels.site.renderer import Renderer
from piwheels.site.showing import Showing
from piwheels.upstream.follow import Follower, FollowOptions
from piwheels.webroot import Webroot, make_folder
from piwheels.wheel.tags import PackagingRules

log = logging.getLogger(__name__)

_STATUS_EVERY_S = 10.0
#: A database that starts, or has no connection free, is waited for: systemd allows 90 s.
_DATABASE_PATIENCE_S = 60.0
#: The pages of the site can wait for everything else on this machine.
_STANDS_BACK = 10
#: A whole window of a file's pieces, and not much more: they are large, and kept for each peer.
_FILES_HIGH_WATER = LARGEST_WINDOW_BYTES // CHUNK_BYTES + 32
#: What builders say is handled as it comes; what waits here is kept for each of them.
_BUILDERS_HIGH_WATER = 100
#: Pieces of logs are as large; a console that reads so little is behind by many seconds.
_CONTROL_HIGH_WATER = 200


def run(config: Config) -> int:
    """Run the master until SIGTERM or SIGINT; returns the exit code.

    Raises:
        PiwheelsError: something that the master cannot mend.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    host.allow_open_files()
    return asyncio.run(_until_stopped(config))


async def _until_stopped(config: Config) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(serve(config, stopped))
            await stopped.wait()
            host.notify("STOPPING=1")
            serving.cancel()
    except BaseExceptionGroup as errors:
        raise first_of(errors) from errors
    return 0


async def serve(config: Config, stopped: asyncio.Event) -> None:
    """Compose the duties and run them; setting `stopped` is how an operator ends them.

    Raises:
        PiwheelsError: a duty failed in a way that a restart may or may not mend.
    """
    async with AsyncExitStack() as stack:
        master = _Master(config, stopped)
        await master.open(stack)
        await master.run()


class _Sockets(NamedTuple):
    builders: Router[FromBuilder, ToBuilder]
    files: Router[FromSender, ToSender]
    controls: list[Router[Command, Reply]]


class _Master:
    def __init__(self, config: Config, stopped: asyncio.Event) -> None:
        self._config = config
        self._stopped = stopped
        self._keys = KeyStore(config.master.keys)
        self._rules = PackagingRules()
        self._webroot = Webroot(config.webroot.root)
        self._bulletin = Bulletin()
        self._databases: list[Database] = []

    async def open(self, stack: AsyncExitStack) -> None:
        """Connect to the database, listen on the sockets, compose the duties."""
        config = self._config
        _make_folders(config)
        # The first: what the others write is refused when another master has begun.
        self._dispatch_db = await self._connect(stack, "dispatch", alone=True)
        control_db = await self._connect(stack, "control")
        self._index = await stack.enter_async_context(
            SimpleIndex(config.upstream.url or configured_index())
        )
        self._follower = Follower(
            await self._connect(stack, "follow"),
            self._index,
            self._rules,
            FollowOptions(
                source=config.upstream.source,
                poll_interval_s=config.upstream.poll_interval_s,
                everything=config.upstream.everything,
                at_once=config.upstream.requests,
                removed_days=config.upstream.removed_days,
            ),
        )
        self._logs = LogSpool(config.master.spool / "logs", self._webroot)
        sockets = await self._listen(stack)
        await self._open_farm(stack, sockets)
        await self._open_site(stack)
        self._watch = DatabaseWatch(await self._connect(stack, "watch"), self._databases)
        clock_db = await self._connect(stack, "clock")
        self._clock_watch = ClockWatch(clock_db, Tidings(clock_db, self._bulletin).note)
        self._glance = Glance(
            db=await self._connect(stack, "glance"),
            counting=await self._connect(stack, "counts"),
            dispatch=self._dispatch,
            follower=self._follower,
            bulletin=self._bulletin,
            tree=self._webroot.root,
            database_problem=self._database_problem,
        )
        self._upkeep = Upkeep(self._glance.db, config.master.events_days)
        questions_db = await self._connect(stack, "questions")
        self._control = self._controlled(sockets.controls, control_db, questions_db)

    async def _open_farm(self, stack: AsyncExitStack, sockets: _Sockets) -> None:
        """The duties that builders speak with."""
        config = self._config.master
        self._receiver = Receiver(
            router=sockets.files,
            keys=self._keys,
            publisher=Publisher(await self._connect(stack, "receive"), self._webroot),
            spool=config.spool / "incoming",
        )
        self._dispatch = Dispatch(
            db=self._dispatch_db,
            dsn=self._config.database.dsn,
            router=sockets.builders,
            keys=self._keys,
            rules=self._rules,
            logs=self._logs,
            tidings=Tidings(self._dispatch_db, self._bulletin),
            receiver=self._receiver,
            options=DispatchOptions(
                lost_after_s=config.lost_after_s,
                retry_delay_s=config.retry_delay_s,
                max_attempts=config.max_attempts,
                quarantine_after=config.quarantine_after,
            ),
        )

    async def _open_site(self, stack: AsyncExitStack) -> None:
        """The duties that write the served tree's pages."""
        config = self._config.webroot
        self._pages = PagePublisher(
            db=await self._connect(stack, "publish"),
            webroot=self._webroot,
            executor=stack.enter_context(Renderer()),
            removal_grace_s=config.removal_grace_s,
            root_listing_s=config.root_listing_s,
        )
        await self._pages.prepare()
        self._showing = Showing(
            db=await self._connect(stack, "show"),
            webroot=self._webroot,
            executor=stack.enter_context(Renderer(_STANDS_BACK)),
            site=Site(url=f"{config.url.rstrip('/')}/"),
            served=lambda: self._dispatch.served,
            paused=lambda: self._dispatch.paused,
        )

    def _database_problem(self) -> str:
        return self._watch.problem

    def _controlled(
        self, routers: list[Router[Command, Reply]], db: Database, questions_db: Database
    ) -> Control:
        """The duty that operators speak with."""
        importer = Importer(
            db, self._rules, Publisher(db, self._webroot), self._config.master.spool / "imports"
        )
        importer.tidy()
        operators = Operators(
            db=db,
            dispatch=self._dispatch,
            glance=self._glance,
            # Beside the commands, as all that only looks: a place in a long queue is counted.
            questions=Questions(questions_db, self._dispatch),
            importer=importer,
            index=self._index,
            rules=self._rules,
        )
        return Control(
            routers=routers,
            keys=self._keys,
            fates=Fates(
                operators.carry_out,
                db,
                self._bulletin,
                self._glance.changed,
                self._database_problem,
            ),
            streams=Streams(
                self._glance.snapshot, self._logs, self._bulletin, self._database_problem
            ),
            stop=self._stopped.set,
        )

    async def run(self) -> None:
        """Run every duty; one that fails ends them all."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._dispatch.run())
            group.create_task(self._receiver.run())
            group.create_task(self._control.run())
            group.create_task(self._glance.run())
            group.create_task(self._pages.run())
            group.create_task(self._showing.run())
            group.create_task(self._follower.run())
            group.create_task(self._upkeep.run())
            group.create_task(self._watch.run())
            group.create_task(self._clock_watch.run())
            group.create_task(self._report_alive())
            host.notify("READY=1")
            log.info("ready: %s", self._config.master.control)

    async def _report_alive(self) -> None:
        """Feed systemd's watchdog, and tell it in one line how the farm is."""
        every_s = min(host.watchdog_interval_s() or _STATUS_EVERY_S, _STATUS_EVERY_S)
        while True:
            builders = self._dispatch.builders()
            busy = sum(view.build is not None for view in builders)
            host.notify(f"WATCHDOG=1\nSTATUS={len(builders)} builders, {busy} building")
            await asyncio.sleep(every_s)

    async def _connect(self, stack: AsyncExitStack, duty: str, *, alone: bool = False) -> Database:
        dsn = self._config.database.dsn
        # Where nobody answers at all the DSN may be wrong, and its author waits for a word.
        patience_s = _DATABASE_PATIENCE_S if self._databases or await is_running(dsn) else 0.0
        epoch = self._databases[0].epoch if self._databases else None
        database = await Database.connect(
            dsn, duty=duty, alone=alone, epoch=epoch, patience_s=patience_s
        )
        self._databases.append(database)
        return await stack.enter_async_context(database)

    async def _listen(self, stack: AsyncExitStack) -> _Sockets:
        config, key = self._config.master, self._keys.ensure(MASTER)
        gate = await stack.enter_async_context(Gate(self._admits))
        gate.guard(Role.BUILDER)
        gate.guard(Role.OPERATOR)
        builders: Router[FromBuilder, ToBuilder] = Router(
            FromBuilder, _refused, high_water=_BUILDERS_HIGH_WATER
        )
        files: Router[FromSender, ToSender] = Router(
            FromSender, _refused, high_water=_FILES_HIGH_WATER
        )
        control = _control_router()
        controls = [control]
        if config.control_tcp:
            controls.append(_control_router())
        for close in (builders.close, files.close, *(router.close for router in controls)):
            stack.callback(close)
        builders.bind(config.builders, key=key, domain=Role.BUILDER)
        files.bind(config.files, key=key, domain=Role.BUILDER)
        control.bind(config.control)
        if config.control_tcp:
            controls[1].bind(config.control_tcp, key=key, domain=Role.OPERATOR)
        return _Sockets(builders, files, controls)

    def _admits(self, domain: str, key: str) -> bool:
        # Watchers come in at the operators' door; what they may is decided at each command.
        roles = [Role(domain), *([Role.WATCHER] if domain == Role.OPERATOR else [])]
        return any(self._keys.name_of(role, key) is not None for role in roles)


def _make_folders(config: Config) -> None:
    makers: dict[str, tuple[Path, Callable[[Path], None]]] = {
        "webroot.root": (config.webroot.root, make_folder),
        "master.spool": (config.master.spool, _make_private_folder),
    }
    for key, (folder, make) in makers.items():
        try:
            make(folder)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise ConfigError(f"{folder} ({key}): {error.strerror}") from None


def _make_private_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def _refused(reason: str, came: bytes) -> Refused:
    theirs = header(came).protocol
    if theirs != PROTOCOL:
        return Refused(reason=mismatch(theirs), fatal=True)
    return Refused(reason=reason)


def _control_router() -> Router[Command, Reply]:
    return Router(Command, _problem, high_water=_CONTROL_HIGH_WATER)


def _problem(reason: str, came: bytes) -> Reply:
    told = header(came)
    if told.protocol != PROTOCOL:
        reason = mismatch(told.protocol)
    return Reply(number=told.number, body=Problem(reason=reason))
