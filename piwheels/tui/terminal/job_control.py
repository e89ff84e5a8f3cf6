"""Going to the shell and coming back, as a terminal's own ctrl+z does it for others."""

import os
import signal
from pathlib import Path


def can_suspend() -> bool:
    """Whether somebody is there who would bring this process back.

    Without a shell of the same session over it (as under `ssh -t HOST piw tui`), a process that
    stops holds its terminal for ever; the kernel calls its group orphaned (setpgid(2)).
    """
    try:
        stat = Path(f"/proc/{os.getpgrp()}/stat").read_text(encoding="utf-8", errors="replace")
        parent = int(stat.rpartition(")")[2].split()[1])
        return parent > 0 and os.getsid(parent) == os.getsid(0)
    except (OSError, ValueError):
        return False


def suspend_job() -> None:
    """Stop all that runs in the terminal's foreground, until the shell lets it go on.

    That is more than this process: `piw up` waits for the console that it has begun.
    """
    os.killpg(os.getpgrp(), signal.SIGSTOP)
