"""Index pages of 60 files, as they are written and served in benchmarks."""

import hashlib
from datetime import UTC, datetime

from piwheels.model import IndexEntry, IndexPage, ProjectStatus

FILES = 60


def _file(number: int, filename: str) -> IndexEntry:
    return IndexEntry(
        filename=filename,
        sha256=hashlib.sha256(filename.encode()).hexdigest(),
        size_bytes=12_345 + number,
        metadata_sha256=hashlib.sha256(f"{filename}.metadata".encode()).hexdigest(),
        requires_python=">=3.8",
        version=f"1.{number // 6}.0",
        released_at=datetime(2026, 1, number // 6 + 1, 18, 14, 54, tzinfo=UTC),
        yanked=None,
    )


def make_page(project: str, edition: int) -> IndexPage:
    """The page of a project; another edition has other file names."""
    abis = [f"cp3{minor}" for minor in (9, 10, 11, 12, 13, 14)]
    names = [
        f"{project}-1.{n // 6}.{edition}-{abis[n % 6]}-{abis[n % 6]}-linux_aarch64.whl"
        for n in range(FILES)
    ]
    return IndexPage(
        project=project,
        status=ProjectStatus.ACTIVE,
        status_reason="",
        files=tuple(_file(n, name) for n, name in enumerate(names)),
    )
