"""Imported wheels whose client sends invalid or no chunks."""

from pathlib import Path

import pytest

from piwheels.control import wheel_import
from piwheels.control.authorization import Caller
from piwheels.control.command_executor import Call, ChunkQueue
from piwheels.control.wheel_import import WheelImporter
from piwheels.db.database import Database
from piwheels.errors import RejectedError
from piwheels.protocol import messages as m
from piwheels.scheduler.wheel_publisher import WheelPublisher
from piwheels.webroot import Webroot
from tests.db.scenario import RULES

NAME = "demo-1.0-py3-none-any.whl"


@pytest.fixture
def importer(tmp_path: Path, database: Database) -> WheelImporter:
    spool = tmp_path / "imports"
    return WheelImporter(
        database, RULES, WheelPublisher(database, Webroot(tmp_path / "www")), spool
    )


async def run_import(importer: WheelImporter, **facts: object) -> None:
    """Import a wheel of which no chunk is sent."""
    sane = {"filename": NAME, "size_bytes": 10, "sha256": "0" * 64}
    command = m.ImportWheel(**(sane | facts))  # type: ignore[arg-type]

    async def send(_: m.ReplyBody) -> None:
        pass

    await importer.run(command, Call(Caller("ann@desk"), send, ChunkQueue(command)))


async def test_an_import_by_a_disconnected_client_leaves_no_files(
    importer: WheelImporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheel_import, "_CHUNK_TIMEOUT_S", 0.01)
    with pytest.raises(RejectedError, match=f"{NAME}: no chunk was received for"):
        await run_import(importer)
    assert list(importer.spool.iterdir()) == []


@pytest.mark.parametrize("size_bytes", [0, -1, 2**63])
async def test_a_wheel_with_an_invalid_size_is_not_requested(
    importer: WheelImporter, size_bytes: int
) -> None:
    with pytest.raises(RejectedError, match="it must have 1 to"):
        await run_import(importer, size_bytes=size_bytes)


async def test_incomplete_imports_of_an_earlier_master_are_removed(importer: WheelImporter) -> None:
    (importer.spool / "7").mkdir(parents=True)
    (importer.spool / "7" / NAME).touch()
    importer.remove_leftovers()
    assert not importer.spool.exists()
