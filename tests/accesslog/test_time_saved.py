"""Build time saved by downloads."""

from pathlib import Path

import pytest

from piwheels.db import downloads
from piwheels.db.database import Database
from tests.accesslog.conftest import Read
from tests.accesslog.log_generator import combined, wheel_path

_WEEK_S = 7 * 86_400

_PUBLISHED = (
    "INSERT INTO requires_python_specifiers VALUES ('')",
    "INSERT INTO projects (project, display_name) VALUES ('numpy', 'numpy')",
    """
    INSERT INTO releases (project, version, released_at, requires_python)
    VALUES ('numpy', '1.0', now(), '')
    """,
    """
    INSERT INTO targets (target, sort_order, python, python_full, implementation, abi, arch, os,
                         glibc)
    VALUES ('t', 1, '3.11', '3.11.2', 'cp', 'cp311', 'armv7l', 'bookworm', '2.36')
    """,
    """
    INSERT INTO builds (build_id, project, version, target, builder, outcome, will_retry, reason,
                        started_at, duration_s, attempt, build_inputs)
    VALUES (1, 'numpy', '1.0', 't', 'b', 'built', false, '', now(), %(duration_s)s, 1, '{}')
    """,
    "INSERT INTO wheel_compatibilities VALUES ('k', 'k', '')",
    "INSERT INTO reserved_filenames VALUES (%(filename)s, 'x')",
    """
    INSERT INTO files (filename, sha256, size_bytes, metadata_sha256, compatibility_id,
                       requires_python, debian_packages, project, version, build_id)
    VALUES (%(filename)s, 'x', 1, 'x', 'k', '', '{}', 'numpy', '1.0', 1)
    """,
)


async def publish(db: Database, tags: str, duration_s: float) -> str:
    """Add a wheel with a build of this duration; returns its path."""
    path = wheel_path("numpy", tags=tags)
    for statement in _PUBLISHED:
        await db.execute(statement, {"filename": path.rpartition("/")[2], "duration_s": duration_s})
    return path


@pytest.mark.parametrize(
    ("tags", "duration_s", "saved_s"),
    [
        ("cp311-cp311-linux_armv7l", 100.0, 93.3),
        ("cp311-cp311-linux_armv6l", 100.0, 593.3),
        ("cp39-abi3-linux_aarch64", 100.0, 93.3),
        ("py3-none-any", 100.0, 0.0),
        ("py3-none-linux_armv7l", 100.0, 0.0),
        ("cp311-cp311-linux_armv7l", 5.0, 0.0),
        ("cp311-cp311-linux_armv7l", float(_WEEK_S), _WEEK_S - 6.7),
        ("cp311-cp311-linux_armv7l", _WEEK_S + 1.0, 0.0),
        ("cp311-cp311-linux_armv6l", _WEEK_S + 1.0, 0.0),
    ],
)
async def test_a_download_saves_the_build(
    *,
    read: Read,
    database: Database,
    tmp_path: Path,
    tags: str,
    duration_s: float,
    saved_s: float,
) -> None:
    path = await publish(database, tags, duration_s)
    log = tmp_path / "log"
    log.write_bytes(combined(path) * 3)
    await read(log)
    figures = await downloads.download_totals(database)
    assert figures.saved_s == pytest.approx(3 * saved_s)
    project = await downloads.project_total(database, "numpy")
    assert project.saved_s == pytest.approx(3 * saved_s)


async def test_a_wheel_without_a_known_build_is_counted_and_saves_nothing(
    read: Read, database: Database, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.write_bytes(combined(wheel_path("numpy")))
    await read(log)
    figures = await downloads.download_totals(database)
    assert (figures.downloads, figures.saved_s) == (1, 0.0)


async def test_saved_time_is_kept_when_the_wheel_is_removed(
    read: Read, database: Database, tmp_path: Path
) -> None:
    path = await publish(database, "cp311-cp311-linux_aarch64", 106.7)
    (tmp_path / "1").write_bytes(combined(path))
    await read(tmp_path / "1")
    await database.execute("DELETE FROM builds")
    (tmp_path / "2").write_bytes(combined(path, address="192.0.2.2") * 2)
    await read(tmp_path / "2")
    figures = await downloads.download_totals(database)
    assert figures.downloads == 3
    assert figures.saved_s == pytest.approx(300.0)
