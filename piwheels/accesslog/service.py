"""`piw accesslog`: reads files, follows files, or reads the pipe of a web server."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from piwheels.accesslog import parquet_files
from piwheels.accesslog.access_files import access_files
from piwheels.accesslog.context import Counters, IngestContext
from piwheels.accesslog.hash_chain import Checkpoint, HashChain
from piwheels.accesslog.line_fingerprints import RETENTION_DAYS
from piwheels.accesslog.log_formats import LogFormat
from piwheels.accesslog.logfile import LogFile
from piwheels.accesslog.parquet_export import (
    delete_expired_files,
    delete_expired_objects,
    export_accesses,
)
from piwheels.accesslog.reader import LogReader, today, verify
from piwheels.accesslog.rejected_lines import RejectedLineSample
from piwheels.accesslog.spool import Segments, Spool, orphaned_streams
from piwheels.accesslog.tail import LogTailer
from piwheels.backoff import Backoff
from piwheels.config import Config
from piwheels.db import access_log_positions
from piwheels.db.audit_log import record_event
from piwheels.db.database import Database, DatabaseUnavailableError
from piwheels.errors import ConfigError, RejectedError
from piwheels.formatting import pluralize
from piwheels.log_setup import configure_logging
from piwheels.object_storage.errors import BucketError, ChangedMeanwhileError

log = logging.getLogger(__name__)

_POLL_S = 0.5
_FIRST_MONTH = date.min.year * 12
_HEARTBEAT_INTERVAL_S = 5.0
_CLEANUP_INTERVAL_S = 600.0
_EXPORT_INTERVAL_S = 3600.0
_FIRST_DELAY_S = 0.5
_MAX_DELAY_S = 10.0
_STOP_TIMEOUT_S = 3.0
_PIPE_END_TIMEOUT_S = 10.0  # at the end of a pipe without a database; the spool keeps the rest


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """The options of the command; without files, standard input is read."""

    files: tuple[Path, ...]
    follow: tuple[Path, ...]
    line_format: LogFormat
    as_json: bool


def run(config: Config, options: IngestOptions) -> int:
    """Read the given logs; returns the exit status.

    Raises:
        PiwheelsError: a file cannot be read, or the database cannot be used.
    """
    configure_logging()
    return asyncio.run(_IngestService(config, options).run())


class _IngestService:
    def __init__(self, config: Config, options: IngestOptions) -> None:
        self._config = config
        self._options = options
        self._reader_name = f"{socket.gethostname()}:{os.getpid()}"
        self._counters = Counters()
        self._stopped = asyncio.Event()
        self._rows_since = date.min
        self._confirmed = date.min  # by accesses
        self._newest_day = date.min  # the same, but no day that is to come by the clock
        self._fingerprints_since: date | None = None  # None: all fingerprints are kept
        self._reported_doubt = ""  # the last reported reason to distrust the clock
        self._spool: Spool | None = None  # of the pipe
        self._files = access_files(config)
        self._answered_at: float | None = None  # when the database took the last heartbeat

    async def run(self) -> int:
        options = self._options
        if options.files:
            code = await self._read_files()
        if options.follow:
            return await self._run_until_stopped(self._follow_files())
        if not options.files:
            code = await self._run_until_stopped(self._read_pipe())
        self._print_summary()
        return code

    async def _run_until_stopped(self, work: Coroutine[Any, Any, int]) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopped.set)
        try:
            metrics = asyncio.create_task(self._metrics_server())
        except ConfigError:
            work.close()
            raise
        task = asyncio.create_task(work)
        stopped = asyncio.create_task(self._stopped.wait())
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            # Without the database it would wait forever; uncommitted lines are read again later.
            await asyncio.wait({task}, timeout=_STOP_TIMEOUT_S)
            task.cancel()
        stopped.cancel()
        metrics.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            return 0

    def _metrics_server(self) -> Coroutine[Any, Any, None]:
        """Answers Prometheus, if `accesslog.metrics_bind` is set."""
        address = self._config.accesslog.metrics_bind
        if not address:
            return asyncio.sleep(0)
        # Not imported where it is off.
        from piwheels.accesslog.metrics import metrics_endpoint  # noqa: PLC0415

        return metrics_endpoint(
            address, self._counters, lambda: self._spool, lambda: self._answered_at
        ).run()

    # --- files ---

    async def _read_files(self) -> int:
        database = await Database.connect(self._config.database.dsn, role="accesslog")
        code = 0
        async with self._open_context(database) as context:
            for path in self._options.files:
                try:
                    with LogFile(path) as file:
                        await LogReader(context, file).read_to_end()
                except (RejectedError, ConfigError) as error:
                    log.error("%s", error)
                    code = 1
        return code

    # --- following ---

    async def _follow_files(self) -> int:
        database = await self._connect_with_retries()
        if database is None:
            return 0
        async with self._open_context(database, with_heartbeat=True) as context:
            followers = [LogTailer(context, path) for path in self._options.follow]
            for follower in followers:
                await follower.start()
            while not self._stopped.is_set():
                news = [await follower.poll() for follower in followers]
                if not any(news):
                    await self._pause()
            return 0

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_POLL_S):
                await self._stopped.wait()

    async def _connect_with_retries(self, spool: Spool | None = None) -> Database | None:
        """A connection, with retries; None when stopped before."""
        backoff, since = Backoff(_FIRST_DELAY_S, _MAX_DELAY_S), None
        while not self._stopped.is_set():
            try:
                return await Database.connect(self._config.database.dsn, role="accesslog")
            except DatabaseUnavailableError as error:
                log.warning("%s; retrying", error)
            if spool is not None:
                spool.database_away.set()
                since = since or (time.monotonic() if spool.ended.is_set() else None)
                if since and time.monotonic() - since > _PIPE_END_TIMEOUT_S:
                    return None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff.next_s()):
                    await self._stopped.wait()
        return None

    # --- a pipe ---

    async def _read_pipe(self) -> int:
        section = self._config.accesslog
        spool = Spool(section.spool_dir, section.spool_max_mb * 1024 * 1024)
        self._spool = spool
        spool.start(sys.stdin.fileno())
        try:
            database = await self._connect_with_retries(spool)
            if database is not None:
                async with self._open_context(database, with_heartbeat=True) as context:
                    await self._read_orphaned_streams(context)
                    await self._read_spool(context, spool)
        finally:
            left = spool.segments.size_bytes if not self._stopped.is_set() else 0
            spool.close()
        if spool.problem:
            lost = f"; {spool.dropped_lines} lines were lost" if spool.dropped_lines else ""
            raise RejectedError(spool.problem + lost)
        if left:
            log.error(
                "%d bytes in %s were not read; the next `piw accesslog` reads them",
                left,
                section.spool_dir,
            )
        return 1 if left else 0

    async def _read_spool(self, context: IngestContext, spool: Spool) -> None:
        reader = LogReader(context, spool.segments)
        reported = 0
        while True:
            ended = spool.ended.is_set() or self._stopped.is_set()
            if await self._watch_for_outage(spool, reader.read_new()):
                continue
            if spool.dropped_lines > reported:
                reported = await self._report_drops(context.db, spool, reported)
            if ended:
                break
            await self._pause()
        if spool.ended.is_set():  # otherwise the next run reads the rest
            await reader.read_new(last=True)
            spool.segments.remove()

    async def _watch_for_outage(self, spool: Spool, work: Coroutine[Any, Any, bool]) -> bool:
        """Await work; while it takes long, let the spool drop lines when it is full."""
        task = asyncio.ensure_future(work)
        while True:
            done, _ = await asyncio.wait({task}, timeout=2.0)
            if done:
                spool.database_away.clear()
                return task.result()
            spool.database_away.set()

    async def _report_drops(self, db: Database, spool: Spool, reported: int) -> int:
        dropped = spool.dropped_lines
        reason = spool.problem or "the database was unavailable"
        text = f"dropped {dropped - reported} lines of an access log: {reason}"
        log.warning("%s", text)
        await record_event(db, "accesslog", text)
        return dropped

    async def _read_orphaned_streams(self, context: IngestContext) -> None:
        with orphaned_streams(self._config.accesslog.spool_dir) as streams:
            for segments in streams:
                log.info(
                    "reading %d bytes that an earlier run left in the spool", segments.size_bytes
                )
                reader = LogReader(context, segments)
                if segments.first_position:
                    await resume_stream(context, reader, segments)
                await reader.read_new(last=True)
                segments.remove()

    # --- context and cleanup ---

    @contextlib.asynccontextmanager
    async def _open_context(
        self, database: Database, *, with_heartbeat: bool = False
    ) -> AsyncIterator[IngestContext]:
        section = self._config.accesslog
        context = IngestContext.create(
            database,
            self._options.line_format,
            RejectedLineSample(section.spool_dir / "rejected-lines.log"),
            lambda: self._rows_since,
            urlsplit(self._config.webroot.url).path.strip("/"),
        )
        context.counters = self._counters
        context.confirmed_day = lambda: self._confirmed
        async with database:
            await self._delete_expired(database)
            keeping = asyncio.create_task(self._heartbeat(database)) if with_heartbeat else None
            exporting = asyncio.create_task(self._export(forever=with_heartbeat))
            try:
                yield context
            finally:
                exporting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await exporting
                if keeping is not None:
                    keeping.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await keeping
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(1):
                            await access_log_positions.remove_reader(database, self._reader_name)

    async def _heartbeat(self, database: Database) -> None:
        tidied = time.monotonic()
        while True:
            await access_log_positions.heartbeat_reader(database, self._reader_name)
            self._answered_at = time.time()
            if time.monotonic() - tidied > _CLEANUP_INTERVAL_S:
                tidied = time.monotonic()
                await self._delete_expired(database)
            await asyncio.sleep(_HEARTBEAT_INTERVAL_S)

    async def _export(self, *, forever: bool) -> None:
        """Move old accesses to files, on a connection of its own, while this reads on."""
        section = self._config.accesslog
        if not forever or not (section.parquet_after_days or section.parquet_target):
            return
        exports = section.parquet_after_days > 0
        if exports and (reason := parquet_files.missing_reason()):
            log.warning("single accesses stay in the database: %s", reason)
            exports = False
        if not exports and not section.parquet_target:
            return
        async with await Database.connect(self._config.database.dsn, role="export") as database:
            while True:
                if exports:
                    await self._export_once(database)
                try:
                    await delete_expired_objects(database, self._files, self._rows_since)
                except (BucketError, ConfigError) as error:
                    log.warning("old objects of single accesses cannot be deleted: %s", error)
                await asyncio.sleep(_EXPORT_INTERVAL_S)

    async def _export_once(self, database: Database) -> None:
        """Move what is old enough; what cannot be moved stays, and a warning says how much."""
        days = self._config.accesslog.parquet_after_days
        if (self._newest_day - date.min).days <= days:
            return
        before = self._newest_day - timedelta(days)
        try:
            await export_accesses(database, self._files, before)
        except (BucketError, ChangedMeanwhileError, ConfigError, RejectedError) as error:
            log.warning("%s", error)

    async def _delete_expired(self, database: Database) -> None:
        """Delete expired access records, address keys and fingerprints."""
        await self._set_retention(database)
        before = self._rows_since
        for name in await access_log_positions.drop_partitions(database, before):
            log.info("dropped %s", name)
        try:
            await delete_expired_files(database, self._files, before)
        except OSError as error:
            log.warning("files of single accesses cannot be deleted: %s", error)
        await access_log_positions.delete_expired_keys(database)
        hour_ago = int(time.time()) // 60 - 60
        await access_log_positions.compact_fingerprints(database, hour_ago)
        if oldest := self._fingerprints_since:
            await access_log_positions.prune_fingerprints(database, oldest)

    async def _set_retention(self, database: Database) -> None:
        """Set the first days of which access records and fingerprints are kept.

        Deleted records cannot be restored, because their log is not read again. So nothing is
        deleted because of the clock alone: it is trusted only as far as accesses confirm it.
        """
        months, clock = self._config.accesslog.retention_months, today()
        confirmed = await access_log_positions.confirmed_day(database)
        self._confirmed = confirmed or date.min
        newest = self._newest_day = min(self._confirmed, clock)
        kept, oldest = timedelta(RETENTION_DAYS), newest - date.min
        self._fingerprints_since = newest - kept if oldest >= kept else None
        trusted_day = clock if months <= 0 else newest
        self._rows_since = _months_before(trusted_day, months)
        if confirmed and self._rows_since < _months_before(clock, months):
            self._report_clock_doubt(clock, confirmed)

    def _report_clock_doubt(self, clock: date, confirmed: date) -> None:
        doubt = (
            f"the clock is at {clock}, but accesses confirm only {confirmed}: access records are "
            f"kept as on that day until {access_log_positions.CONFIRMING_DAYS} later days have "
            "accesses"
        )
        if doubt != self._reported_doubt:
            self._reported_doubt = doubt
            log.info("%s", doubt)

    def _print_summary(self) -> None:
        counters = self._counters
        if self._options.as_json:
            sys.stdout.write(msgspec.json.encode(counters).decode() + "\n")
            return
        parts = [pluralize(counters.lines, "line"), pluralize(counters.downloads, "download")]
        parts = [", ".join([*parts, f"{counters.rejected_lines:,} rejected"])]
        if counters.already_read_bytes:
            parts.append(f"{counters.already_read_bytes:,} bytes were already read")
        if counters.already_counted_lines:
            parts.append(f"{pluralize(counters.already_counted_lines, 'line')} already counted")
        sys.stdout.write("; ".join(parts) + "\n")


async def resume_stream(context: IngestContext, reader: LogReader, segments: Segments) -> None:
    """Resume a stream whose first segments are committed and deleted.

    Its log has a checkpoint at the start of the first segment and the same content after it; if
    there is no content to compare, it is the log with the stream's name.
    """
    first = segments.first_position
    for log in await access_log_positions.find_logs_at(context.db, first):
        segments.rewind()
        chain, agrees = verify(segments, log, HashChain(Checkpoint(first, log.checkpoints[first])))
        compared = any(first < end <= chain.position for end in (log.position, *log.checkpoints))
        if not agrees or not (compared or log.name == segments.name):
            continue
        if chain.position < log.position:  # all of it was read under another name
            segments.remove()
        else:
            reader.resume_at(log.log_id, log.first_line, chain)
        return
    segments.rewind()


def _months_before(day: date, months: int) -> date:
    """The first day of the month this many months earlier; date.max if months is 0."""
    if months <= 0:
        return date.max
    number = day.year * 12 + day.month - 1 - months
    return date(number // 12, number % 12 + 1, 1) if number >= _FIRST_MONTH else date.min
