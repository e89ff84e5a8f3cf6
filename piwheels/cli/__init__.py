"""The `piw` command: verbs and options. Each verb's room is imported only when it is called."""

from piwheels.cli import console, farm, numbers, operating, ordering, setting_up
from piwheels.cli.root import cli, main

__all__ = ["cli", "console", "farm", "main", "numbers", "operating", "ordering", "setting_up"]
