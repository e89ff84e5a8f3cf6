"""A builder that knows a master and its standbys: which one it talks to."""

import itertools
import math

import pytest

from piwheels.builder import connection_events as events
from piwheels.builder import connection_instructions as instructions
from piwheels.builder.connection_state_machine import (
    MASTER_TIMEOUT_S,
    ConnectionState,
    ConnectionStateMachine,
)
from piwheels.builder.master_list import MasterPlace, parse_masters
from piwheels.errors import ConfigError
from piwheels.protocol.messages import Welcome


def connect(machine: ConnectionStateMachine, now: float, epoch: int) -> list[object]:
    """Open the next connection, and let a master with an epoch answer."""
    machine.handle(events.TimerExpired(), now)
    welcome = events.MessageReceived(machine.connection, Welcome(label="pi", epoch=epoch))
    return list(machine.handle(welcome, now))


def test_a_former_master_is_left() -> None:
    machine = ConnectionStateMachine(check_each_event=True, masters=2)
    connect(machine, 0.0, 7)
    assert machine.epoch == 7
    machine.handle(events.ConnectionLost(machine.connection, "it is gone"), 1.0)
    (closed,) = connect(machine, machine.next_timer(), 5)
    assert isinstance(closed, instructions.CloseConnection)
    assert "former master" in closed.reason
    assert machine.connection_state is ConnectionState.DISCONNECTED
    connect(machine, machine.next_timer(), 8)
    assert machine.epoch == 8


@pytest.mark.parametrize(("masters", "least", "most"), [(1, 25.0, math.inf), (2, 0.0, 10.5)])
def test_the_next_of_several_masters_is_tried_soon(masters: int, least: float, most: float) -> None:
    """A standby does not answer: the time from one attempt to the next, when none ever did."""
    machine, now = ConnectionStateMachine(masters=masters), 0.0
    began = []
    for _ in range(20):
        now = max(machine.next_timer(), now)
        if machine.connection_state is ConnectionState.DISCONNECTED:
            began.append(now)
        machine.handle(events.TimerExpired(), now)
    gaps = [later - earlier for earlier, later in itertools.pairwise(began[2:])]
    assert least < min(gaps)
    assert max(gaps) < most
    assert machine.welcome_timeout_s <= MASTER_TIMEOUT_S


def test_masters_are_hosts_with_ports_and_keys() -> None:
    assert parse_masters("a, tcp://b:7,[::1]:8:9,::2", "k", 5, 6) == [
        MasterPlace("a", 5, 6, "k"),
        MasterPlace("b", 7, 6, "k"),
        MasterPlace("::1", 8, 9, "k"),
        MasterPlace("::2", 5, 6, "k"),
    ]
    assert [place.key for place in parse_masters("a,b", "k,l", 5, 6)] == ["k", "l"]


@pytest.mark.parametrize(
    ("masters", "keys", "message"),
    [
        ("a,,b", "k", "''"),
        ("a:port", "k", "'a:port' is not HOST"),
        ("a b", "k", "'a b' is not HOST"),
        ("a:70000", "k", "a port that is not"),
        ("a,b", "k,l,m", "3 keys, and builder.master 2 masters"),
    ],
)
def test_what_is_no_list_of_masters_is_reported(masters: str, keys: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_masters(masters, keys, 5, 6)
