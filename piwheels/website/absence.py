"""Why a project has no wheels on this farm, in words, and where visitors get it instead."""

from collections.abc import Sequence

from piwheels.model import ProjectStatusRow, State, Struct
from piwheels.website.release_matrix import MatrixRow

_UNDER_WAY = frozenset({State.BUILDING, State.QUEUED, State.PAUSED, State.DEFERRED, State.WAITING})
_ONLY_UPSTREAM = frozenset({State.UPSTREAM_WHEEL, State.NO_SDIST})
_NO_SDIST_TEXT = (
    "Its releases have no source distribution (sdist), and this farm builds from sources only."
)
_UPSTREAM_TEXT = (
    "The upstream index has wheels of it that fit the platforms of this farm, so that none are "
    "built here."
)


class Absence(Struct, frozen=True, kw_only=True):
    """Why there are no wheels of a project.

    text: a sentence.
    is_final: nothing that is under way or known to come changes it.
    only_upstream: installers get its wheels from the upstream index.
    lacks_sdist: nobody can build it from source.
    """

    text: str
    is_final: bool = True
    only_upstream: bool = False
    lacks_sdist: bool = False


def explain_absence(facts: ProjectStatusRow, rows: Sequence[MatrixRow]) -> Absence:
    """Why a project has no wheels: the first reason that all releases share.

    Args:
        facts: the project, which is not quarantined.
        rows: its newest releases.
    """
    if facts.skip_reason is not None:
        return Absence(text="The operators of this farm decided not to build it.")
    if not facts.releases:
        return _without_releases(facts)
    states = {cell.state for row in rows for cell in (*row.cells, row.release_cell) if cell}
    if states & _UNDER_WAY:
        text = "Its first wheels are queued, being built or to be retried; the table shows which."
        return Absence(text=text, is_final=False)
    if State.UNSERVED in states:
        text = "Its builds wait for a builder that can do them; the table shows what they need."
        return Absence(text=text, is_final=False)
    if states == {State.NO_SDIST}:
        return Absence(text=_NO_SDIST_TEXT, only_upstream=True, lacks_sdist=True)
    if states & {State.FAILED, State.HELD}:
        return Absence(text="Every build failed so far; the table links their logs.")
    return _settled(frozenset(states))


def _without_releases(facts: ProjectStatusRow) -> Absence:
    page = facts.upstream
    if page is None or page.newest_version is None:
        text = "The upstream index lists no release of it that is not yanked."
        later = "New releases are built when they appear upstream."
        return Absence(text=f"{text} {later}" if page else f"No releases are known yet. {later}")
    if not page.newest_has_sdist:
        return Absence(text=_NO_SDIST_TEXT, only_upstream=True, lacks_sdist=True)
    text = "This farm was asked for its next releases: they are built when they appear upstream."
    return Absence(text=text)


def _settled(states: frozenset[State]) -> Absence:
    """Why there are no wheels of releases for which nothing is built."""
    if State.UPSTREAM_WHEEL in states:
        return Absence(text=_UPSTREAM_TEXT, only_upstream=states <= _ONLY_UPSTREAM)
    if states == {State.EXCLUDED}:
        return Absence(text="Its releases exclude every Python of this farm by Requires-Python.")
    if states == {State.MISSING}:
        return Absence(text="The upstream index no longer lists its releases.")
    if states and states <= {State.SKIPPED, State.TARGET_SKIPPED}:
        text = "The operators of this farm decided not to build it; the table shows why."
        return Absence(text=text)
    return Absence(text="The table shows why.")
