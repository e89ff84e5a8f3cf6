"""A connection for one role: opened, checked, shared by tasks, and reopened when it breaks."""

import asyncio
import functools
import logging
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, Self, TypeVar

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import DictRow

from piwheels.backoff import Backoff
from piwheels.db.connection import (
    READ_ONLY_STATE,
    TIMELINE_QUERY,
    Connection,
    DatabaseError,
    DatabaseUnavailableError,
    error_text,
    is_transient,
    open_connection,
    server_too_old,
    with_default_timeouts,
)
from piwheels.db.master_epoch import (
    EPOCH_OVER_STATE,
    MasterEpoch,
    begin_epoch,
    continue_epoch,
    epoch_over,
)
from piwheels.db.migrate import SCHEMA_VERSION, schema_version
from piwheels.db.pooler_check import refuse_transaction_pooling
from piwheels.db.singleton_lock import acquire_master_lock, notice_vanished_client

__all__ = [
    "Database",
    "DatabaseError",
    "DatabaseUnavailableError",
    "Notification",
    "OtherMasterError",
    "is_running",
    "make_dsn",
    "server_is_up",
    "transactional",
    "transpose_rows",
]

log = logging.getLogger(__name__)

_RETRYING = "%s: %s; retrying"

_T = TypeVar("_T")
_P = ParamSpec("_P")

_MIN_RETRY_DELAY_S = 0.2
#: A database that has returned is used again within this time.
_MAX_RETRY_DELAY_S = 1.0
#: A persistent error is logged again at this interval.
_LOG_INTERVAL_S = 60.0
_FETCH_ROWS = 2000  # rows: a few milliseconds


class _OldEpochError(psycopg.OperationalError):
    """The session's epoch is one that its own master has left behind."""

    def __str__(self) -> str:
        return "another server was promoted"


class OtherMasterError(DatabaseError):
    """Another master uses the database."""


#: A value that is none of its type, that a constraint forbids, or that is too large for an index.
_VALUE_ERRORS = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)


def is_database_error(error: BaseException) -> bool:
    """Whether the database or the statement is the cause, and not a value in it."""
    at_fault = isinstance(error, psycopg.Error | DatabaseError | DatabaseUnavailableError)
    return at_fault and not isinstance(error, _VALUE_ERRORS)


class Notification(msgspec.Struct, frozen=True):
    """A NOTIFY; `channel` is "" for the one that follows a new connection."""

    channel: str
    payload: str


class _Session(NamedTuple):
    """A connection, the epoch of its master, and what the epoch's number was when it was made."""

    connection: Connection
    epoch: MasterEpoch | None
    epoch_number: int


class Database:
    """A connection in autocommit mode, whose statements and transactions run one at a time."""

    def __init__(
        self,
        dsn: str,
        role: str,
        session: _Session,
        *,
        exclusive: bool,
    ) -> None:
        connection = session.connection
        self.epoch = session.epoch  # of the master that this connection belongs to
        self._session_epoch = session.epoch_number
        self._dsn = dsn
        self._role = role
        self._connection = connection
        self._pid = connection.info.backend_pid
        self._exclusive = exclusive
        self.retry_count = 0
        self.last_error = ""  # the error that is being retried; "" for none
        self._last_logged = 0.0
        self._lock = asyncio.Lock()
        self._owner: asyncio.Task[Any] | None = None

    @classmethod
    async def connect(
        cls,
        dsn: str,
        *,
        role: str,
        exclusive: bool = False,
        epoch: MasterEpoch | None = None,
        connect_timeout_s: float = 0.0,
    ) -> Self:
        """Connect, and check that the schema has this version.

        Args:
            dsn: the connection string.
            role: what the connection is for; its application_name shows it.
            exclusive: no other exclusive connection may use this database as long as this one
                is open. It begins a new epoch.
            epoch: the one that this connection's master began; when it is over, nothing more
                can be written.
            connect_timeout_s: for how long a server that accepts no connections is retried.

        Raises:
            DatabaseUnavailableError: no server that accepts writes answers at that DSN.
            DatabaseError: the DSN is malformed, the server or the schema has another version,
                this account lacks privileges, another master is running, the epoch is over, or
                a connection pooler in between does not provide sessions.
        """
        backoff, began = Backoff(_MIN_RETRY_DELAY_S, _MAX_RETRY_DELAY_S), time.monotonic()
        while True:
            try:
                session = await _open_checked(dsn, role, exclusive=exclusive, epoch=epoch)
                return cls(dsn, role, session, exclusive=exclusive)
            except DatabaseUnavailableError as error:
                if time.monotonic() - began >= connect_timeout_s:
                    raise
                log.warning(_RETRYING, role, error)
            await asyncio.sleep(backoff.next_s())

    @property
    def server(self) -> str:
        """The host that this connection leads to, with its port."""
        return f"{self._connection.info.host}:{self._connection.info.port}"

    @property
    def dsn(self) -> str:
        """The connection string, with its password."""
        return self._dsn

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """A transaction of the calling task, which is not repeated: see `in_transaction`.

        The task's statements join it; other tasks wait for the connection.
        """
        if self._owner is asyncio.current_task():
            yield
            return
        async with self._lock:
            self._owner = asyncio.current_task()
            try:
                async with self._connection.transaction():
                    yield
            finally:
                self._owner = None

    async def in_transaction(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """Run work in a transaction, and all of it again after each error that is transient.

        Statements of the work join the transaction; so does work that is already in one.
        """

        async def attempt() -> _T:
            async with self.transaction():
                return await work()

        return await self._retry(attempt)

    async def rows(
        self, query: str, parameters: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """All rows of a query; other tasks use the connection while many are fetched."""
        return await self._retry(lambda: self._fetch(query, parameters))

    async def row(
        self, query: str, parameters: Mapping[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """The first row of a query, or None."""

        async def fetch() -> dict[str, Any] | None:
            async with self._cursor(query, parameters) as cursor:
                return await cursor.fetchone()

        return await self._retry(fetch)

    async def value(self, query: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row of a query, or None."""
        row = await self.row(query, parameters)
        return next(iter(row.values())) if row else None

    async def execute(self, query: str, parameters: Mapping[str, Any] | None = None) -> int:
        """Execute a statement; returns how many rows it affected."""

        async def execute() -> int:
            async with self._cursor(query, parameters) as cursor:
                return max(cursor.rowcount, 0)

        return await self._retry(execute)

    async def copy(self, statement: str, pieces: Sequence[bytes]) -> None:
        """Execute a COPY ... FROM STDIN with this content, within a transaction."""
        async with self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for piece in pieces:
                await copy.write(piece)

    async def copy_to_file(self, statement: str, path: Path) -> None:
        """Write what a COPY ... TO STDOUT gives to a file.

        Raises:
            OSError: the file cannot be written.
        """

        async def attempt() -> None:
            with path.open("wb") as file:
                async with (
                    self.transaction(),
                    self._connection.cursor() as cursor,
                    cursor.copy(statement.encode()) as copy,
                ):
                    async for piece in copy:
                        file.write(piece)

        await self._retry(attempt)

    async def _retry(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Run a statement or a transaction, and again after each error that is transient.

        Within a transaction the error is raised, because the transaction is repeated as a whole.
        While it waits, `last_error` is set.

        Raises:
            DatabaseError: no further attempt can succeed.
        """
        if self._owner is asyncio.current_task():
            return await attempt()
        backoff = Backoff(_MIN_RETRY_DELAY_S, _MAX_RETRY_DELAY_S, jitter=(0.5, 1.0))
        while True:
            used = self._connection
            try:
                if self._has_old_epoch():
                    raise _OldEpochError
                result = await attempt()
            except psycopg.Error as error:
                is_stale = self._is_stale_session(error)
                if not is_stale:
                    _raise_unless_transient(error)
                self._record_error(error)
            else:
                self.last_error = ""
                return result
            connected = False
            while not connected:
                await asyncio.sleep(backoff.next_s())
                connected = await self._reconnect(used, force=is_stale)

    def _has_old_epoch(self) -> bool:
        """Whether the master went on with a higher epoch, on a server that was promoted."""
        return self.epoch is not None and self.epoch.exceeds(self._session_epoch)

    def _is_stale_session(self, error: psycopg.Error) -> bool:
        """Whether another session is needed: of another server, or with this master's new epoch."""
        if isinstance(error, _OldEpochError) or error.sqlstate == EPOCH_OVER_STATE:
            return self._has_old_epoch()
        return error.sqlstate == READ_ONLY_STATE

    async def _fetch(
        self, query: str, parameters: Mapping[str, Any] | None
    ) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        async with self._cursor(query, parameters) as cursor:
            while batch := await cursor.fetchmany(_FETCH_ROWS):
                rows += batch
                if len(batch) < _FETCH_ROWS:
                    break
                await asyncio.sleep(0)
        return rows

    async def notifications(self, *channels: str) -> AsyncGenerator[Notification, None]:
        """NOTIFYs on these channels, on a separate connection.

        After each connection, the first included, one notification without a channel says
        that something may have been missed.
        """
        backoff = Backoff(_MIN_RETRY_DELAY_S, _MAX_RETRY_DELAY_S)
        while True:
            try:
                connection = await open_connection(
                    self._dsn, f"piwheels {self._role} listener", autocommit=True
                )
                async with connection:
                    for channel in channels:
                        await connection.execute(
                            sql.SQL("LISTEN {}").format(sql.Identifier(channel))
                        )
                    backoff.reset()
                    yield Notification("", "")
                    async for notify in connection.notifies():
                        yield Notification(notify.channel, notify.payload)
            except (psycopg.Error, DatabaseUnavailableError) as error:
                if isinstance(error, psycopg.Error):
                    _raise_unless_transient(error)
                log.warning("%s listener: %s; retrying", self._role, error_text(error))
            await asyncio.sleep(backoff.next_s())

    @asynccontextmanager
    async def _cursor(
        self, query: str, parameters: Mapping[str, Any] | None
    ) -> AsyncIterator[psycopg.AsyncCursor[DictRow]]:
        if self._owner is asyncio.current_task():
            yield await self._connection.execute(query.encode(), parameters)
            return
        async with self._lock:
            yield await self._connection.execute(query.encode(), parameters)

    async def server_timeline(self) -> int:
        """The timeline that the server of this connection writes."""
        return int(await self.value(TIMELINE_QUERY))

    def _record_error(self, error: Exception) -> None:
        """Store a transient error; log it if it is new, or persists."""
        self.retry_count += 1
        text, now = error_text(error), time.monotonic()
        if self.last_error and self._connection.closed and isinstance(error, psycopg.Error):
            return  # another task has recorded the cause
        if text != self.last_error or now - self._last_logged > _LOG_INTERVAL_S:
            log.warning(_RETRYING, self._role, text)
            self._last_logged = now
        self.last_error = text

    async def _reconnect(self, used: Connection, *, force: bool) -> bool:
        """Replace a connection that is broken, or with `force` any, unless that was done.

        Returns:
            Whether there is a connection.
        """
        async with self._lock:
            is_broken = self._connection.broken or self._connection.closed
            if not is_broken and (not force or self._connection is not used):
                return True
            await self._connection.close()
            try:
                session = await _open_checked(
                    self._dsn,
                    self._role,
                    exclusive=self._exclusive,
                    epoch=self.epoch,
                    former_pid=self._pid,
                )
            except DatabaseUnavailableError as error:
                self._record_error(error)
                return False
            self._connection = session.connection
            self._pid = session.connection.info.backend_pid
            self._session_epoch = session.epoch_number
            return True


def transactional(
    function: Callable[Concatenate[Database, _P], Awaitable[_T]],
) -> Callable[Concatenate[Database, _P], Coroutine[Any, Any, _T]]:
    """A query function whose statements are one transaction (`Database.in_transaction`)."""

    @functools.wraps(function)
    async def in_transaction(db: Database, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await db.in_transaction(lambda: function(db, *args, **kwargs))

    return in_transaction


async def server_is_up(dsn: str, timeout_s: int = 2) -> bool:
    """Whether a server accepts connections at this DSN."""
    try:
        async with await psycopg.AsyncConnection.connect(dsn, connect_timeout=timeout_s):
            return True
    except psycopg.OperationalError:
        return False


async def is_running(dsn: str) -> bool:
    """Whether a server answers at this DSN, even if only to reject connections for now."""
    try:
        whole = with_default_timeouts(dsn)
    except psycopg.ProgrammingError:
        return False
    answer = await asyncio.to_thread(psycopg.pq.PGconn.ping, whole.encode())
    return answer in {psycopg.pq.Ping.OK, psycopg.pq.Ping.REJECT}


def make_dsn(**parts: str) -> str:
    """A connection string of these parts (host, user, password, dbname), quoted as needed."""
    return psycopg.conninfo.make_conninfo("", **parts)


def split_password(dsn: str) -> tuple[str, str]:
    """A connection string without its password, and that; for programs that others see run.

    Of several hosts they use the one that accepts writes, too.

    Raises:
        DatabaseError: the string is malformed.
    """
    try:
        parts = psycopg.conninfo.conninfo_to_dict(with_default_timeouts(dsn))
    except psycopg.Error as error:
        raise DatabaseError(f"database.dsn is malformed: {error}") from None
    password = str(parts.pop("password", "") or "")
    parts["target_session_attrs"] = "read-write"
    return psycopg.conninfo.make_conninfo("", **parts), password


async def _open_checked(
    dsn: str,
    role: str,
    *,
    exclusive: bool,
    epoch: MasterEpoch | None,
    former_pid: int | None = None,
) -> _Session:
    """A connection to a database that can be used as it is, and its epoch.

    `former_pid` is the predecessor's pid.
    """
    connection, number = await open_connection(dsn, f"piwheels {role}", autocommit=True), 0
    try:
        await _check_version(connection)
        await notice_vanished_client(connection)
        await refuse_transaction_pooling(connection, dsn)
        if exclusive and (other := await acquire_master_lock(connection, former_pid)):
            raise OtherMasterError(
                f"another master is using this database ({other}); stop it first, or set "
                "database.dsn to another database"
            )
        if epoch is not None:
            number = await continue_epoch(connection, epoch, exclusive=exclusive)
        elif exclusive:
            epoch = await begin_epoch(connection)
            number = epoch.number
    except psycopg.Error as error:
        await connection.close()
        _raise_unless_transient(error)
        raise DatabaseUnavailableError(error_text(error)) from None
    except BaseException:
        await connection.close()
        raise
    return _Session(connection, epoch, number)


def _raise_unless_transient(error: psycopg.Error) -> None:
    """Raise an error that no retry can fix, with what an operator can do about it."""
    if is_transient(error):
        return
    if isinstance(error, _VALUE_ERRORS):
        raise error
    if error.sqlstate == EPOCH_OVER_STATE:
        raise epoch_over() from error
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        raise DatabaseError(
            f"the database denied permission ({error_text(error)}); database.dsn must connect as "
            "the owner of its tables"
        ) from error
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        raise DatabaseError(error_text(error)) from error
    raise error


async def _check_version(connection: Connection) -> None:
    if too_old := server_too_old(connection):
        raise DatabaseError(too_old)
    found = await schema_version(connection)
    if found != SCHEMA_VERSION:
        raise DatabaseError(
            f"the database has schema version {found}, this piwheels needs {SCHEMA_VERSION}: "
            + ("run `piw db upgrade`" if found < SCHEMA_VERSION else "install a newer piwheels")
        )


def transpose_rows(items: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Rows turned into parameters for unnest(): one list for each key."""
    keys = items[0].keys() if items else ()
    return {key: [item[key] for item in items] for key in keys}
