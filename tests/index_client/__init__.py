"""Tests of the Simple API client and parser."""
