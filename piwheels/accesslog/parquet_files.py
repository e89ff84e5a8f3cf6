"""Parquet files with the accesses of a day: written from CSV, and asked, by DuckDB.

DuckDB is in the extra `stats`, and is imported where it is needed: 32-bit ARM has none.
"""

import importlib.util
import os
import secrets
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piwheels.accesslog.access_files import AccessFiles, is_object
from piwheels.db.exported_accesses import AccessCount, AccessTotals, counting_query
from piwheels.errors import ConfigError
from piwheels.webroot import sync_dir, sync_file

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from piwheels.object_storage.filesystem import BucketFilesystem

_MEMORY_LIMIT = "256MB"
#: Times are differences of whole seconds in it, in half the space. In larger groups of rows DuckDB
#: stores them by a dictionary, in more.
_FORMAT = (
    "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, COMPRESSION_LEVEL 12, "
    "ROW_GROUP_SIZE 245760"
)
#: What zstd compresses are whole bytes: a size is three columns, its lower two bytes and the rest.
_BYTES = "bytes_0 + 256 * bytes_1 + 65536 * CAST(bytes_2 AS BIGINT)"
#: Between the parts of `agent`, none of which contains it.
_SEPARATOR = "chr(31)"
_AGENT_PARTS = (
    "client_type", "installer", "installer_version", "arch", "os", "os_release", "python"
)  # fmt: skip
#: The project that a file name begins with (PEP 503); '' is stored where it is that one.
_PROJECT_OF_FILE = "lower(regexp_replace(split_part(filename, '-', 1), '[-_.]+', '-', 'g'))"
_TOTALS = f"""
    SELECT count(*), count(*) FILTER (WHERE kind = 1), coalesce(sum({_BYTES}), 0),
           count(*) FILTER (
               WHERE CAST(make_timestamp(accessed_s * 1000000) AS DATE) <> CAST(? AS DATE))
      FROM read_parquet(?)
"""  # noqa: S608 - of constants alone
_ACCESSES = f"""
    (SELECT kind, filename, {_BYTES} AS bytes,
            CASE WHEN other_project <> '' THEN other_project
                 WHEN filename <> '' THEN {_PROJECT_OF_FILE} ELSE '' END AS project,
            {
    ", ".join(
        f"split_part(agent, {_SEPARATOR}, {number}) AS {name}"
        for number, name in enumerate(_AGENT_PARTS, start=1)
    )
},
            make_timestamp(accessed_s * 1000000) AS accessed_at
       FROM read_parquet(?)
      WHERE accessed_s >= ? AND accessed_s < ?)
"""  # noqa: S608 - of constants alone
_COUNTED = f"""
    SELECT hash(accessed_s, kind, status, {_BYTES}, filename, agent) AS access, count(*) AS accesses
      FROM read_parquet(?)
     GROUP BY access
"""  # noqa: S608 - of constants alone
_COMMON = f"""
    SELECT coalesce(sum(least(one.accesses, other.accesses)), 0)
      FROM ({_COUNTED}) AS one
      JOIN ({_COUNTED}) AS other USING (access)
"""  # noqa: S608 - of constants alone
#: Sorted by client, so that what a client says is stored once; the hash becomes a number within
#: the day, which counts clients as well and needs a third of the space. Clients that have as many
#: accesses and say the same are neighbors, by their first times, and every other client's times go
#: backwards: so times differ little from row to row.
_SORTED = f"""
    WITH accesses AS (
        SELECT *, epoch_us(accessed_at) // 1000000 AS accessed_s,
               concat_ws({_SEPARATOR}, {", ".join(_AGENT_PARTS)}) AS agent
          FROM read_csv(?, header = true, nullstr = '\\N', columns = {{
               'accessed_at': 'TIMESTAMP', 'client_hash': 'VARCHAR', 'kind': 'UTINYINT',
               'status': 'USMALLINT', 'bytes': 'BIGINT', 'filename': 'VARCHAR',
               'project': 'VARCHAR', 'client_type': 'VARCHAR', 'installer': 'VARCHAR',
               'installer_version': 'VARCHAR', 'arch': 'VARCHAR', 'os': 'VARCHAR',
               'os_release': 'VARCHAR', 'python': 'VARCHAR'}})
    ), clients AS (
        SELECT client_hash,
               CAST(row_number() OVER (
                   ORDER BY count(*) DESC, min(agent), min(accessed_s), client_hash
               ) AS INTEGER) AS client
          FROM accesses
         GROUP BY client_hash
    )
    SELECT accessed_s, client, kind, status, CAST(bytes & 255 AS UTINYINT) AS bytes_0,
           CAST((bytes >> 8) & 255 AS UTINYINT) AS bytes_1, bytes >> 16 AS bytes_2, filename,
           CASE WHEN project = {_PROJECT_OF_FILE} THEN '' ELSE project END AS other_project, agent
      FROM accesses
      JOIN clients ON clients.client_hash IS NOT DISTINCT FROM accesses.client_hash
     ORDER BY client, CASE WHEN client % 2 = 0 THEN accessed_s ELSE -accessed_s END
"""  # noqa: S608 - of constants alone


def missing_reason() -> str:
    """Why there can be no Parquet files here; "" if there can."""
    if importlib.util.find_spec("duckdb") is not None:
        return ""
    return "DuckDB is not installed: pip install '.[stats]' in a clone (not on 32-bit ARM)"


def write_day(csv: Path, target: Path, temporary_dir: Path) -> None:
    """Write a day's accesses into a file that is not there yet.

    Raises:
        ConfigError: DuckDB is missing, or the file cannot be written.
    """
    with _connect(temporary_dir) as connection:
        _fetch(
            connection,
            f"COPY ({_SORTED}) TO '{_quoted(target)}' ({_FORMAT})",
            [str(csv)],
        )


def make_durable(file: Path) -> None:
    """Have a file survive a loss of power, with its folder for the year, which may be new."""
    sync_file(file)
    sync_dir(file.parent)
    sync_dir(file.parent.parent)


def read_totals(file: Path, day: date, temporary_dir: Path) -> AccessTotals:
    """What a file adds up to.

    Raises:
        ConfigError: DuckDB is missing, or the file cannot be read.
    """
    with _connect(temporary_dir) as connection:
        found = _fetch(connection, _TOTALS, [day.isoformat(), [str(file)]])
    accesses, downloads, size, of_other_days = map(int, found[0])
    if of_other_days:
        raise ConfigError(f"{file} has accesses of other days than {day}")
    return AccessTotals(day=day, accesses=accesses, downloads=downloads, bytes=size)


def count_common(one: str, other: str, files: AccessFiles) -> int:
    """How many accesses two files have in common; equal ones count as often as in both.

    Clients are not compared, as each file numbers its own, nor projects, which may be renamed.

    Args:
        one: a file, as it is recorded.
        other: the other one.
        files: where they are.

    Raises:
        BucketError: the bucket cannot be asked, or lacks a file.
        ConfigError: DuckDB is missing, or a file cannot be read.
    """
    return int(_ask_files(_COMMON, [one, other], (), files)[0][0])


def count_accesses(
    recorded: Sequence[str], key: str, since: datetime, until: datetime, files: AccessFiles
) -> list[AccessCount]:
    """Counts of the accesses in files by an expression of their columns, in a period.

    Args:
        recorded: the files, as the database has them.
        key: the expression.
        since: the beginning of the period.
        until: its end, which does not belong to it.
        files: where they are.

    Raises:
        BucketError: the bucket cannot be asked, or lacks a file.
        ConfigError: DuckDB is missing, or a file cannot be read.
    """
    if not recorded:
        return []
    times = [int(time.timestamp()) for time in (since, until)]
    rows = _ask_files(counting_query(key, _ACCESSES), [recorded], times, files)
    return [
        AccessCount(key=str(name), accesses=accesses, downloads=downloads, bytes=size)
        for name, accesses, downloads, size in rows
    ]


def _ask_files(
    query: str,
    names: Sequence[str | Sequence[str]],
    parameters: Sequence[object],
    files: AccessFiles,
) -> list[tuple[Any, ...]]:
    """Ask a query whose first parameters are files, or lists of them."""
    lists = [[name] if isinstance(name, str) else name for name in names]
    with _connect(files.directory) as connection:
        objects = _register_objects(connection, [it for one in lists for it in one], files)
        urls = [[_url(it, files) for it in one] for one in lists]
        try:
            return _fetch(connection, query, [*urls, *parameters])
        except ConfigError:
            if objects is not None and objects.problem is not None:
                raise objects.problem from None
            raise


def _register_objects(
    connection: "DuckDBPyConnection", recorded: Sequence[str], files: AccessFiles
) -> "BucketFilesystem | None":
    """Let DuckDB read objects, if there are any among these files.

    Raises:
        ConfigError: the extra is missing.
    """
    names = [name for name in recorded if is_object(name)]
    if not names:
        return None
    try:
        from piwheels.object_storage.filesystem import BucketFilesystem  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigError(
            "objects are read with fsspec: pip install '.[stats,s3]' in a clone"
        ) from None
    found = BucketFilesystem(files.bucket)
    connection.register_filesystem(found)
    return found


def _url(recorded: str, files: AccessFiles) -> str:
    """A file, as DuckDB is told it."""
    if path := files.local_path(recorded):
        return str(path)
    return recorded.replace("s3://", "piwheels-bucket://", 1)


def _connect(temporary_dir: Path) -> "DuckDBPyConnection":
    if reason := missing_reason():
        raise ConfigError(reason)
    import duckdb  # noqa: PLC0415 - 32-bit ARM has none

    return duckdb.connect(
        config={
            "memory_limit": _MEMORY_LIMIT,
            "threads": 1,
            # Of this connection alone, as its files have the same names each time.
            "temp_directory": str(
                temporary_dir / f"duckdb-{os.getpid()}-{secrets.token_hex(4)}.tmp"
            ),
            "autoinstall_known_extensions": False,  # nothing is downloaded
        }
    )


def _fetch(
    connection: "DuckDBPyConnection", query: str, parameters: Sequence[object]
) -> list[tuple[Any, ...]]:
    import duckdb  # noqa: PLC0415 - 32-bit ARM has none

    try:
        rows: list[tuple[Any, ...]] = connection.execute(query, list(parameters)).fetchall()
    except duckdb.Error as error:
        raise ConfigError(f"files of single accesses cannot be read or written: {error}") from None
    return rows


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
