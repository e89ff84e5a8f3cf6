"""What the database has of a build, as the facts of a statement that is written later."""

from piwheels.db.statements import RecordedWheel
from piwheels.model import projection
from piwheels.protocol.messages import MAX_INPUTS
from piwheels.provenance.statement import BuildFacts


def recorded_facts(wheel: RecordedWheel) -> BuildFacts:
    """The facts that are recorded of the build of a wheel."""
    return projection(
        BuildFacts,
        wheel,
        finished_at=wheel.ended_at,
        inputs_are_complete=len(wheel.build_inputs) < MAX_INPUTS,
        is_from_record=True,
    )
