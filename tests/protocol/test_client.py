"""The client of the control socket where there is no master."""

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
from piwheels.protocol.messages import Status, StatusReply
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
