"""Operators who are connected to a real master: each console shows the others, and what they did."""

import json
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

from piwheels.control.authorization import Caller
from piwheels.control.connected_operators import (
    MAX_REMEMBERED,
    MAX_TOLD,
    ConnectedOperators,
)
from piwheels.protocol import messages as m
from piwheels.protocol.control_roles import ControlRole
from piwheels.protocol.keys import MASTER, Role
from tests.control.conftest import Master
from tests.control.test_cli_commands import piw
from tests.ports import free_port


def named(operators: tuple[m.OperatorSession, ...], name: str) -> m.OperatorSession | None:
    return next((each for each in operators if each.name == name), None)


async def test_each_console_is_told_who_else_is_connected(master: Master) -> None:
    async with master.watch(user="ada@desk") as ada:
        own = ada.snapshot.status.operators
        assert [(each.session, each.name) for each in own] == [(ada.snapshot.session, "ada@desk")]
        assert own[0].origin == "this machine"
        assert abs(datetime.now(UTC) - own[0].since) < timedelta(minutes=5)
        async with master.watch(user="ben@laptop", read_only=True) as ben:
            assert {each.name for each in ben.snapshot.status.operators} == {
                "ada@desk", "ben@laptop",
            }  # fmt: skip
            event = await ada.wait_for_event(
                m.OperatorsChanged, lambda it: named(it.operators, "ben@laptop") is not None
            )
            joined = named(event.operators, "ben@laptop")
            assert joined is not None
            assert joined.role is ControlRole.WATCH
        await ada.wait_for_event(
            m.OperatorsChanged, lambda it: named(it.operators, "ben@laptop") is None
        )


async def test_a_console_shows_what_the_others_did_last(master: Master) -> None:
    async with master.watch(user="ada@desk") as ada, master.watch(user="ben@laptop"):
        await master.ask(m.Pause(), m.CommandSucceeded, user="ben@laptop")

        def has_paused(event: m.OperatorsChanged) -> bool:
            ben = named(event.operators, "ben@laptop")
            return ben is not None and ben.last_command == "pause the farm"

        event = await ada.wait_for_event(m.OperatorsChanged, has_paused)
        ben = named(event.operators, "ben@laptop")
        assert ben is not None
        assert ben.last_command_at is not None
        other = named(event.operators, "ada@desk")
        assert other is not None
        assert (other.last_command, other.last_command_at) == ("", None)
        status = json.loads((await piw(master, "status", "--json")).stdout)
        assert [each["name"] for each in status["operators"]] == ["ada@desk", "ben@laptop"]
        text = (await piw(master, "status")).stdout
        assert "consoles:  ada@desk, ben@laptop" in text
        assert "PAUSED by ben@laptop: no jobs are assigned" in text


async def test_over_tcp_a_console_has_its_address_and_the_name_of_its_key(
    idle_master: Master,
) -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    await idle_master.start(control_tcp_bind=address)
    pair = idle_master.keys.load_or_generate("console")
    idle_master.keys.authorize(Role.ADMINISTER, "laptop", pair.public)
    server_key = idle_master.keys.require(MASTER).public
    async with idle_master.watch(
        user="ada@desk", address=address, key=pair, server_key=server_key
    ) as ada:
        (own,) = ada.snapshot.status.operators
    assert (own.name, own.origin) == ("ada@desk (key laptop)", "127.0.0.1")


async def test_names_are_safe_and_short_whatever_a_client_calls_itself(master: Master) -> None:
    evil = "\x1b]0;owned\x07" + "ada\n" * 40
    async with master.watch(user=evil) as watcher:
        (own,) = watcher.snapshot.status.operators
    assert own.name.isprintable()
    assert len(own.name) <= 80


def test_what_is_kept_is_bounded() -> None:
    operators = ConnectedOperators()
    with ExitStack() as stack:
        stack.enter_context(operators.connected(Caller("ada@desk"), ""))
        for number in range(MAX_REMEMBERED + 50):
            stack.enter_context(operators.connected(Caller(f"evil{number}"), ""))
            operators.record(f"evil{number}", "pause the farm")
        told = operators.sessions
    assert len(told) == MAX_TOLD
    assert told[0].name == "ada@desk", "who came first is not displaced"
    assert len(operators._last) == MAX_REMEMBERED
    assert operators.sessions == ()
