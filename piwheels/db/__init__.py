"""The farm in PostgreSQL: one connection a duty, the queries of one concern in each file."""
