"""A network of namespaces, and a farm in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.links.farm import LinkedFarm, linked_farm
from tests.links.network import Network, network


@pytest.fixture
def net() -> Iterator[Network]:
    """A namespace for a master."""
    with network() as made:
        yield made


@pytest.fixture
def farm(tmp_path: Path, dsn: str, net: Network) -> Iterator[LinkedFarm]:
    """A running master that notices a silent builder after 30 s."""
    with linked_farm(tmp_path, dsn, net, {"master.builder_timeout_s": 30.0}) as made:
        yield made


@pytest.fixture
def patient_farm(tmp_path: Path, dsn: str, net: Network) -> Iterator[LinkedFarm]:
    """A running master with the default limits."""
    with linked_farm(tmp_path, dsn, net) as made:
        yield made
