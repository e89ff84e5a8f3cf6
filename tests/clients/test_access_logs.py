"""What real web servers log of real clients' installs, counted: a download a wheel."""

from pathlib import Path

import pytest

from piwheels.accesslog.context import IngestContext
from piwheels.accesslog.log_formats import LogFormat
from piwheels.accesslog.logfile import LogFile
from piwheels.accesslog.reader import LogReader
from piwheels.accesslog.rejected_lines import RejectedLineSample
from piwheels.db import downloads
from piwheels.db.database import Database
from piwheels.db.downloads import Dimension
from tests.clients.servers import program, serving
from tests.clients.test_install import install
from tests.requires import requires_program

_FORMATS = {
    "nginx": (LogFormat.AUTO, LogFormat.COMBINED),
    "apache": (LogFormat.AUTO, LogFormat.COMBINED, LogFormat.APACHE),
    "caddy": (LogFormat.AUTO, LogFormat.CADDY_JSON),
    "own": (LogFormat.AUTO, LogFormat.COMBINED),
}
_CLIENTS = ("pip22", "pip-newest", "uv")


@pytest.mark.parametrize(
    ("server", "line_format"),
    [
        pytest.param(name, line_format, marks=requires_program(program(name)))
        for name, formats in _FORMATS.items()
        for line_format in formats[-1:]
    ],
)
async def test_an_installation_counts_as_a_download_of_each_wheel(
    *,
    server: str,
    line_format: LogFormat,
    tree: Path,
    environments: dict[str, Path],
    database: Database,
    tmp_path: Path,
) -> None:
    work = tmp_path / "work"
    for folder in (work, *work.parents):
        folder.mkdir(exist_ok=True)
        if folder.stat().st_mode & 0o777 == 0o700:
            folder.chmod(0o711)
    work.chmod(0o777)
    with serving(server, tree, work) as address:
        for client in _CLIENTS:
            done = install(client, environments, f"{address}simple/", tmp_path / client, "left")
            assert done.returncode == 0, done.stdout + done.stderr
    log = work / f"{server}.log"
    for accepted in _FORMATS[server]:
        context = IngestContext.create(
            database,
            accepted,
            RejectedLineSample(tmp_path / "broken"),
            lambda: downloads._ALL_TIME[0],
        )
        with LogFile(log) as file:
            await LogReader(context, file).read_to_end()
        assert context.counters.rejected_lines == 0, (tmp_path / "broken").read_text()
    assert context.counters.lines == 0, "the second reading finds it read"
    (day,) = await downloads.per_day(database)
    # `left` needs `right`; each client takes a wheel of both.
    assert day.downloads == 2 * len(_CLIENTS)
    assert day.bytes > 0
    assert day.index_hits >= 2 * len(_CLIENTS)
    assert day.clients == 1
    top = await downloads.top_projects(database)
    assert {share.name: share.count for share in top} == {
        "left": len(_CLIENTS),
        "right": len(_CLIENTS),
    }
    installers = await downloads.breakdown(database, Dimension.INSTALLER)
    assert sorted(share.name.split()[0] for share in installers) == ["pip", "pip", "uv"]
    for dimension in (Dimension.ARCH, Dimension.PYTHON):
        assert "" not in {share.name for share in await downloads.breakdown(database, dimension)}
