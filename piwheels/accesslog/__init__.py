"""Reads access logs of web servers into the database, and counts each line once."""
