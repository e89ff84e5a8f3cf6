"""The Debian packages with the shared libraries that a wheel needs."""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from piwheels.roots.library_packages import base_system

_QUERY_TIMEOUT_S = 60.0
_DPKG_STATUS = Path("/var/lib/dpkg/status")
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"

_LIBRARY_NAME = re.compile(r"[A-Za-z0-9_.+-]{1,128}")
_MAX_LIBRARIES = 1000  # their paths are arguments of one command
_LDCONFIG_LINE = re.compile(r"\s+(?P<name>\S+) \(.*\) => (?P<path>/\S+)")
_LIBPYTHON = re.compile(r"libpython[23]\.\d+.*")

#: The folders that Debian's loader searches, for systems without ldconfig.
_FOLDERS = ("lib", "usr/lib", "usr/local/lib")


def needed_packages(libraries: Iterable[str]) -> tuple[str, ...]:
    """The installed packages that own these shared libraries, sorted.

    Packages that every system has are left out: essential, required and important ones, all their
    dependencies, the C and C++ runtime, and the interpreter's own library. Empty on systems
    without dpkg; a library that no package owns is ignored.
    """
    named = {name for name in libraries if _LIBRARY_NAME.fullmatch(name)}
    wanted = set(sorted(named)[:_MAX_LIBRARIES])
    if not wanted or shutil.which("dpkg-query", path=_SBIN) is None:
        return ()
    owners = _owning_packages(_library_paths(wanted))
    if owners:
        owners -= _base_system()
    return tuple(sorted(name for name in owners if not _LIBPYTHON.fullmatch(name)))


def installed_packages() -> tuple[str, ...]:
    """The names of all packages of this machine, sorted; empty on systems without dpkg."""
    query = shutil.which("dpkg-query", path=_SBIN)
    if query is None:
        return ()
    lines = _output_lines(query, "--show", r"--showformat=${db:Status-Status} ${Package}\n")
    states = (line.split(" ", 1) for line in lines)
    return tuple(sorted({name for state, name in states if state == "installed"}))


def packages_changed_at() -> float:
    """When a package was last installed or removed, by the system's clock; 0 without dpkg."""
    try:
        return _DPKG_STATUS.stat().st_mtime
    except OSError:
        return 0.0


def _library_paths(names: set[str]) -> set[str]:
    """Every path under which dpkg may list a library: /lib is a link to /usr/lib today."""
    found: set[str] = set()
    for path in (*_paths_from_ldconfig(names), *_paths_in_library_dirs(names)):
        for place in (path, str(Path(path).resolve())):
            bare = place.removeprefix("/usr")
            found.update((place, bare, f"/usr{bare}"))
    return found


def _paths_from_ldconfig(names: set[str]) -> Iterator[str]:
    ldconfig = shutil.which("ldconfig", path=_SBIN)
    for line in _output_lines(ldconfig, "-p") if ldconfig else ():
        entry = _LDCONFIG_LINE.fullmatch(line)
        if entry and entry["name"] in names:
            yield entry["path"]


def _paths_in_library_dirs(names: set[str]) -> Iterator[str]:
    if shutil.which("ldconfig", path=_SBIN):
        return
    for folder in _FOLDERS:
        for pattern in (folder, f"{folder}/*-linux-*"):
            for place in Path("/").glob(pattern):
                yield from (str(place / name) for name in names if (place / name).exists())


def _owning_packages(paths: set[str]) -> set[str]:
    """The packages that own these paths.

    The lines to parse are `libssl3:amd64, other: /usr/lib/...`, and some describe diversions.
    """
    owners: set[str] = set()
    for line in _output_lines("dpkg-query", "--search", *sorted(paths)):
        packages, separator, _ = line.partition(": /")
        if separator and not line.startswith("diversion by "):
            owners.update(item.partition(":")[0] for item in packages.split(", "))
    return owners


def _base_system() -> set[str]:
    form = r"${Package}\t${Essential}\t${Priority}\t${Pre-Depends}, ${Depends}\n"
    names = ("Essential", "Priority", "Depends")
    lines = _output_lines("dpkg-query", "--show", f"--showformat={form}")
    rows = (line.split("\t", 3) for line in lines)
    return base_system({name: dict(zip(names, fields, strict=True)) for name, *fields in rows})


def _output_lines(*command: str) -> list[str]:
    """The lines that a command prints; its status is ignored, as one missing file sets it."""
    try:
        done = subprocess.run(
            command,
            env={"PATH": _SBIN, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_QUERY_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines()
