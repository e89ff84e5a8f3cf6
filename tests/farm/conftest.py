"""A farm without a socket."""

import pytest

from piwheels.farm.sessions import Sessions


@pytest.fixture
def farm() -> Sessions:
    """Nobody is there yet."""
    return Sessions(lost_after_s=300.0)
