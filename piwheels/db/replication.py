"""Whether a failover keeps what was acknowledged, and whether this server is still the primary."""

import psycopg

from piwheels.db.connection import DatabaseError, open_host, split_hosts, timeline_of
from piwheels.db.database import Database

_CHECK_TIMEOUT_S = 2
#: Says which builds a failover can lose, and how to prevent it.
_NOT_SYNCHRONOUS = (
    "replication is not synchronous: a failover can lose acknowledged builds; set "
    "synchronous_standby_names (Patroni: synchronous_mode: true), see docs/high-availability.md"
)
_NOT_WAITED_FOR = "synchronous_commit is {}: a failover can lose acknowledged builds; set it to on"


async def find_replication_risk(db: Database) -> str:
    """Why a failover can lose acknowledged builds; "" if it cannot, or there is no standby.

    Without the privileges of pg_monitor, standbys are counted all the same.
    """
    row = await db.row(
        """
        SELECT current_setting('synchronous_standby_names') AS names,
               current_setting('synchronous_commit') AS waits,
               (SELECT count(*) FROM pg_stat_replication) AS standbys
        """
    )
    if row is None or (not row["standbys"] and len(split_hosts(db.dsn)) == 1):
        return ""
    if not row["names"]:
        return _NOT_SYNCHRONOUS
    return _NOT_WAITED_FOR.format(row["waits"]) if row["waits"] in {"off", "local"} else ""


async def refuse_former_primary(db: Database) -> None:
    """Check that no other host of the DSN was promoted while this connection still works.

    Raises:
        DatabaseError: one was; what is written here is lost.
    """
    if db.epoch is None or len(addresses := split_hosts(db.dsn)) == 1:
        return
    for host, address in addresses.items():
        found = await _timeline_at(address)
        if found <= db.epoch.timeline:
            continue
        # After a failover this connection is to the new primary, too, and raises the epoch.
        await db.server_timeline()
        if found > db.epoch.timeline:
            raise DatabaseError(
                f"the database at {host} was promoted, and this master uses a former primary: it "
                "ends, and has to be started again"
            )


async def _timeline_at(address: str) -> int:
    """The timeline that a host writes; 0 if it is away or a standby."""
    try:
        connection = await open_host(address, "piwheels primary check", _CHECK_TIMEOUT_S)
    except psycopg.OperationalError:
        return 0
    async with connection:
        try:
            return await timeline_of(connection)
        except psycopg.Error:
            return 0
