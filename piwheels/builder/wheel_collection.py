"""The wheel that a build made, copied to where no build can write."""

import itertools
import os
import shutil
import stat
from pathlib import Path

from piwheels import untrusted_names
from piwheels.builder.build_errors import BuildFailedError
from piwheels.errors import RejectedError
from piwheels.model import FailureClass, Outcome

_MAX_ENTRIES = 10_000


def collect_wheel(scratch_dir: Path, wheels_dir: Path, project: str) -> Path:
    """Copy the only wheel of a project from a build's `wheels` folder; returns the copy.

    Raises:
        BuildFailedError: there is none, or more than one, or it is not a regular file.
    """
    source = os.open(scratch_dir, os.O_PATH | os.O_DIRECTORY)
    try:
        folder = _open_build_output("wheels", source, os.O_DIRECTORY)
        try:
            name = _select_wheel(_list_output_dir(folder), project)
            target = wheels_dir / name
            target.parent.mkdir(exist_ok=True)
            _copy_regular_file(name, folder, target)
        finally:
            os.close(folder)
    finally:
        os.close(source)
    return target


def _select_wheel(found: list[str], project: str) -> str:
    wheels = [name for name in found if _project_of(name) == project]
    if len(wheels) == 1:
        return wheels[0]
    failure_class = FailureClass.SEVERAL_WHEELS if wheels else FailureClass.NO_WHEEL
    problem = "more than one wheel: " + ", ".join(sorted(wheels)) if wheels else "no wheel of it"
    raise BuildFailedError(Outcome.FAILED, f"pip succeeded, and made {problem}", failure_class)


def _project_of(filename: str) -> str:
    try:
        return untrusted_names.parse_wheel_filename(filename).project
    except RejectedError:
        return ""


def _list_output_dir(folder: int) -> list[str]:
    """The names in a folder that a build wrote.

    Raises:
        BuildFailedError: it has far more entries than a wheel and its dependencies.
    """
    with os.scandir(folder) as entries:
        found = [entry.name for entry in itertools.islice(entries, _MAX_ENTRIES + 1)]
    if len(found) > _MAX_ENTRIES:
        raise BuildFailedError(Outcome.FAILED, f"the build left more than {_MAX_ENTRIES} files")
    return found


def _open_build_output(name: str, folder: int, flags: int = 0) -> int:
    """Open a file or folder that a build wrote, without following links."""
    try:
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | flags, dir_fd=folder)
    except OSError as error:
        raise BuildFailedError(Outcome.FAILED, f"the build's {name} is unusable: {error}") from None


def _copy_regular_file(name: str, folder: int, target: Path) -> None:
    descriptor = _open_build_output(name, folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BuildFailedError(Outcome.FAILED, f"the build's {name} is not a regular file")
    with os.fdopen(descriptor, "rb") as file, target.open("wb") as copy:
        shutil.copyfileobj(file, copy, 1 << 20)
