"""A simulated farm: speaks the real control protocol on a real socket, with nothing behind it.

`python -m tests.simfarm --help` tells how to run it beside a console; tests use SimFarm.
"""

from tests.simfarm.model import FarmModel
from tests.simfarm.server import ReceivedCommand, SimFarm

__all__ = ["FarmModel", "ReceivedCommand", "SimFarm"]
