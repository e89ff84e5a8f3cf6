"""A private PostgreSQL: data is used by the programs of the version that made it."""

import asyncio
import stat
from pathlib import Path

import psycopg
import pytest

from piwheels.local import postgres
from piwheels.local.postgres import (
    _SOCKET_NAME,
    PrivatePostgres,
    PrivatePostgresError,
    find_postgres_bin_dirs,
)
from piwheels.system import postgres_programs
from tests.requires import skip_or_fail


async def _version(private: PrivatePostgres) -> int:
    async with await psycopg.AsyncConnection.connect(private.dsn) as connection:
        return connection.info.server_version // 10000


async def _bin_dirs_by_major() -> dict[int, Path]:
    """The installed programs by their major version."""
    found: dict[int, Path] = {}
    for programs in find_postgres_bin_dirs():
        process = await asyncio.create_subprocess_exec(
            programs / "postgres", "--version", stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        found.setdefault(int(output.split()[2].partition(b".")[0]), programs)
    return found


@pytest.mark.farm
async def test_data_of_another_version_is_used_by_matching_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    majors = await _bin_dirs_by_major()
    other = next((major for major, place in majors.items() if place != majors_first()), None)
    if other is None:
        skip_or_fail("one version of PostgreSQL is installed")
    with monkeypatch.context() as only:
        only.setattr(postgres, "find_postgres_bin_dirs", lambda: [majors[other]])
        async with PrivatePostgres(tmp_path, durable=False) as private:
            assert await _version(private) == other
    async with PrivatePostgres(tmp_path, durable=False) as private:
        assert await _version(private) == other


def majors_first() -> Path:
    """The programs that new data is made with."""
    return find_postgres_bin_dirs()[0]


async def test_data_without_matching_programs_is_rejected_with_a_solution(
    tmp_path: Path,
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(
        PrivatePostgresError, match=r"created by PostgreSQL 9,.*package postgresql-9, or"
    ):
        async with PrivatePostgres(tmp_path, durable=False):
            pass
    assert (tmp_path / "data" / "PG_VERSION").exists()


async def test_a_machine_without_postgresql_is_reported_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_programs, "_DEBIAN_POSTGRES_DIR", tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(PrivatePostgresError, match="Debian package `postgresql`"):
        find_postgres_bin_dirs()


def test_the_socket_and_password_of_the_server_are_private(postgres: PrivatePostgres) -> None:
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (postgres._socket_dir() / _SOCKET_NAME, postgres._password_file)
    }
    assert set(modes.values()) <= {0o700, 0o600}, modes
