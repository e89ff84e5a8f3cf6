"""Synchronizes projects and releases with the upstream index."""
