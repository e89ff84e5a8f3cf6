"""The client of the control socket where there is no master."""

import asyncio
import grp
import tempfile
from pathlib import Path

import pytest

from piwheels.protocol.client import (
    ControlClient,
    MasterUnreachableError,
    SocketPermissionError,
    check_socket,
)
from piwheels.protocol.messages import RequestBody, Status, StatusReply
from tests.timeouts import WAIT_S
from tests.unprivileged import inaccessible


async def test_a_missing_socket_is_a_missing_master(tmp_path: Path) -> None:
    async with ControlClient(f"ipc://{tmp_path}/control.sock") as client:
        with pytest.raises(
            MasterUnreachableError, match=r"no master answers at ipc://.*/control\.sock"
        ):
            await client.request(Status(), StatusReply)


def test_a_socket_in_an_inaccessible_directory_is_a_permission_error() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own lie in closed folders
        group = grp.getgrgid(Path(name).stat().st_gid).gr_name
        with (
            inaccessible(Path(name)),
            pytest.raises(SocketPermissionError, match=f"join the group {group}, "),
        ):
            check_socket(f"ipc://{name}/control.sock")


async def test_no_keepalive_precedes_its_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow connection is being made meanwhile; the master would take it for another's."""
    sent: list[str] = []

    async def send(_: int, body: RequestBody, **how: object) -> None:
        if isinstance(body, Status):
            await asyncio.sleep(0.1)  # several keepalives long
        sent.append(type(body).__name__)

    address = f"ipc://{tmp_path}/control.sock"
    async with ControlClient(address, keepalive_interval_s=0.005) as client:
        monkeypatch.setattr(client, "send", send)
        async with client.stream(Status()), asyncio.timeout(WAIT_S):
            while "KeepAlive" not in sent:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.005)
    assert sent[0] == "Status"
