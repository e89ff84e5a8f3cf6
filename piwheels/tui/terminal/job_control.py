"""Job control: suspending to the shell, as ctrl+z does in other programs."""

import os
import signal
from pathlib import Path


def can_suspend() -> bool:
    """Whether a shell could resume this process.

    Without a parent in the same session (as under `ssh -t HOST piw tui`), a stopped process would
    keep its terminal forever: its process group is orphaned (setpgid(2)).
    """
    try:
        stat = Path(f"/proc/{os.getpgrp()}/stat").read_text(encoding="utf-8", errors="replace")
        parent = int(stat.rpartition(")")[2].split()[1])
        return parent > 0 and os.getsid(parent) == os.getsid(0)
    except (OSError, ValueError):
        return False


def suspend_job() -> None:
    """Stop the terminal's foreground process group, until the shell resumes it.

    The group may have more processes than this one: `piw up` waits for its console.
    """
    os.killpg(os.getpgrp(), signal.SIGSTOP)
