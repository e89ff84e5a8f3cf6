"""One connection of one duty: opened, checked, shared by its tasks, mended when it breaks."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row

from piwheels.db.alone import lock_out_others
from piwheels.db.migrate import SCHEMA_VERSION, schema_version
from piwheels.errors import PiwheelsError, TransientError

log = logging.getLogger(__name__)

_T = TypeVar("_T")

OLDEST_SERVER = 15
_CONNECT_S = 10
_FIRST_DELAY_S = 0.2
_LONGEST_DELAY_S = 30.0
_AT_ONCE = 2000  # rows: a few milliseconds
#: What the same work, done again, can succeed with.
_PASSING = (
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.AdminShutdown,
    psycopg.errors.CrashShutdown,
    psycopg.errors.CannotConnectNow,
)

#: What no try mends: the account, or the server, is the wrong one.
_NOT_ALLOWED = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.ReadOnlySqlTransaction,
)

Connection = psycopg.AsyncConnection[DictRow]


class DatabaseError(PiwheelsError):
    """The database cannot be used as it is."""


class DatabaseUnavailableError(TransientError):
    """The database cannot be reached now."""


class Notification(msgspec.Struct, frozen=True):
    """A NOTIFY; `channel` is "" for the one that follows a new connection."""

    channel: str
    payload: str


class Database:
    """A connection in autocommit mode, whose statements and transactions take turns."""

    def __init__(self, dsn: str, duty: str, connection: Connection, *, alone: bool) -> None:
        self._dsn = dsn
        self._duty = duty
        self._connection = connection
        self._pid = connection.info.backend_pid
        self._alone = alone
        self.faults = 0  # that passed, or are to pass
        self._turn = asyncio.Lock()
        self._holder: asyncio.Task[Any] | None = None

    @classmethod
    async def connect(cls, dsn: str, *, duty: str, alone: bool = False) -> Self:
        """Connect, and check that the schema is this version's.

        alone: no other connection that was made so may work on this database, as long as this
        one lives.

        Raises:
            DatabaseUnavailableError: nobody answers at that DSN.
            DatabaseError: the DSN is malformed, server or schema are of another version, this
                account has no rights there, or it is not alone.
        """
        connection = await _checked(dsn, duty, alone=alone)
        return cls(dsn, duty, connection, alone=alone)

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

        The work has to be one that can be done twice: a statement, or a transaction.
        """
        delay_s = _FIRST_DELAY_S
        while True:
            try:
                return await work()
            except (psycopg.OperationalError, psycopg.InterfaceError, *_PASSING) as error:
                if not self._passes(error):
                    raise DatabaseError(_first_line(error)) from error
                log.warning("%s: %s; trying again", self._duty, _first_line(error))
                self.faults += 1
            except _NOT_ALLOWED as error:
                raise DatabaseError(_not_allowed(error)) from error
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311
            delay_s = min(delay_s * 2, _LONGEST_DELAY_S)
            await self._reconnect()

    async def notifications(self, *channels: str) -> AsyncGenerator[Notification, None]:
        """NOTIFYs on these channels, on a connection of its own.

        After each connection, the first included, one notification without a channel says
        that something may have been missed.
        """
        delay_s = _FIRST_DELAY_S
        while True:
            try:
                connection = await _open(self._dsn, f"{self._duty} listener")
                async with connection:
                    for channel in channels:
                        await connection.execute(
                            sql.SQL("LISTEN {}").format(sql.Identifier(channel))
                        )
                    delay_s = _FIRST_DELAY_S
                    yield Notification("", "")
                    async for notify in connection.notifies():
                        yield Notification(notify.channel, notify.payload)
            except (psycopg.OperationalError, DatabaseUnavailableError) as error:
                log.warning("%s listener: %s; trying again", self._duty, _first_line(error))
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

    def _passes(self, error: psycopg.Error) -> bool:
        if isinstance(error, _PASSING):
            return True
        # Full disk, out of memory and the like come with a live connection and a state.
        return self._connection.broken or self._connection.closed or error.sqlstate is None

    async def _reconnect(self) -> None:
        async with self._turn:
            if not (self._connection.broken or self._connection.closed):
                return
            try:
                connection = await _checked(
                    self._dsn, self._duty, alone=self._alone, former=self._pid
                )
            except DatabaseUnavailableError as error:
                log.warning("%s: %s; trying again", self._duty, error)
                return
            await self._connection.close()
            self._connection, self._pid = connection, connection.info.backend_pid


async def answers(dsn: str, timeout_s: int = 2) -> bool:
    """Whether a server accepts connections at this DSN."""
    try:
        async with await psycopg.AsyncConnection.connect(dsn, connect_timeout=timeout_s):
            return True
    except psycopg.OperationalError:
        return False


def make_dsn(**parts: str) -> str:
    """A connection string of these parts (host, user, password, dbname), quoted as need be."""
    return psycopg.conninfo.make_conninfo("", **parts)


async def _open(dsn: str, duty: str) -> Connection:
    try:
        return await psycopg.AsyncConnection.connect(
            dsn,
            autocommit=True,
            row_factory=dict_row,
            application_name=f"piwheels {duty}",
            connect_timeout=_CONNECT_S,
        )
    except psycopg.ProgrammingError as error:
        raise DatabaseError(
            f"database.dsn is not a connection string: {_first_line(error)}"
        ) from None
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(
            f"the database cannot be reached ({_first_line(error)}); check database.dsn"
        ) from None


async def _checked(
    dsn: str, duty: str, *, alone: bool = False, former: int | None = None
) -> Connection:
    """A connection to a database that can be used as it is; `former` is its predecessor's pid."""
    connection = await _open(dsn, duty)
    try:
        await _check(connection)
        if alone and (other := await lock_out_others(connection, former)):
            raise DatabaseError(
                f"another master works on this database, {other}: end it first, or give this "
                "one a database of its own (database.dsn)"
            )
    except _NOT_ALLOWED as error:
        await connection.close()
        raise DatabaseError(_not_allowed(error)) from None
    except psycopg.OperationalError as error:
        await connection.close()
        raise DatabaseUnavailableError(_first_line(error)) from None
    except BaseException:
        await connection.close()
        raise
    return connection


def _not_allowed(error: psycopg.Error) -> str:
    return (
        f"the database does not let this account work in it ({_first_line(error)}); "
        "database.dsn has to be that of its owner"
    )


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


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def columns(items: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Rows turned into parameters for unnest(): one list for each key."""
    keys = items[0].keys() if items else ()
    return {key: [item[key] for item in items] for key in keys}
