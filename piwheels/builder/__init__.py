"""The builder: one job at a time, fetched, built in a sandbox, and offered to the master."""
