"""The one logging configuration of all daemons and commands."""

import logging
import os
import sys

from piwheels.errors import ConfigError

#: Holds a level's name; the options -v, -q and --log-level of `piw` set it for child processes.
VARIABLE = "PIWHEELS_LOG"
_FORMAT = "%(levelname)s %(name)s: %(message)s"


def configure_logging(default: str = "info") -> None:
    """Log to standard error from the level of $PIWHEELS_LOG on, else from a default.

    Raises:
        ConfigError: the variable holds no level.
    """
    name = os.environ.get(VARIABLE) or default
    level = logging.getLevelNamesMapping().get(name.upper())
    if level is None:
        raise ConfigError(f"{VARIABLE}={name!r}: use debug, info, warning or error")
    logging.basicConfig(level=level, format=_FORMAT, stream=sys.stderr)
    if level >= logging.INFO:
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every request
