"""Builds before those that the console knows, read from the master for a filter by state."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from piwheels.formatting import format_count
from piwheels.model import BuildSummary, Outcome
from piwheels.protocol.messages import ListBuilds

#: So many are read at once, and so many times for one filter.
PAGE_BUILDS = 200
MAX_PAGES = 10


def asks_for_older(states: Sequence[str]) -> bool:
    """Whether the values of `state:` in a filter are of builds that have ended."""
    return bool(states) and all(any(it in outcome for outcome in Outcome) for it in states)


class OlderBuilds:
    """What was read for one filter; another one begins again."""

    def __init__(self) -> None:
        self.wanted: tuple[str, ...] = ()  # the values of `state:` that it reads for
        self._reset()

    def _reset(self) -> None:
        self.builds: dict[int, BuildSummary] = {}  # by number
        self._ended_before: datetime | None = None
        self._pages = 0
        self._is_complete = False

    def begin(self, states: Sequence[str]) -> None:
        """Read for these values of `state:` from now on; () for nothing."""
        wanted = tuple(states) if asks_for_older(states) else ()
        if wanted != self.wanted:
            self.wanted = wanted
            self._reset()

    @property
    def wants_more(self) -> bool:
        """Whether there may be more, and they may be read."""
        return bool(self.wanted) and not self._is_complete and self._pages < MAX_PAGES

    def query(self, known: Iterable[BuildSummary], project: str) -> ListBuilds:
        """What to ask the master for.

        Args:
            known: The builds that the console has without asking.
            project: Of the builds; "" for any.
        """
        oldest = min((build.ended_at for build in known), default=None)
        return ListBuilds(
            limit=PAGE_BUILDS,
            project=project or None,
            failed=any(value not in Outcome.BUILT for value in self.wanted),
            ended_before=self._ended_before or oldest,
        )

    def add(self, builds: Sequence[BuildSummary]) -> None:
        """The answer; none that is new means that there are no more."""
        new = {build.build_id: build for build in builds if build.build_id not in self.builds}
        self.builds |= new
        self._pages += 1
        self._is_complete = len(builds) < PAGE_BUILDS or not new
        self._ended_before = min((build.ended_at for build in builds), default=None)

    def stop(self) -> None:
        """The master does not answer: ask for no more."""
        self._pages = MAX_PAGES

    @property
    def text(self) -> str:
        """How far was read, in words; "" when nothing was asked for, or all was read."""
        if not self.wanted or self._is_complete:
            return ""
        return f"so far, {format_count(len(self.builds))} older builds read"
