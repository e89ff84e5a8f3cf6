"""Files for parsers that read files, in a folder that goes with the process."""

import shutil
import tempfile
from functools import cache
from pathlib import Path


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="piwheels-fuzz-")


def scratch_file(data: bytes, name: str = "input") -> Path:
    """A file with this content; the next of the name replaces it."""
    path = Path(_folder().name, name)
    path.write_bytes(data)
    return path


def empty_folder(name: str = "folder") -> Path:
    """An empty folder; the next of the name replaces it."""
    path = Path(_folder().name, name)
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    return path


def as_text(data: bytes) -> str:
    """Text with what JSON can carry: any characters, also lone surrogates."""
    return data.decode("utf-8", "surrogateescape")
