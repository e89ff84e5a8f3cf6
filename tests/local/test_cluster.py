"""A private PostgreSQL: data is used by the programs of the version that made it."""

import asyncio
import stat
from pathlib import Path

import psycopg
import pytest

from piwheels.local import cluster
from piwheels.local.cluster import _SOCKET_NAME, Cluster, ClusterError, installed_programs
from tests.needs import lacking


async def _version(private: Cluster) -> int:
    async with await psycopg.AsyncConnection.connect(private.dsn) as connection:
        return connection.info.server_version // 10000


async def _majors() -> dict[int, Path]:
    """The installed programs by their major version."""
    found: dict[int, Path] = {}
    for programs in installed_programs():
        process = await asyncio.create_subprocess_exec(
            programs / "postgres", "--version", stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        found.setdefault(int(output.split()[2].partition(b".")[0]), programs)
    return found


async def test_data_of_another_version_is_used_by_the_programs_that_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    majors = await _majors()
    other = next((major for major, place in majors.items() if place != majors_first()), None)
    if other is None:
        lacking("one version of PostgreSQL is installed")
    with monkeypatch.context() as only:
        only.setattr(cluster, "installed_programs", lambda: [majors[other]])
        async with Cluster(tmp_path, durable=False) as private:
            assert await _version(private) == other
    async with Cluster(tmp_path, durable=False) as private:
        assert await _version(private) == other


def majors_first() -> Path:
    """The programs that new data is made with."""
    return installed_programs()[0]


async def test_data_whose_programs_are_not_installed_is_refused_with_the_way_out(
    tmp_path: Path,
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(ClusterError, match=r"made by PostgreSQL 9,.*package postgresql-9, whose"):
        async with Cluster(tmp_path, durable=False):
            pass
    assert (tmp_path / "data" / "PG_VERSION").exists()


async def test_a_machine_without_postgresql_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_DEBIAN", tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ClusterError, match="Debian package `postgresql`"):
        installed_programs()


def test_the_servers_socket_and_password_are_its_owners_alone(cluster: Cluster) -> None:
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (cluster._sockets() / _SOCKET_NAME, cluster._password_file)
    }
    assert set(modes.values()) <= {0o700, 0o600}, modes
