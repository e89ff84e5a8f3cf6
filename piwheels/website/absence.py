"""Why a project has no wheels on this farm, in words."""

from collections.abc import Sequence

from piwheels.model import ProjectStatusRow, State
from piwheels.website.release_matrix import MatrixRow

_UNDER_WAY = frozenset({State.BUILDING, State.QUEUED, State.PAUSED, State.DEFERRED, State.WAITING})


def absence_text(facts: ProjectStatusRow, rows: Sequence[MatrixRow]) -> str:
    """A sentence about a project without wheels; the first reason that all releases share.

    Args:
        facts: the project, which is not quarantined.
        rows: its newest releases.
    """
    if facts.skip_reason is not None:
        return "The operators of this farm decided not to build it."
    if not facts.releases:
        return "No releases are known yet. New releases are built when they appear upstream."
    states = {cell.state for row in rows for cell in (*row.cells, row.release_cell) if cell}
    if states & _UNDER_WAY:
        return "Its first wheels are queued or being built; the table shows how far they are."
    if State.UNSERVED in states:
        return "Its builds wait for a builder that can do them; the table shows what they need."
    if states == {State.NO_SDIST}:
        return (
            "Its releases have no source distribution (sdist), and this farm builds from sources "
            "only."
        )
    if states == {State.EXCLUDED}:
        return "Its releases exclude every Python of this farm by Requires-Python."
    if states & {State.FAILED, State.HELD}:
        return "Every build failed so far; the table links their logs."
    return "The table shows why."
