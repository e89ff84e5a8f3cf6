"""Searches all projects of the farm for the finder of a console."""

from dataclasses import dataclass, field

from piwheels.control.adaptive_cache import AdaptiveCache
from piwheels.control.name_index import NameIndex, search_text
from piwheels.db import project_search
from piwheels.db.database import Database
from piwheels.protocol.messages import ProjectHits

MAX_HITS = 20
#: Reading all names of a large farm takes a second: not oftener than this times as long.
_LOAD_FACTOR = 100.0
#: Newer projects are found by their whole name alone.
_NAMES_MAX_AGE_S = 600.0
#: A search waits no longer for newer names when it has some.
_NAMES_TIMEOUT_S = 0.02


@dataclass(slots=True)
class ProjectSearch:
    """Finds projects by their names, which are kept in memory from the first search on.

    db: for the hits. counts_db: for the names of all projects, which take long.
    """

    db: Database
    counts_db: Database
    _names: AdaptiveCache[NameIndex] = field(init=False)

    def __post_init__(self) -> None:
        self._names = AdaptiveCache(
            self._load_names, cost_factor=_LOAD_FACTOR, max_age_s=_NAMES_MAX_AGE_S
        )

    async def _load_names(self) -> NameIndex:
        return NameIndex(await project_search.names_by_downloads(self.counts_db))

    async def find(self, text: str) -> ProjectHits:
        """The projects whose names match best, the best first."""
        index = (await self._names.get_within(_NAMES_TIMEOUT_S)).value
        names = index.find(text, MAX_HITS + 1)
        whole = search_text(text)
        if whole and whole not in names:  # it may be newer than the index
            names.insert(0, whole)
        hits = await project_search.project_hits(self.db, names)
        return ProjectHits(hits=hits[:MAX_HITS], projects=index.count, more=len(hits) > MAX_HITS)
