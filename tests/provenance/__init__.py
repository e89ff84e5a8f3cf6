"""Signed statements of how wheels were built."""
