"""The `piw` command: a module of commands per group; subjects are imported when called."""

from piwheels.cli import builders, projects, services, setup, stats, tui
from piwheels.cli.main import cli, main

__all__ = ["builders", "cli", "main", "projects", "services", "setup", "stats", "tui"]
