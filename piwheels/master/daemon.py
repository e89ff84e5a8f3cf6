"""The master daemon: composes its services in one process, from configuration to exit code."""

import asyncio
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from piwheels.bucket.follower import open_follower
from piwheels.config import Config
from piwheels.control.alert_service import AlertService
from piwheels.control.builder_invitations import BuilderInvitations, MasterAddress, known_host
from piwheels.control.builder_measurements import BuilderMeasurements
from piwheels.control.command_executor import CommandExecutor
from piwheels.control.command_handlers import CommandHandlers
from piwheels.control.connected_operators import ConnectedOperators
from piwheels.control.control_server import ControlServer
from piwheels.control.database_watch import DatabaseWatch
from piwheels.control.farm_measurements import FarmMeasurements
from piwheels.control.query_handlers import QueryHandlers
from piwheels.control.status_service import StatusService
from piwheels.control.subscriptions import Subscriptions
from piwheels.control.wheel_import import WheelImporter
from piwheels.db import key_values, own_webroot
from piwheels.db.database import Database, OtherMasterError, is_running
from piwheels.db.restored import refuse_unfinished
from piwheels.db.statements import KNOWN_KEYS
from piwheels.errors import ConfigError, PiwheelsError, first_error
from piwheels.formatting import pluralize
from piwheels.index.index_publisher import IndexPublisher as PagePublisher
from piwheels.index_client.client import SimpleIndex
from piwheels.index_client.pip_config import pip_index_url
from piwheels.log_setup import configure_logging
from piwheels.master.clock_watch import ClockWatch
from piwheels.master.epoch_watch import FULL_ERRNOS, EpochWatch
from piwheels.master.loop_delay import LoopDelay
from piwheels.master.popularity import Popularity
from piwheels.master.recipe_watch import RecipeWatch
from piwheels.master.retention import DailyRetention, EventRetention
from piwheels.master.root_watch import RootWatch
from piwheels.master.row_count_folding import RowCountFolding
from piwheels.master.series_recorder import SeriesRecorder
from piwheels.master.standby import Standby
from piwheels.master.statement_fill import StatementFill
from piwheels.master.statement_renewal import StatementRenewal
from piwheels.master.upstream_mirror import MirrorLimits, UpstreamMirror
from piwheels.model import UpstreamWheelPolicy, projection
from piwheels.protocol.control_roles import ControlRole
from piwheels.protocol.keys import CONTROL_DOMAIN, MASTER, KeyStore, Role
from piwheels.protocol.messages import (
    CHUNK_BYTES,
    PROTOCOL,
    BuilderState,
    CommandFailed,
    FromBuilder,
    FromUploader,
    Rejected,
    Reply,
    Request,
    ToBuilder,
    ToUploader,
    builder_mismatch_message,
    parse_header,
    protocol_mismatch_message,
    speaks_with_builder,
)
from piwheels.protocol.refused_keys import RefusedKeys
from piwheels.protocol.sockets import CurveGate, Router
from piwheels.protocol.upload_window import MAX_WINDOW_BYTES
from piwheels.rendering.render_pool import RenderPool
from piwheels.scheduler.build_logs import LogSpool
from piwheels.scheduler.builder_registration import BuilderRegistration
from piwheels.scheduler.dispatcher import Dispatcher, DispatcherOptions
from piwheels.scheduler.event_bus import EventBus
from piwheels.scheduler.event_publisher import EventPublisher
from piwheels.scheduler.uploads import UploadServer
from piwheels.scheduler.wheel_publisher import WheelPublisher
from piwheels.system.open_files import raise_open_file_limit
from piwheels.system.sdnotify import sd_notify, slow_start, watchdog_interval_s
from piwheels.upstream.sync import SyncOptions, UpstreamSync
from piwheels.webroot import TreeTakenError, Webroot, make_dir
from piwheels.webroot.tree_farm import FARM_FILE
from piwheels.website.page_data import Site
from piwheels.website.single_page_publisher import SinglePagePublisher
from piwheels.website.site_publisher import SitePublisher
from piwheels.wheel.tags import PackagingRules

if TYPE_CHECKING:
    from piwheels.provenance.writer import StatementWriter

log = logging.getLogger(__name__)

_STATUS_INTERVAL_S = 10.0
#: So long a database that starts, or has no connection free, is waited for.
_DATABASE_CONNECT_TIMEOUT_S = 60.0
#: So long a former master may take to end that still writes the web root.
_TREE_WAIT_S = 5.0
#: So long its web root may take to be claimed. A hanging one would keep the master's lock.
_CLAIM_TIMEOUT_S = 60.0
#: So long the rest of a start is reported to systemd as going on.
_START_LIMIT_S = 900.0
#: Pages for people are rendered with the lowest priority on this machine.
_WEBSITE_NICENESS = 10
#: Lists, of which one is written after the other in one more process, come after pages of projects.
_LIST_NICENESS = 15
#: So many processes write pages of projects, on a machine with as many cores; each takes 80 MB.
_PAGE_WRITERS = 2
#: One window of a file's chunks and little more: they are large, and queued per peer.
_UPLOAD_HWM = MAX_WINDOW_BYTES // CHUNK_BYTES + 32
#: Messages of builders are handled at once; this many are queued per builder.
_BUILDER_HWM = 100
#: Chunks of logs are as large; a console with this many unread ones is many seconds behind.
_CONTROL_HWM = 200


def run(config: Config) -> int:
    """Run the master until SIGTERM or SIGINT; returns the exit code.

    Raises:
        PiwheelsError: an error that the master cannot recover from.
    """
    configure_logging()
    raise_open_file_limit()
    return asyncio.run(_until_stopped(config))


async def _until_stopped(config: Config) -> int:
    shutdown = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, shutdown.set)
    try:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(serve(config, shutdown))
            await shutdown.wait()
            sd_notify("STOPPING=1")
            serving.cancel()
    except BaseExceptionGroup as errors:
        error = first_error(errors)
        if isinstance(error, TreeSilentError):
            # Not by the interpreter's end, which waits for the thread that hangs.
            print(f"piw: {error}", file=sys.stderr, flush=True)
            os._exit(error.exit_code)
        raise error from errors
    return 0


async def serve(config: Config, shutdown: asyncio.Event) -> None:
    """Compose the services and run them until canceled; `piw master stop` sets `shutdown`.

    Raises:
        PiwheelsError: a service failed.
    """
    async with AsyncExitStack() as stack:
        master = _Master(config, shutdown)
        async with slow_start():  # the database is waited for
            await master.take_over(stack)
        async with slow_start(_START_LIMIT_S):
            await master.start_services(stack)
        await master.run_services()


class TreeSilentError(PiwheelsError):
    """The web root does not answer; a thread that waits for it cannot be ended."""


class _Sockets(NamedTuple):
    builders: Router[FromBuilder, ToBuilder]
    uploads: Router[FromUploader, ToUploader]
    controls: list[Router[Request, Reply]]
    builder_endpoint: str
    upload_endpoint: str


class _Master:
    def __init__(self, config: Config, shutdown: asyncio.Event) -> None:
        self._config = config
        self._shutdown = shutdown
        self._keys = KeyStore(config.master.key_dir)
        self._rules = PackagingRules()
        self._webroot = Webroot(config.webroot.root)
        self._event_bus = EventBus()
        self._loop_delay = LoopDelay()
        self._refused_keys = RefusedKeys()
        self._registration = BuilderRegistration(self._keys, self._refused_keys)
        self._operators = ConnectedOperators()
        self._databases: list[Database] = []

    async def take_over(self, stack: AsyncExitStack) -> None:
        """Become the master, and claim the web root.

        Raises:
            TreeSilentError: the web root does not answer; another master is not kept waiting.
        """
        _make_dirs(self._config)
        # The first: it locks other masters out before the other connections write.
        self._dispatcher_db = await self._become_master(stack)
        await refuse_unfinished(self._dispatcher_db)
        self._epoch_watch = EpochWatch(self._dispatcher_db, self._webroot.tree_epoch)
        self._epoch_watch.log_server()
        stack.callback(self._webroot.tree_epoch.release)
        try:
            async with asyncio.timeout(_CLAIM_TIMEOUT_S):
                await self._claim_tree()
        except TimeoutError:
            raise TreeSilentError(
                f"{self._webroot.root} (webroot.root) has not answered for "
                f"{_CLAIM_TIMEOUT_S:.0f} s: does its file system hang, as of a server (NFS) that "
                "is away? The master ends, so that another one can start"
            ) from None

    async def start_services(self, stack: AsyncExitStack) -> None:
        """Connect to the database, bind the sockets, compose the services."""
        config = self._config
        control_db = await self._connect(stack, "control")
        self._index = await stack.enter_async_context(
            SimpleIndex(config.upstream.url or pip_index_url())
        )
        self._upstream_sync = UpstreamSync(
            await self._connect(stack, "follow"),
            self._index,
            self._rules,
            SyncOptions(
                method=config.upstream.method,
                poll_interval_s=config.upstream.poll_interval_s,
                follow_all=config.upstream.follow_all,
                max_concurrency=config.upstream.max_requests,
                retention_days=config.upstream.removal_retention_days,
                wheels=UpstreamWheelPolicy(config.upstream.wheels),
            ),
        )
        self._log_spool = LogSpool(config.master.spool_dir / "logs", self._webroot)
        sockets = await self._bind_sockets(stack)
        await self._open_scheduler(stack, sockets)
        await self._open_publishers(stack)
        await self._open_mirror(stack)
        await self._open_watches(stack)
        await self._open_status(stack)
        series_db = await self._connect(stack, "series")
        farm = FarmMeasurements(series_db, self._status.status, self._loop_delay.take)
        builders = BuilderMeasurements(series_db, self._dispatcher.builder_views)
        self._series = SeriesRecorder(series_db, [farm.measure, builders.measure])
        self._popularity = Popularity(series_db)
        self._row_count_folding = RowCountFolding(self._status.counts_db)
        await self._open_retention(stack)
        queries_db = await self._connect(stack, "queries")
        self._control = self._control_server(sockets, control_db, queries_db)

    async def _become_master(self, stack: AsyncExitStack) -> Database:
        """The connection that holds the master's lock; a standby waits for it.

        Raises:
            OtherMasterError: another master runs, and this one is no standby.
        """
        while True:
            if self._config.master.standby:
                await Standby(self._config).wait(_control_router())
            try:
                return await self._connect(stack, "dispatch", exclusive=True)
            except OtherMasterError as error:
                if not self._config.master.standby:
                    raise
                log.info("%s", error)

    async def _claim_tree(self) -> None:
        root = self._webroot.root
        try:
            await own_webroot.require_own(self._dispatcher_db, root)
            await self._epoch_watch.claim_tree(_TREE_WAIT_S)
            if self._epoch_watch.is_claimed:
                await self._mark_tree()
        except TreeTakenError:
            raise
        except OSError as error:
            raise ConfigError(f"{root}: {error.strerror}") from None

    async def _mark_tree(self) -> None:
        """Have the web root say whose it is; on a full disk at the next start."""
        try:
            await own_webroot.mark_own(self._dispatcher_db, self._webroot.root)
        except OSError as error:
            if error.errno not in FULL_ERRNOS:
                raise
            log.warning("%s is written at the next start: %s", FARM_FILE, error.strerror)

    async def _open_retention(self, stack: AsyncExitStack) -> None:
        """Create what deletes old data."""
        self._retention = EventRetention(self._status.db, self._config.master.event_retention_days)
        db = await self._connect(stack, "retention")
        record = EventPublisher(db, self._event_bus).record
        self._daily_retention = DailyRetention(db, self._config, record)

    async def _open_status(self, stack: AsyncExitStack) -> None:
        """Create what tells consoles about the farm."""
        status_db = await self._connect(stack, "status")
        self._alerts = AlertService(status_db, self._event_bus, self._refused_keys)
        await self._alerts.load()
        self._status = StatusService(
            db=status_db,
            counts_db=await self._connect(stack, "counts"),
            dispatcher=self._dispatcher,
            upstream_sync=self._upstream_sync,
            event_bus=self._event_bus,
            alerts=self._alerts,
            web_root=self._webroot.root,
            operators=self._operators,
            web_url=self._config.webroot.url,
            database_wait=self._database_wait,
            replication_risk=lambda: self._epoch_watch.risk,
            bucket_problem=lambda: self._bucket.problem if self._bucket else "",
        )

    async def _open_scheduler(self, stack: AsyncExitStack, sockets: _Sockets) -> None:
        """Create the services that builders connect to."""
        config = self._config.master
        receive_db = await self._connect(stack, "receive")
        recorded = await key_values.get_value(receive_db, KNOWN_KEYS)
        writer = await asyncio.to_thread(_statement_writer, self._config, self._webroot, recorded)
        self._statement_fill = StatementFill(receive_db, self._webroot, writer)
        self._statement_renewal = StatementRenewal(
            receive_db, self._webroot, writer, EventPublisher(receive_db, self._event_bus).record
        )
        self._upload_server = UploadServer(
            router=sockets.uploads,
            keys=self._keys,
            publisher=WheelPublisher(receive_db, self._webroot, writer),
            spool_dir=config.spool_dir / "incoming",
        )
        self._dispatcher = Dispatcher(
            db=self._dispatcher_db,
            targets_db=await self._connect(stack, "targets"),
            dsn=self._config.database.dsn,
            router=sockets.builders,
            keys=self._keys,
            rules=self._rules,
            logs=self._log_spool,
            event_publisher=EventPublisher(self._dispatcher_db, self._event_bus),
            upload_server=self._upload_server,
            registration=self._registration,
            options=DispatcherOptions(
                builder_timeout_s=config.builder_timeout_s,
                retry_delay_s=config.retry_delay_s,
                max_attempts=config.max_attempts,
                quarantine_after=config.quarantine_after,
                reproduce_percent=config.reproduce_percent,
                pools=tuple(
                    (pool.targets, pool.memory_mb << 20)
                    for pool in self._config.pool.values()
                    if pool.max_builders
                ),
            ),
        )

    async def _open_publishers(self, stack: AsyncExitStack) -> None:
        """Create the services that write pages into the web root."""
        config = self._config.webroot
        self._index_publisher = PagePublisher(
            db=await self._connect(stack, "publish"),
            webroot=self._webroot,
            executor=stack.enter_context(RenderPool()),
            deletion_delay_s=config.deletion_delay_s,
            project_list_interval_s=config.project_list_interval_s,
        )
        await self._index_publisher.recover()
        page_writers = min(_PAGE_WRITERS, len(os.sched_getaffinity(0)))
        self._site_publisher = SitePublisher(
            db=await self._connect(stack, "show"),
            webroot=self._webroot,
            executor=stack.enter_context(RenderPool(_WEBSITE_NICENESS, page_writers)),
            writers=page_writers,
            site=self._site(),
            served_targets=lambda: self._dispatcher.targets.served,
            is_paused=lambda: self._dispatcher.paused,
        )
        self._single_page_publisher = SinglePagePublisher(
            db=await self._connect(stack, "lists"),
            webroot=self._webroot,
            executor=stack.enter_context(RenderPool(_LIST_NICENESS)),
            site=self._site(),
        )
        bucket_db = await self._connect(stack, "bucket")
        self._bucket = await open_follower(bucket_db, self._webroot, self._config)

    async def _open_mirror(self, stack: AsyncExitStack) -> None:
        """Create what publishes wheels of the upstream."""
        upstream, db = self._config.upstream, await self._connect(stack, "mirror")
        self._mirror = UpstreamMirror(
            db=db,
            index=self._index,
            rules=self._rules,
            publisher=WheelPublisher(db, self._webroot),
            folder=self._config.master.spool_dir / "mirror",
            limits=MirrorLimits(
                max_wheel_bytes=upstream.mirror_max_wheel_mb << 20,
                min_free_bytes=upstream.mirror_min_free_disk_mb << 20,
            ),
            record=EventPublisher(db, self._event_bus).record,
        )

    def _site(self) -> Site:
        # pip's own index is usually PyPI or a mirror of it.
        upstream = self._config.upstream.url or "https://pypi.org/simple/"
        return projection(
            Site,
            self._config.site,
            url=f"{self._config.webroot.url.rstrip('/')}/",
            upstream_url=f"{upstream.rstrip('/')}/",
        )

    async def _open_watches(self, stack: AsyncExitStack) -> None:
        """Create the services that notice changes outside of the master."""
        config = self._config.master
        self._database_watch = DatabaseWatch(await self._connect(stack, "watch"), self._databases)
        clock_db = await self._connect(stack, "clock")
        self._clock_watch = ClockWatch(clock_db, EventPublisher(clock_db, self._event_bus).record)
        recipes_db = await self._connect(stack, "recipes")
        self._recipe_watch = RecipeWatch(
            recipes_db,
            config.recipes,
            config.recipe_interval_s,
            config.spool_dir / "recipes",
            EventPublisher(recipes_db, self._event_bus).record,
        )
        roots_db = await self._connect(stack, "roots")
        self._root_watch = RootWatch(
            roots_db,
            config.rebuild_after_root_update,
            self._dispatcher.announced_roots,
            EventPublisher(roots_db, self._event_bus).record,
        )

    def _database_wait(self) -> str:
        return self._database_watch.wait_reason

    def _control_server(
        self, sockets: _Sockets, db: Database, queries_db: Database
    ) -> ControlServer:
        """The server of the control sockets."""
        importer = WheelImporter(
            db,
            self._rules,
            WheelPublisher(db, self._webroot),
            self._config.master.spool_dir / "imports",
        )
        importer.remove_leftovers()
        handlers = CommandHandlers(
            db=db,
            dispatcher=self._dispatcher,
            alerts=self._alerts,
            # On a connection of its own: an answer from a slow disk delays no command.
            queries=QueryHandlers(queries_db, self._dispatcher, self._status),
            importer=importer,
            invitations=BuilderInvitations(
                self._registration,
                MasterAddress(
                    host=known_host(sockets.builder_endpoint, self._config.webroot.url),
                    builder_endpoint=sockets.builder_endpoint,
                    upload_endpoint=sockets.upload_endpoint,
                    key=self._keys.require(MASTER).public,
                ),
            ),
            index=self._index,
            rules=self._rules,
            wheels=UpstreamWheelPolicy(self._config.upstream.wheels),
        )
        return ControlServer(
            routers=sockets.controls,
            keys=self._keys,
            executor=CommandExecutor(
                handlers.handle,
                EventPublisher(db, self._event_bus),
                self._status.on_command_executed,
                self._database_wait,
            ),
            subscriptions=Subscriptions(
                self._status.snapshot, self._log_spool, self._event_bus, self._database_wait
            ),
            request_shutdown=self._shutdown.set,
            operators=self._operators,
            group_role=ControlRole(self._config.master.control_group_role),
        )

    async def run_services(self) -> None:
        """Run all services; one that fails ends all."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._dispatcher.run())
            group.create_task(self._upload_server.run())
            group.create_task(self._control.run())
            group.create_task(self._status.run())
            group.create_task(self._alerts.run())
            group.create_task(self._index_publisher.run())
            group.create_task(self._site_publisher.run())
            group.create_task(self._single_page_publisher.run())
            group.create_task(self._upstream_sync.run())
            group.create_task(self._retention.run())
            group.create_task(self._statement_fill.run())
            group.create_task(self._mirror.run())
            group.create_task(self._statement_renewal.run())
            group.create_task(self._daily_retention.run())
            group.create_task(self._series.run())
            group.create_task(self._loop_delay.run())
            group.create_task(self._row_count_folding.run())
            group.create_task(self._popularity.run())
            group.create_task(self._database_watch.run())
            group.create_task(self._clock_watch.run())
            group.create_task(self._recipe_watch.run())
            group.create_task(self._root_watch.run())
            group.create_task(self._epoch_watch.run())
            group.create_task(self._notify_systemd())
            group.create_task(self._serve_metrics())
            if self._bucket is not None:
                group.create_task(self._bucket.run())
            sd_notify("READY=1")
            log.info("ready: %s", self._config.master.control_bind)

    async def _notify_systemd(self) -> None:
        """Notify systemd's watchdog, with a status line."""
        every_s = min(watchdog_interval_s() or _STATUS_INTERVAL_S, _STATUS_INTERVAL_S)
        while True:
            views = self._dispatcher.builder_views()
            builders = [view for view in views if view.state is not BuilderState.ENDED]
            building = sum(view.build is not None for view in builders)
            sd_notify(
                f"WATCHDOG=1\nSTATUS={pluralize(len(builders), 'builder')}, {building} building"
            )
            await asyncio.sleep(every_s)

    async def _serve_metrics(self) -> None:
        """Answer Prometheus, if `master.metrics_bind` is set."""
        if address := self._config.master.metrics_bind:
            # Not imported where it is off.
            from piwheels.master.metrics import serve_metrics  # noqa: PLC0415

            await serve_metrics(address, self._status)

    async def _connect(
        self, stack: AsyncExitStack, role: str, *, exclusive: bool = False
    ) -> Database:
        dsn = self._config.database.dsn
        # If no server answers at all the DSN may be wrong: fail at once.
        timeout_s = _DATABASE_CONNECT_TIMEOUT_S if self._databases or await is_running(dsn) else 0.0
        epoch = self._databases[0].epoch if self._databases else None
        database = await Database.connect(
            dsn, role=role, exclusive=exclusive, epoch=epoch, connect_timeout_s=timeout_s
        )
        self._databases.append(database)
        return await stack.enter_async_context(database)

    async def _bind_sockets(self, stack: AsyncExitStack) -> _Sockets:
        config, key = self._config.master, self._keys.load_or_generate(MASTER)
        gate = CurveGate(self._is_allowed, self._registration.on_refused)
        await stack.enter_async_context(gate)
        gate.protect(Role.BUILDER)
        gate.protect(CONTROL_DOMAIN)
        builders: Router[FromBuilder, ToBuilder] = Router(FromBuilder, _rejected, hwm=_BUILDER_HWM)
        uploads: Router[FromUploader, ToUploader] = Router(FromUploader, _rejected, hwm=_UPLOAD_HWM)
        control = _control_router()
        controls = [control]
        if config.control_tcp_bind:
            controls.append(_control_router())
        for close in (builders.close, uploads.close, *(router.close for router in controls)):
            stack.callback(close)
        builder_at = builders.bind(config.builder_bind, key=key, domain=Role.BUILDER)
        upload_at = uploads.bind(config.upload_bind, key=key, domain=Role.BUILDER)
        control.bind(config.control_bind)
        if config.control_tcp_bind:
            controls[1].bind(config.control_tcp_bind, key=key, domain=CONTROL_DOMAIN)
        return _Sockets(builders, uploads, controls, builder_at, upload_at)

    def _is_allowed(self, domain: str, key: str) -> bool:
        # All consoles use one socket; each request is authorized separately.
        roles = [Role(role) for role in ControlRole] if domain == CONTROL_DOMAIN else [Role(domain)]
        if any(self._keys.name_of(role, key) is not None for role in roles):
            return True
        return domain == Role.BUILDER and self._registration.admits(key)


def _statement_writer(
    config: Config, webroot: Webroot, recorded: str | None = None
) -> "StatementWriter | None":
    """What signs how wheels were built; None, with a warning, where a package for it is missing.

    Args:
        config: the settings.
        webroot: where keys and statements are published.
        recorded: the public keys that the database knows (KNOWN_KEYS); None if it never did.

    Raises:
        ConfigError: the keys cannot be read or written, or the package is missing and required.
    """
    try:
        from piwheels.provenance.signing_keys import SigningKeys  # noqa: PLC0415
        from piwheels.provenance.writer import StatementWriter  # noqa: PLC0415
        from piwheels.scheduler.known_keys import KeyRecorder, recorded_keys  # noqa: PLC0415
    except ImportError as error:
        if config.master.require_provenance:
            raise ConfigError(
                f"wheels cannot be signed ({error}): install the Python package cryptography "
                "(`pip install cryptography`, or Debian's python3-cryptography in an environment "
                "with --system-site-packages), or set master.require_provenance to false"
            ) from None
        log.warning("wheels are published without signed provenance: %s", error)
        return None
    farm_url = f"{config.webroot.url.rstrip('/')}/"
    record_keys = KeyRecorder(config.database.dsn)
    writer = StatementWriter(SigningKeys(config.master.key_dir), webroot, farm_url, record_keys)
    try:
        writer.begin(recorded_keys(recorded))
    except OSError as error:
        raise ConfigError(f"{webroot.provenance_keys_path()}: {error.strerror}") from None
    return writer


def _make_dirs(config: Config) -> None:
    makers: dict[str, tuple[Path, Callable[[Path], None]]] = {
        "webroot.root": (config.webroot.root, make_dir),
        "master.spool_dir": (
            config.master.spool_dir,
            lambda path: path.mkdir(parents=True, exist_ok=True, mode=0o700),
        ),
    }
    for key, (directory, make) in makers.items():
        try:
            make(directory)
            with tempfile.TemporaryFile(dir=directory):
                pass
        except OSError as error:
            raise ConfigError(f"{directory} ({key}): {error.strerror}") from None


def _rejected(reason: str, data: bytes) -> Rejected:
    peer_protocol = parse_header(data).protocol
    if not speaks_with_builder(peer_protocol):
        return Rejected(reason=builder_mismatch_message(peer_protocol), permanent=True)
    return Rejected(reason=reason)


def _control_router() -> Router[Request, Reply]:
    return Router(Request, _command_failed, hwm=_CONTROL_HWM)


def _command_failed(reason: str, data: bytes) -> Reply:
    header = parse_header(data)
    if header.protocol != PROTOCOL:
        reason = protocol_mismatch_message(header.protocol)
    return Reply(request_id=header.request_id, body=CommandFailed(reason=reason))
