"""What a master, or one that waits, answers on its control socket."""

import asyncio

from piwheels.errors import PiwheelsError
from piwheels.protocol import messages as m
from piwheels.protocol.client import ControlClient
from tests.timeouts import WAIT_S


async def status_of(control: str) -> str:
    """Why there is no status; "" where there is one."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                async with ControlClient(control) as client:
                    await client.request(m.Status(), m.StatusReply, timeout_s=WAIT_S)
                return ""
            except PiwheelsError as error:
                if "no master answers" not in str(error):
                    return str(error)
            await asyncio.sleep(0.1)


async def wait_for_master(control: str) -> None:
    """Wait until a master answers."""
    async with asyncio.timeout(WAIT_S):
        while await status_of(control):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.05)
