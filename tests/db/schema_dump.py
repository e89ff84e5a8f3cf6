"""The schema of a database as text, in a fixed order."""

import sys
from typing import Any

import psycopg
from psycopg.rows import dict_row

_HEADER = """\
-- Tables with their indexes and triggers, and the signatures of views and functions, as PostgreSQL
-- describes them. A test checks that the migrations create exactly this. Do not edit: written by
-- `python -m tests.db.schema_dump DSN > sql/schema.sql`.
"""

_TABLES = """
    SELECT c.oid, c.relname AS name,
           CASE WHEN c.relkind = 'p' THEN ' PARTITION BY ' || pg_get_partkeydef(c.oid) ELSE '' END
           || coalesce(' WITH (' || array_to_string(c.reloptions, ', ') || ')', '') AS suffix
      FROM pg_class c
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
       AND NOT c.relispartition
     ORDER BY c.relname
"""
_COLUMNS = """
    SELECT format('%%I %%s%%s', a.attname, format_type(a.atttypid, a.atttypmod),
               CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
               || CASE WHEN a.attidentity <> '' THEN ' GENERATED ALWAYS AS IDENTITY'
                       WHEN a.attgenerated <> '' THEN
                           ' GENERATED ALWAYS AS ' || pg_get_expr(d.adbin, d.adrelid) || ' STORED'
                       WHEN d.adbin IS NOT NULL THEN
                           ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid)
                       ELSE '' END
               || CASE WHEN a.attstorage <> t.typstorage THEN ' STORAGE EXTERNAL' ELSE '' END
           ) AS line
      FROM pg_attribute a
      JOIN pg_type t ON t.oid = a.atttypid
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
     ORDER BY CASE WHEN %(full)s THEN a.attname END, a.attnum
"""
_CONSTRAINTS = """
    SELECT format('CONSTRAINT %%I %%s', conname, pg_get_constraintdef(oid)) AS line
      FROM pg_constraint
     WHERE conrelid = %(oid)s AND contype IN ('c', 'f', 'p', 'u')
     ORDER BY conname
"""
_INDEXES = """
    SELECT pg_get_indexdef(i.indexrelid) AS line
      FROM pg_index i
     WHERE i.indrelid = %(oid)s
       AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
     ORDER BY 1
"""
_TRIGGERS = """
    SELECT pg_get_triggerdef(oid) AS line
      FROM pg_trigger
     WHERE tgrelid = %(oid)s AND NOT tgisinternal AND (%(full)s OR tgname <> 'epoch_checked')
     ORDER BY tgname
"""
_SEQUENCES = """
    SELECT 'CREATE SEQUENCE ' || relname AS line FROM pg_class
     WHERE relnamespace = 'public'::regnamespace AND relkind = 'S' ORDER BY relname
"""
_VIEWS = """
    SELECT CASE WHEN %(full)s THEN
               format(E'CREATE VIEW %%s AS\n%%s', relname, pg_get_viewdef(oid))
           ELSE format('VIEW %%s (%%s)', relname, (
               SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
                WHERE attrelid = c.oid AND attnum > 0)) END AS line
      FROM pg_class c
     WHERE relnamespace = 'public'::regnamespace AND relkind = 'v' ORDER BY relname
"""
_ROUTINES = """
    SELECT CASE WHEN %(full)s THEN pg_get_functiondef(oid) ELSE format(
               '%%s %%s(%%s)%%s', CASE prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, proname,
               pg_get_function_arguments(oid),
               coalesce(' RETURNS ' || pg_get_function_result(oid), '')) END AS line
      FROM pg_proc
     WHERE pronamespace = 'public'::regnamespace ORDER BY proname
"""


def dump_schema(dsn: str, *, full: bool = False) -> str:
    """The schema of a database.

    Args:
        dsn: the database.
        full: with the bodies of views and functions and every trigger; columns are then ordered
            by name, because a converted table has them in another order.
    """
    with psycopg.connect(dsn, row_factory=dict_row) as connection:

        def lines(query: str, oid: int = 0) -> list[str]:
            rows = connection.execute(query.encode(), {"oid": oid, "full": full})
            return [row["line"] for row in rows]

        parts = ["\n".join(lines(_SEQUENCES))]
        for table in connection.execute(_TABLES.encode()).fetchall():
            oid: Any = table["oid"]
            body = ",\n    ".join(lines(_COLUMNS, oid) + lines(_CONSTRAINTS, oid))
            create = f"CREATE TABLE {table['name']} (\n    {body}\n){table['suffix']}"
            parts.append("\n".join([create, *lines(_INDEXES, oid), *lines(_TRIGGERS, oid)]))
        parts += ["\n".join(lines(_VIEWS)), "\n".join(lines(_ROUTINES))]
    return "\n".join([_HEADER, *(f"{part}\n" for part in parts)]).replace("public.", "")


if __name__ == "__main__":
    sys.stdout.write(dump_schema(sys.argv[1]).rstrip("\n") + "\n")
