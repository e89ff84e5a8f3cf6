"""Wheels from elsewhere, whose asker does not say what it ought to."""

from pathlib import Path

import pytest

from piwheels.db.database import Database
from piwheels.errors import RefusedError
from piwheels.farm.publishing import Publisher
from piwheels.master import imports
from piwheels.master.fates import Inbox
from piwheels.master.imports import Importer
from piwheels.protocol import messages as m
from piwheels.webroot import Webroot
from tests.db.world import RULES

NAME = "demo-1.0-py3-none-any.whl"


@pytest.fixture
def importer(tmp_path: Path, database: Database) -> Importer:
    spool = tmp_path / "imports"
    return Importer(database, RULES, Publisher(database, Webroot(tmp_path / "www")), spool)


async def take(importer: Importer, **facts: object) -> None:
    """Have a wheel imported of which nothing comes."""
    sane = {"filename": NAME, "size_bytes": 10, "sha256": "0" * 64}
    command = m.Import(**(sane | facts))  # type: ignore[arg-type]

    async def send(_: m.ReplyBody) -> None:
        pass

    await importer.take(command, send, Inbox(command))


async def test_an_asker_that_went_away_leaves_nothing(
    importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "_CHUNK_WAIT_S", 0.01)
    with pytest.raises(RefusedError, match=f"{NAME}: nothing of it came for"):
        await take(importer)
    assert list(importer.spool.iterdir()) == []


@pytest.mark.parametrize("size_bytes", [0, -1, 2**63])
async def test_a_wheel_of_no_sane_size_is_not_fetched(importer: Importer, size_bytes: int) -> None:
    with pytest.raises(RefusedError, match="is not accepted"):
        await take(importer, size_bytes=size_bytes)


async def test_what_an_earlier_master_was_importing_is_removed(importer: Importer) -> None:
    (importer.spool / "7").mkdir(parents=True)
    (importer.spool / "7" / NAME).touch()
    importer.tidy()
    assert not importer.spool.exists()
