"""Directories that are costly to fill: made once for a run, or kept between runs."""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest

_MAX_AGE_S = 7 * 86400.0


def session_cache(
    factory: pytest.TempPathFactory, name: str, create: Callable[[Path], object]
) -> Path:
    """A directory of this run, filled by the first process that needs it."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    return _filled(base, name, create)


def persistent_cache(name: str, key: object, create: Callable[[Path], object]) -> Path:
    """A directory that is kept between runs, for a week, for what is downloaded.

    Args:
        name: what it holds.
        key: everything that the content depends on.
        create: fills the empty directory.
    """
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:12]
    base = platformdirs.user_cache_path("piwheels-tests", ensure_exists=True)
    return _filled(base, f"{name}-{digest}", create, max_age_s=_MAX_AGE_S)


def _filled(
    base: Path, name: str, create: Callable[[Path], object], *, max_age_s: float = float("inf")
) -> Path:
    folder, done = base / name, base / f"{name}.done"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists() or time.time() - done.stat().st_mtime > max_age_s:
            done.unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)  # of an attempt that failed
            folder.mkdir()
            create(folder)
            done.touch()
    return folder
