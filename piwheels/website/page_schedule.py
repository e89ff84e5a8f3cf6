"""When work on the website that is repeated, as writing the home page, is done again."""

import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass

from piwheels.errors import PiwheelsError
from piwheels.rendering import write_errors

log = logging.getLogger(__name__)

_RETRY_S = 60.0
#: A single page is rewritten at the earliest after this multiple of the time that writing it takes,
#: but not later than after _MAX_PAUSE_S on a slow machine, unless _MIN_COST_FACTOR times are more.
_COST_FACTOR, _MIN_COST_FACTOR = 50.0, 4.0
_MAX_PAUSE_S = 60.0


@dataclass(slots=True)
class PageSchedule:
    """When a single page is written next, or a chore done, and the function that does it."""

    interval_s: float
    write: Callable[[], Awaitable[object]]
    due_at: float = float("-inf")

    @property
    def is_due(self) -> bool:
        """Whether its time has come."""
        return time.monotonic() >= self.due_at

    async def attempt(self, what: str) -> str:
        """Do it and schedule the next time; returns the problem, or "" on success.

        Raises:
            BrokenExecutor: the render process died.
            OSError: the whole web root cannot be written now.
        """
        began = time.monotonic()
        try:
            await self.write()
        except BrokenExecutor:
            raise
        except Exception as error:
            if write_errors.is_of_web_root(error):
                raise
            # One page's error must not stop the others.
            problem = write_errors.describe_error(error)
            known = isinstance(error, OSError | PiwheelsError)
            log.error("%s: %s; retrying", what, problem, exc_info=not known)
            self.mark_failed()
            return problem
        self.mark_written(time.monotonic() - began)
        return ""

    def mark_written(self, took_s: float) -> None:
        """Schedule the next rewrite."""
        pause_s = max(min(took_s * _COST_FACTOR, _MAX_PAUSE_S), took_s * _MIN_COST_FACTOR)
        self.due_at = time.monotonic() + max(self.interval_s, pause_s)

    def mark_failed(self) -> None:
        """Schedule a retry."""
        self.due_at = time.monotonic() + max(self.interval_s, _RETRY_S)
