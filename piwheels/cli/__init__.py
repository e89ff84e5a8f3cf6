"""The `piw` command. Each command imports its package only when it is called."""

from piwheels.cli import (
    alerts,
    audit,
    builders,
    classify,
    config,
    db,
    keys,
    projects,
    recipes,
    reclassify,
    reproduce,
    retention,
    roots,
    services,
    setup,
    stats,
    tui,
    upgrade,
    verify,
)
from piwheels.cli.commands import add_commands
from piwheels.cli.main import cli

add_commands(cli)

__all__ = [
    "alerts",
    "audit",
    "builders",
    "classify",
    "cli",
    "config",
    "db",
    "keys",
    "projects",
    "recipes",
    "reclassify",
    "reproduce",
    "retention",
    "roots",
    "services",
    "setup",
    "stats",
    "tui",
    "upgrade",
    "verify",
]
