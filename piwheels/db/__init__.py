"""The database: one connection per role, and in each file the queries of one subject."""
