"""Removing what a build left behind, however it left it."""

import os
import subprocess
from pathlib import Path

_PATH = "/usr/local/bin:/usr/bin:/bin"


def remove_tree(folder: Path) -> None:
    """Remove a folder and all in it: what is unreadable too, and what is nested without an end.

    The tools of the system do that: Python's own rmtree keeps a descriptor and a call open for
    each level, so that a build of a thousand nested folders would stay for ever.
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
