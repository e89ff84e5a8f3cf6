"""Parsers of bytes from outside, called with damaged input; `python -m tests.fuzz` goes on for long."""
