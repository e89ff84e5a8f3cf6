"""One connection of one duty: opened, checked, shared by its tasks, mended when it breaks."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import DictRow

from piwheels.db.alone import lock_out_others
from piwheels.db.connection import (
    OLDEST_SERVER,
    READ_ONLY,
    Connection,
    DatabaseError,
    DatabaseUnavailableError,
    completed,
    open_connection,
    passes,
    reason,
)
from piwheels.db.epoch import OVER, begin_epoch, continue_epoch, epoch_over
from piwheels.db.migrate import SCHEMA_VERSION, schema_version
from piwheels.db.pooler import refuse_transaction_pooling

__all__ = [
    "Database",
    "DatabaseError",
    "DatabaseUnavailableError",
    "Notification",
    "answers",
    "columns",
    "is_running",
    "make_dsn",
]

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_FIRST_DELAY_S = 0.2
#: A database that is back is used again within this time.
_LONGEST_DELAY_S = 5.0
#: A fault that lasts is logged again after so long.
_LOG_EVERY_S = 60.0
_AT_ONCE = 2000  # rows: a few milliseconds


def is_database_fault(error: BaseException) -> bool:
    """Whether an error is a fault of the database or of a statement, not of a value in it."""
    at_fault = isinstance(error, psycopg.Error | DatabaseError | DatabaseUnavailableError)
    return at_fault and not isinstance(error, psycopg.DataError | psycopg.IntegrityError)


class Notification(msgspec.Struct, frozen=True):
    """A NOTIFY; `channel` is "" for the one that follows a new connection."""

    channel: str
    payload: str


class Database:
    """A connection in autocommit mode, whose statements and transactions take turns."""

    def __init__(
        self, dsn: str, duty: str, connection: Connection, *, alone: bool, epoch: int | None
    ) -> None:
        self.epoch = epoch  # of the master that this connection belongs to
        self._dsn = dsn
        self._duty = duty
        self._connection = connection
        self._pid = connection.info.backend_pid
        self._alone = alone
        self.faults = 0  # that passed, or are to pass
        self.trouble = ""  # the fault that work waits for now
        self._logged = 0.0
        self._turn = asyncio.Lock()
        self._holder: asyncio.Task[Any] | None = None

    @classmethod
    async def connect(
        cls,
        dsn: str,
        *,
        duty: str,
        alone: bool = False,
        epoch: int | None = None,
        patience_s: float = 0.0,
    ) -> Self:
        """Connect, and check that the schema is this version's.

        Args:
            dsn: the connection string.
            duty: what the connection is for; its application_name shows it.
            alone: no other connection that was made so may work on this database, as long as
                this one lives. It begins a new epoch.
            epoch: the one that this connection's master began; when it is over, nothing more
                can be written.
            patience_s: for how long a server that accepts no connection is tried again.

        Raises:
            DatabaseUnavailableError: no server that accepts writes answers at that DSN.
            DatabaseError: the DSN is malformed, server or schema are of another version, this
                account has no rights there, it is not alone, the epoch is over, or a
                connection pooler is in between that gives no session.
        """
        delay_s, began = _FIRST_DELAY_S, time.monotonic()
        while True:
            try:
                connection, epoch = await _checked(dsn, duty, alone=alone, epoch=epoch)
                return cls(dsn, duty, connection, alone=alone, epoch=epoch)
            except DatabaseUnavailableError as error:
                if time.monotonic() - began >= patience_s:
                    raise
                log.warning("%s: %s; trying again", duty, error)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, _LONGEST_DELAY_S)

    @property
    def dsn(self) -> str:
        """Where it is connected to; holds the password."""
        return self._dsn

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """A transaction of the calling task; other tasks wait for their turn.

        Within it, the other methods of this object join it.
        """
        if self._holder is asyncio.current_task():
            yield
            return
        async with self._turn:
            self._holder = asyncio.current_task()
            try:
                async with self._connection.transaction():
                    yield
            finally:
                self._holder = None

    async def rows(
        self, query: str, parameters: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """All rows that a query gives; other tasks have their turns while many are read."""
        rows: list[dict[str, Any]] = []
        async with self._cursor(query, parameters) as cursor:
            while batch := await cursor.fetchmany(_AT_ONCE):
                rows += batch
                if len(batch) < _AT_ONCE:
                    break
                await asyncio.sleep(0)
        return rows

    async def row(
        self, query: str, parameters: Mapping[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """The first row that a query gives, or None."""
        async with self._cursor(query, parameters) as cursor:
            return await cursor.fetchone()

    async def value(self, query: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row that a query gives, or None."""
        row = await self.row(query, parameters)
        return next(iter(row.values())) if row else None

    async def execute(self, query: str, parameters: Mapping[str, Any] | None = None) -> int:
        """Carry out a statement; returns how many rows it touched."""
        async with self._cursor(query, parameters) as cursor:
            return max(cursor.rowcount, 0)

    async def copy(self, statement: str, pieces: Sequence[bytes]) -> None:
        """Carry out a COPY ... FROM STDIN with this content, within transaction()."""
        async with self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for piece in pieces:
                await copy.write(piece)

    async def retrying(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """Do the work, and again after every fault that passes, with growing delay.

        The work has to be one that can be done twice: a statement, or a transaction. Meanwhile
        `trouble` says what it waits for.

        Raises:
            DatabaseError: no further try can succeed.
        """
        delay_s = _FIRST_DELAY_S
        while True:
            try:
                result = await work()
            except psycopg.Error as error:
                _raise_unless_passing(error)
                self._note(error)
                elsewhere = error.sqlstate == READ_ONLY
            else:
                self.trouble = ""
                return result
            connected = False
            while not connected:
                await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311
                delay_s = min(delay_s * 2, _LONGEST_DELAY_S)
                connected = await self._reconnect(elsewhere=elsewhere)

    async def notifications(self, *channels: str) -> AsyncGenerator[Notification, None]:
        """NOTIFYs on these channels, on a connection of its own.

        After each connection, the first included, one notification without a channel says
        that something may have been missed.
        """
        delay_s = _FIRST_DELAY_S
        while True:
            try:
                connection = await open_connection(
                    self._dsn, f"piwheels {self._duty} listener", autocommit=True
                )
                async with connection:
                    for channel in channels:
                        await connection.execute(
                            sql.SQL("LISTEN {}").format(sql.Identifier(channel))
                        )
                    delay_s = _FIRST_DELAY_S
                    yield Notification("", "")
                    async for notify in connection.notifies():
                        yield Notification(notify.channel, notify.payload)
            except (psycopg.Error, DatabaseUnavailableError) as error:
                if isinstance(error, psycopg.Error):
                    _raise_unless_passing(error)
                log.warning("%s listener: %s; trying again", self._duty, reason(error))
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, _LONGEST_DELAY_S)

    @asynccontextmanager
    async def _cursor(
        self, query: str, parameters: Mapping[str, Any] | None
    ) -> AsyncIterator[psycopg.AsyncCursor[DictRow]]:
        if self._holder is asyncio.current_task():
            yield await self._connection.execute(query.encode(), parameters)
            return
        async with self._turn:
            yield await self._connection.execute(query.encode(), parameters)

    def _note(self, error: Exception) -> None:
        """Remember a fault that passes; log it when it is a new one, or has lasted."""
        self.faults += 1
        text, now = reason(error), time.monotonic()
        if self.trouble and self._connection.closed and isinstance(error, psycopg.Error):
            return  # another task's fault, whose cause is known
        if text != self.trouble or now - self._logged > _LOG_EVERY_S:
            log.warning("%s: %s; trying again", self._duty, text)
            self._logged = now
        self.trouble = text

    async def _reconnect(self, *, elsewhere: bool) -> bool:
        """Replace a broken connection, or one that `elsewhere` says to leave.

        Returns:
            Whether there is a connection.
        """
        async with self._turn:
            if not (elsewhere or self._connection.broken or self._connection.closed):
                return True
            await self._connection.close()
            try:
                connection, _ = await _checked(
                    self._dsn, self._duty, alone=self._alone, epoch=self.epoch, former=self._pid
                )
            except DatabaseUnavailableError as error:
                self._note(error)
                return False
            self._connection, self._pid = connection, connection.info.backend_pid
            return True


async def answers(dsn: str, timeout_s: int = 2) -> bool:
    """Whether a server accepts connections at this DSN."""
    try:
        async with await psycopg.AsyncConnection.connect(dsn, connect_timeout=timeout_s):
            return True
    except psycopg.OperationalError:
        return False


async def is_running(dsn: str) -> bool:
    """Whether a server answers at this DSN, if only to say that it accepts no connection now."""
    try:
        whole = completed(dsn)
    except psycopg.ProgrammingError:
        return False
    answer = await asyncio.to_thread(psycopg.pq.PGconn.ping, whole.encode())
    return answer in {psycopg.pq.Ping.OK, psycopg.pq.Ping.REJECT}


def make_dsn(**parts: str) -> str:
    """A connection string of these parts (host, user, password, dbname), quoted as need be."""
    return psycopg.conninfo.make_conninfo("", **parts)


async def _checked(
    dsn: str, duty: str, *, alone: bool, epoch: int | None, former: int | None = None
) -> tuple[Connection, int | None]:
    """A connection to a database that can be used as it is, and its epoch.

    `former` is the predecessor's pid.
    """
    connection = await open_connection(dsn, f"piwheels {duty}", autocommit=True)
    try:
        await _check(connection)
        await refuse_transaction_pooling(connection, dsn)
        if alone and (other := await lock_out_others(connection, former)):
            raise DatabaseError(
                f"another master works on this database, {other}: end it first, or give this "
                "one a database of its own (database.dsn)"
            )
        if epoch is not None:
            await continue_epoch(connection, epoch, alone=alone)
        elif alone:
            epoch = await begin_epoch(connection)
    except psycopg.Error as error:
        await connection.close()
        _raise_unless_passing(error)
        raise DatabaseUnavailableError(reason(error)) from None
    except BaseException:
        await connection.close()
        raise
    return connection, epoch


def _raise_unless_passing(error: psycopg.Error) -> None:
    """Raise what no further try mends, in words where an operator can mend it."""
    if passes(error):
        return
    if error.sqlstate == OVER:
        raise epoch_over() from error
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        raise DatabaseError(
            f"the database does not let this account work in it ({reason(error)}); "
            "database.dsn has to be that of its owner"
        ) from error
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        raise DatabaseError(reason(error)) from error
    raise error


async def _check(connection: Connection) -> None:
    server = connection.info.server_version // 10000
    if server < OLDEST_SERVER:
        raise DatabaseError(
            f"PostgreSQL {server} is too old: piwheels needs {OLDEST_SERVER} or later"
        )
    found = await schema_version(connection)
    if found != SCHEMA_VERSION:
        raise DatabaseError(
            f"the database has schema version {found}, this piwheels needs {SCHEMA_VERSION}: "
            + ("run `piw initdb`" if found < SCHEMA_VERSION else "install a newer piwheels")
        )


def columns(items: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Rows turned into parameters for unnest(): one list for each key."""
    keys = items[0].keys() if items else ()
    return {key: [item[key] for item in items] for key in keys}
