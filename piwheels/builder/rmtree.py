"""Removal of a build's files, whatever their permissions and depth."""

import os
import subprocess
from pathlib import Path

_PATH = "/usr/local/bin:/usr/bin:/bin"


def remove_tree(folder: Path) -> None:
    """Remove a folder and its content, also unreadable and very deeply nested folders.

    This runs rm(1), because shutil.rmtree needs a file descriptor and a stack frame for each
    level and cannot remove a thousand nested folders.
    """
    if not os.path.lexists(folder):
        return
    _run_quietly("rm", "-rf", "--", folder)
    if os.path.lexists(folder):
        _run_quietly("chmod", "-R", "u+rwx", "--", folder)
        _run_quietly("rm", "-rf", "--", folder)


def _run_quietly(*command: str | Path) -> None:
    quiet = subprocess.DEVNULL
    subprocess.run(
        command,
        env={"PATH": _PATH},
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        check=False,
    )
