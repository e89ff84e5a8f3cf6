"""Readers in the test's process."""

from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path

import pytest

from piwheels.accesslog.context import IngestContext
from piwheels.accesslog.log_formats import LogFormat
from piwheels.accesslog.logfile import LogFile
from piwheels.accesslog.reader import LogReader
from piwheels.accesslog.rejected_lines import RejectedLineSample
from piwheels.db.database import Database

Read = Callable[[Path], Awaitable[None]]
LONG_AGO = date(2000, 1, 1)


def new_context(database: Database, folder: Path) -> IngestContext:
    """The context of a new run of `piw accesslog`."""
    return IngestContext.create(
        database, LogFormat.AUTO, RejectedLineSample(folder / "broken.log"), lambda: LONG_AGO
    )


async def read_with(context: IngestContext, path: Path) -> None:
    """Read a file to its end."""
    with LogFile(path) as file:
        await LogReader(context, file).read_to_end()


@pytest.fixture
def read(database: Database, tmp_path: Path) -> Read:
    """Read a file as a new run."""

    async def one_run(path: Path) -> None:
        await read_with(new_context(database, tmp_path), path)

    return one_run
