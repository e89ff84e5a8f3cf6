"""Files that are written whole or not at all."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from piwheels.errors import PiwheelsError


def write_atomically(path: Path, text: str, *, errors: str = "strict") -> None:
    """Write a text to a temporary file beside the path, and rename it.

    Raises:
        OSError: it cannot be written; nothing was changed.
        UnicodeEncodeError: so is a text that UTF-8 cannot encode, unless `errors` handles it.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors=errors) as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def write_new_file(path: Path, text: str) -> None:
    """Write a text to a file that does not exist yet; what UTF-8 cannot encode is replaced.

    Raises:
        PiwheelsError: it failed; one line says why.
    """
    try:
        if os.path.lexists(path):
            raise PiwheelsError(f"{path} exists; enter another name")
        write_atomically(path, text, errors="replace")
    except (OSError, ValueError) as error:  # ValueError: an impossible name
        reason = getattr(error, "strerror", None) or str(error)
        raise PiwheelsError(f"cannot save to {path}: {reason}") from error
