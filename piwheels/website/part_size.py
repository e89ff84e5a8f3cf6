"""How many pages of projects are written at once: as many as take a fraction of a second."""

from collections.abc import Sequence
from dataclasses import dataclass

from piwheels.db.page_digests import PageState

#: The intended duration of a part: an urgent page waits until the current parts are written.
_PART_S = 0.3
#: More projects, or releases for each of them, would take too much memory of a render process.
MAX_PROJECTS = 50
_MIN_PROJECTS = 5
_RELEASES_PER_PROJECT = 12
#: A size that was right on a busy machine is raised in steps.
_MAX_GROWTH = 2.0


@dataclass(slots=True)
class PartSize:
    """The size of a part of the pages of projects, which follows the time that parts take."""

    projects: float = MAX_PROJECTS / 2

    def take(self, states: Sequence[PageState]) -> Sequence[PageState]:
        """The first of some projects, at least one: as many, by number and releases, as fit."""
        limit = min(int(self.projects), MAX_PROJECTS)
        releases = 0
        for count, state in enumerate(states):
            releases += state.releases
            if count == limit or (count and releases > limit * _RELEASES_PER_PROJECT):
                return states[:count]
        return states

    def adapt(self, parts: Sequence[Sequence[PageState]], took_s: float) -> None:
        """Follow the time (s) that some parts took which were written at the same time."""
        work = max(_work(part) for part in parts)
        fitting = work * _PART_S / max(took_s, 0.001)
        if took_s > _PART_S:
            self.projects = max(min(self.projects, fitting), _MIN_PROJECTS)
        elif work >= self.projects / 2:  # a few pages do not tell how long many would take
            grown = min(fitting, self.projects * _MAX_GROWTH, MAX_PROJECTS)
            self.projects = max(self.projects, grown)


def _work(part: Sequence[PageState]) -> float:
    """A part, as a number of projects with the usual number of releases."""
    return max(len(part), sum(state.releases for state in part) / _RELEASES_PER_PROJECT)
