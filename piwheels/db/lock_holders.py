"""Which connections hold the locks that connections of piwheels wait for."""

from piwheels.db.database import Database
from piwheels.model import Struct


class LockHolder(Struct, frozen=True, kw_only=True):
    """A connection that holds a lock, waits for none itself, and blocks piwheels."""

    pid: int  # of the server's process; 0 for a prepared transaction
    client: str  # its application_name, "" where it is unknown
    account: str
    address: str  # "" on the server's own machine
    query: str  # what it runs, or ran last
    held_s: float  # how long its transaction has lasted
    roles: list[str]  # of the connections of piwheels that wait for it
    waited_s: float  # the longest wait


async def find_lock_holders(db: Database, *, after_s: float) -> list[LockHolder]:
    """What blocks connections of piwheels for longer than `after_s`; longest wait first.

    For connections of other accounts, an account without privileges sees only the pid.
    """
    rows = await db.rows(
        """
        WITH waiting AS MATERIALIZED (
            SELECT pid, substr(application_name, 10) AS role, pg_blocking_pids(pid) AS blockers,
                   extract(epoch FROM clock_timestamp() - query_start)::float8 AS waited_s
              FROM pg_stat_activity
             WHERE datname = current_database()
               AND wait_event_type = 'Lock'
               AND starts_with(application_name, 'piwheels ')
               AND clock_timestamp() - query_start > make_interval(secs => %(after_s)s)
        )
        SELECT blocker.pid,
               coalesce(a.application_name, '') AS client,
               coalesce(a.usename, '') AS account,
               coalesce(host(a.client_addr), '') AS address,
               coalesce(left(a.query, 200), '') AS query,
               coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::float8 AS held_s,
               array_agg(DISTINCT waiting.role ORDER BY waiting.role) AS roles,
               max(waiting.waited_s) AS waited_s
          FROM waiting
         CROSS JOIN LATERAL unnest(waiting.blockers) AS blocker (pid)
          LEFT JOIN pg_stat_activity a ON a.pid = blocker.pid
         WHERE blocker.pid NOT IN (SELECT pid FROM waiting)
         GROUP BY blocker.pid, a.application_name, a.usename, a.client_addr, a.query, a.xact_start
         ORDER BY waited_s DESC, blocker.pid
        """,
        {"after_s": after_s},
    )
    return [LockHolder(**row) for row in rows]
