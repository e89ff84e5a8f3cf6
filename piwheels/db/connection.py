"""One connection to PostgreSQL: its parameters, its host, and which errors a retry can fix."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import conninfo
from psycopg.rows import DictRow, dict_row

from piwheels.errors import PiwheelsError, TransientError

Connection = psycopg.AsyncConnection[DictRow]

MIN_SERVER_VERSION = 15

#: Defaults of the DSN. A power failure of the server or a broken link is detected within a quarter
#: of a minute instead of the kernel's two hours.
_DEFAULT_PARAMETERS = {
    "connect_timeout": 10,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 12_000,  # milliseconds
}
#: With several hosts, those that do not answer must not delay the one that does.
_MULTIPLE_HOSTS_CONNECT_TIMEOUT_S = 5
#: For so long other hosts are waited for after one of them accepts writes: a former primary may.
_OTHER_HOSTS_S = 0.5

#: The timeline that a primary writes: each promotion begins another one, with a higher number.
TIMELINE_QUERY = (
    "SELECT ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int AS number"
)

READ_ONLY_STATE = "25006"
#: What libpq says of a server that accepts no writes, where its messages are not translated.
_READ_ONLY_SESSION = "session is read-only"

#: Classes of SQLSTATEs (PostgreSQL, appendix A) after which a retry can succeed.
_TRANSIENT_CLASSES = (
    "08",  # connection exceptions
    "40",  # transaction rollback: serialization failure, deadlock
    "53",  # insufficient resources: disk full, out of memory, too many connections
    "57",  # operator intervention: statement_timeout, shutdown, start-up
)
_TRANSIENT_STATES = {
    READ_ONLY_STATE,
    "25P03",  # idle_in_transaction_session_timeout
    "25P04",  # transaction_timeout
    "55006",  # object in use
    "55P03",  # lock_timeout
    "58000",  # system error
    "58030",  # I/O error
}
#: Exceptions to the classes above.
_PERMANENT_STATES = {
    "40002",  # an integrity constraint
    "57P04",  # the database was dropped
}


class DatabaseError(PiwheelsError):
    """The database cannot be used as it is."""


class DatabaseUnavailableError(TransientError):
    """The database cannot be reached now."""


def is_transient(error: psycopg.Error) -> bool:
    """Whether a retry can succeed.

    An error without SQLSTATE comes from the client's side: the connection broke.
    """
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return state not in _PERMANENT_STATES and (
        state[:2] in _TRANSIENT_CLASSES or state in _TRANSIENT_STATES
    )


def error_text(error: BaseException) -> str:
    """The first line of an error; of a DSN with several hosts, the error of each."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    hosts = [line.removeprefix("- ") for line in lines if line.startswith("- host: ")]
    return "; ".join(hosts) or lines[0]


async def open_connection(dsn: str, application_name: str, *, autocommit: bool) -> Connection:
    """Connect to the host of the DSN that accepts writes: standbys are skipped.

    If several hosts accept writes, all but one are former primaries: the one that was promoted
    last is used.

    Raises:
        DatabaseUnavailableError: no host answers, or none accepts writes.
        DatabaseError: the DSN is malformed.
    """
    addresses = split_hosts(dsn)
    if len(addresses) == 1:
        try:
            return await _open_primary(dsn, application_name, autocommit=autocommit)
        except psycopg.OperationalError as error:
            raise _unavailable(error_text(error)) from None
    opening = {
        host: asyncio.create_task(_open_primary(address, application_name, autocommit=autocommit))
        for host, address in addresses.items()
    }
    try:
        await _wait_for_primary(opening)
    except BaseException:
        await _close_all(opening, kept=None)
        raise
    found = {host: task.result() for host, task in opening.items() if _succeeded(task)}
    if not found:
        raise _unavailable(
            "; ".join(
                f"{host}: {error_text(failure)}"
                for host, task in opening.items()
                if (failure := task.exception()) is not None
            )
        )
    newest = await _newest(found) if len(found) > 1 else next(iter(found))
    await _close_all(opening, kept=newest)
    return found[newest]


def split_hosts(dsn: str) -> dict[str, str]:
    """The DSN of each host of a DSN, by `host:port`; malformed ones are left to libpq.

    Raises:
        DatabaseError: it is malformed.
    """
    try:
        given = conninfo.conninfo_to_dict(dsn)
    except psycopg.ProgrammingError as error:
        raise _malformed(error) from None
    names = str(given.get("host") or given.get("hostaddr") or "").split(",")
    if len(names) == 1:
        return {names[0]: dsn}
    lists = {
        key: str(given[key]).split(",") for key in ("host", "hostaddr", "port") if given.get(key)
    }
    if len(lists.get("port", [])) == 1:
        lists["port"] *= len(names)
    if any(len(values) != len(names) for values in lists.values()):
        raise DatabaseError("database.dsn names another number of ports or addresses than of hosts")
    addresses = {}
    for index, name in enumerate(names):
        own = {key: values[index] or None for key, values in lists.items()}
        port = own.get("port")
        timeout_s = given.get("connect_timeout") or _MULTIPLE_HOSTS_CONNECT_TIMEOUT_S
        one = conninfo.make_conninfo("", **{**given, **own, "connect_timeout": timeout_s})
        addresses[f"{name}:{port}" if port else name] = one
    return addresses


async def open_host(dsn: str, application_name: str, timeout_s: int) -> Connection:
    """Connect to the one host of a DSN, if it accepts writes.

    Raises:
        psycopg.OperationalError: it is away, or a standby.
    """
    patient = conninfo.make_conninfo(dsn, connect_timeout=timeout_s)
    return await _open_primary(patient, application_name, autocommit=True)


async def timeline_of(connection: Connection) -> int:
    """The timeline that a primary writes."""
    row = await (await connection.execute(TIMELINE_QUERY)).fetchone()
    return int(row["number"]) if row else 0


async def _open_primary(dsn: str, application_name: str, *, autocommit: bool) -> Connection:
    try:
        return await psycopg.AsyncConnection.connect(
            with_default_timeouts(dsn),
            autocommit=autocommit,
            row_factory=dict_row,
            application_name=application_name,
            target_session_attrs="read-write",
        )
    except psycopg.ProgrammingError as error:
        raise _malformed(error) from None


def _unavailable(why: str) -> DatabaseUnavailableError:
    if _READ_ONLY_SESSION in why:
        return DatabaseUnavailableError(f"the database accepts no writes ({why})")
    return DatabaseUnavailableError(f"the database cannot be reached ({why}); check database.dsn")


async def _wait_for_primary(opening: Mapping[str, asyncio.Task[Connection]]) -> None:
    """Wait until one host accepts writes, and a moment for the others; or for all."""
    pending = set(opening.values())
    while pending and not any(map(_succeeded, opening.values())):
        _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    if pending:
        await asyncio.wait(pending, timeout=_OTHER_HOSTS_S)
    for task in opening.values():
        if task.done() and isinstance(task.exception(), DatabaseError):
            task.result()  # raises it


def _succeeded(task: asyncio.Task[Connection]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


async def _newest(found: Mapping[str, Connection]) -> str:
    """The host that was promoted last."""
    timelines: dict[str, int] = {}
    for host, connection in found.items():
        with contextlib.suppress(psycopg.Error):
            timelines[host] = await timeline_of(connection)
            await connection.rollback()
    return max(found, key=lambda host: timelines.get(host, 0))


async def _close_all(opening: Mapping[str, asyncio.Task[Connection]], *, kept: str | None) -> None:
    for host, task in opening.items():
        if host == kept:
            continue
        task.cancel()
        await asyncio.wait({task})
        if _succeeded(task):
            await task.result().close()


def _malformed(error: psycopg.Error) -> DatabaseError:
    return DatabaseError(f"database.dsn is not a connection string: {error_text(error)}")


def server_too_old(connection: psycopg.AsyncConnection[Any]) -> str:
    """Why the server's version is not supported; "" if it is."""
    server = connection.info.server_version // 10000
    if server >= MIN_SERVER_VERSION:
        return ""
    return f"PostgreSQL {server} is too old: piwheels needs {MIN_SERVER_VERSION} or later"


def with_default_timeouts(dsn: str) -> str:
    """The DSN with a default for each timeout that it does not set itself.

    Raises:
        psycopg.ProgrammingError: it is malformed.
    """
    given = conninfo.conninfo_to_dict(dsn)
    defaults = dict(_DEFAULT_PARAMETERS)
    if "," in str(given.get("host") or given.get("hostaddr") or ""):
        defaults["connect_timeout"] = _MULTIPLE_HOSTS_CONNECT_TIMEOUT_S
    unset = {name: value for name, value in defaults.items() if name not in given}
    return conninfo.make_conninfo(dsn, **unset)
