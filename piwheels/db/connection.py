"""One connection to PostgreSQL: its parameters, and which errors a retry can fix."""

from typing import Any

import psycopg
from psycopg import conninfo
from psycopg.rows import DictRow, dict_row

from piwheels.errors import PiwheelsError, TransientError

Connection = psycopg.AsyncConnection[DictRow]

MIN_SERVER_VERSION = 15

#: Defaults of the DSN. A power failure of the server or a broken link is detected within half a
#: minute instead of the kernel's two hours.
_DEFAULT_PARAMETERS = {
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}
#: With several hosts, those that do not answer must not delay the one that does.
_MULTIPLE_HOSTS_CONNECT_TIMEOUT_S = 5

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
    """Connect to the first host of the DSN that accepts writes: standbys are skipped.

    Raises:
        DatabaseUnavailableError: no host answers, or none accepts writes.
        DatabaseError: the DSN is malformed.
    """
    try:
        return await psycopg.AsyncConnection.connect(
            with_default_timeouts(dsn),
            autocommit=autocommit,
            row_factory=dict_row,
            application_name=application_name,
            target_session_attrs="read-write",
        )
    except psycopg.ProgrammingError as error:
        raise DatabaseError(
            f"database.dsn is not a connection string: {error_text(error)}"
        ) from None
    except psycopg.OperationalError as error:
        why = error_text(error)
        if _READ_ONLY_SESSION in why:
            raise DatabaseUnavailableError(f"the database accepts no writes ({why})") from None
        raise DatabaseUnavailableError(
            f"the database cannot be reached ({why}); check database.dsn"
        ) from None


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
