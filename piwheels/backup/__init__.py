"""Backup and restore of a farm: its database, keys and configuration in one archive.

`archive` is the format, `database_dump` runs PostgreSQL's programs, `backup` writes an archive and
`rotation` deletes old ones; `restore` puts one back, and `tree` makes database and web root agree
after that.
"""
