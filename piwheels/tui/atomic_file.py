"""Files that are written whole or not at all."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path


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
