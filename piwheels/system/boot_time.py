"""The clock that nobody sets."""

import time


def boot_time_s() -> float:
    """Seconds since this machine booted, including suspend, however its clock is set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
