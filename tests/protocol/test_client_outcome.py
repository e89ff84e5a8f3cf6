"""A command that the master accepted and does not finish: it is not reported as unreachable."""

import asyncio
from pathlib import Path

import pytest

from piwheels.errors import PiwheelsError
from piwheels.protocol import messages as m
from piwheels.protocol.client import UnknownOutcomeError
from piwheels.protocol.sockets import Router
from tests.timeouts import LongTimeoutClient


async def test_an_accepted_command_without_a_result_is_not_a_missing_master(
    tmp_path: Path,
) -> None:
    address = f"ipc://{tmp_path}/c.sock"
    router: Router[m.Request, m.Reply] = Router(
        m.Request, lambda why, _: m.Reply(request_id=0, body=m.CommandFailed(reason=why)), hwm=4
    )
    router.bind(address)

    async def accept() -> None:
        envelope = await router.receive()
        await router.send(
            envelope.peer, m.Reply(request_id=envelope.message.request_id, body=m.Accepted())
        )

    accepting = asyncio.create_task(accept())
    async with LongTimeoutClient(address) as client:
        with pytest.raises(PiwheelsError, match="accepted the command and has not fin") as caught:
            await client.request(m.Pause(), m.CommandSucceeded, timeout_s=0.5)
    await accepting
    router.close()
    assert isinstance(caught.value, UnknownOutcomeError)
