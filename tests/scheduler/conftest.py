"""A farm without a socket."""

import pytest

from piwheels.scheduler.builder_state_machine import BuilderStateMachine


@pytest.fixture
def farm() -> BuilderStateMachine:
    """Nobody is there yet."""
    return BuilderStateMachine(builder_timeout_s=300.0, check_invariants=True)
