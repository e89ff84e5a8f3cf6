"""Widgets that send little over a bad link: a table, a log, a strip of load."""
