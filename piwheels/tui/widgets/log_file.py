"""A log saved to a file."""

import os
from pathlib import Path

from piwheels.errors import PiwheelsError
from piwheels.formatting import pluralize
from piwheels.tui.atomic_file import write_atomically
from piwheels.tui.widgets.log_buffer import LogBuffer


def save_log(log_buffer: LogBuffer, path: Path) -> None:
    """Write the lines to a new file, atomically.

    Raises:
        PiwheelsError: it failed; one line says why.
    """
    lines = list(log_buffer.lines_from(0))
    if log_buffer.first_line_number:
        dropped = pluralize(log_buffer.first_line_number, "earlier line")
        lines.insert(0, f"[{dropped} not kept]")
    try:
        if os.path.lexists(path):
            raise PiwheelsError(f"{path} exists; enter another name")
        write_atomically(path, "\n".join(lines) + "\n", errors="replace")
    except (OSError, ValueError) as error:  # ValueError: an impossible name
        reason = getattr(error, "strerror", None) or str(error)
        raise PiwheelsError(f"cannot save to {path}: {reason}") from error
