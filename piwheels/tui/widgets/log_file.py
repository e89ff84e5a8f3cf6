"""A log saved to a file."""

from pathlib import Path

from piwheels.formatting import pluralize
from piwheels.tui.atomic_file import write_new_file
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
    write_new_file(path, "\n".join(lines) + "\n")
