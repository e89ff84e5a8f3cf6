"""The limit of open files and sockets of this process."""

import resource

#: More connections than a farm has builders and consoles; systemd's units allow as many.
MAX_OPEN_FILES = 65_536


def raise_open_file_limit() -> int:
    """Raise the soft limit as far as this account may, up to MAX_OPEN_FILES.

    The usual limit of 1024 is for programs that call select(2), which this one does not.

    Returns:
        How many files and sockets this process may open now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft
