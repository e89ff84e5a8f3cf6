"""A command that the master accepted and does not finish: nobody is said to be away."""

import asyncio
from pathlib import Path

import pytest

from piwheels.errors import PiwheelsError
from piwheels.protocol import messages as m
from piwheels.protocol.channels import Router
from piwheels.protocol.client import UnknownOutcomeError
from tests.patience import PatientClient


async def test_an_accepted_command_without_outcome_is_not_a_master_that_is_away(
    tmp_path: Path,
) -> None:
    address = f"ipc://{tmp_path}/c.sock"
    router: Router[m.Command, m.Reply] = Router(
        m.Command, lambda why, _: m.Reply(number=0, body=m.Problem(reason=why)), high_water=4
    )
    router.bind(address)

    async def accept() -> None:
        envelope = await router.receive()
        await router.send(envelope.peer, m.Reply(number=envelope.message.number, body=m.Accepted()))

    accepting = asyncio.create_task(accept())
    async with PatientClient(address) as client:
        with pytest.raises(PiwheelsError, match="accepted the command and has not fin") as caught:
            await client.ask(m.Pause(), m.Applied, timeout_s=0.5)
    await accepting
    router.close()
    assert isinstance(caught.value, UnknownOutcomeError)
