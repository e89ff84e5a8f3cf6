"""The pip that builds use: the newest that an interpreter supports, unpacked from the index.

The pip that comes with an old Python cannot build modern sdists, and a system's pip may be
patched; so the farm brings its own, verified by sha256, and never installs it anywhere.
"""

import os
import shutil
import tempfile
import time
import zipfile
from pathlib import Path

from packaging.version import Version

from piwheels import names
from piwheels.builder.cache import FileCache
from piwheels.errors import RefusedError, TransientError
from piwheels.model import Struct
from piwheels.simpleapi import FileKind, IndexFile, ProjectPage, SimpleIndex

_FRESH_S = 6 * 3600.0
_RUNNER = Path("pip") / "__pip-runner__.py"


class Pip(Struct, frozen=True):
    """An unpacked pip."""

    folder: Path
    file: IndexFile

    @property
    def runner(self) -> Path:
        """The script that runs it without installing it."""
        return self.folder / _RUNNER


class Pips:
    """The pips of a builder, by the Python that they are for."""

    def __init__(self, index: SimpleIndex, cache: FileCache, folder: Path) -> None:
        self._index = index
        self._cache = cache
        self._folder = folder
        self._chosen: dict[str, tuple[float, Pip]] = {}

    async def get(self, python: str) -> Pip:
        """The newest pip for a Python.

        Args:
            python: its full version, "3.9.18".

        Raises:
            TransientError: the index cannot be reached, and there is no earlier choice.
            RefusedError: the index has no pip for this Python.
        """
        looked, pip = self._chosen.get(python, (0.0, None))
        if pip is not None and time.monotonic() - looked < _FRESH_S and pip.runner.exists():
            return pip
        try:
            pip = await self._newest(python)
        except TransientError:
            if pip is None or not pip.runner.exists():
                raise
        self._chosen[python] = (time.monotonic(), pip)
        return pip

    async def _newest(self, python: str) -> Pip:
        file = choose(await self._index.project("pip"), python)
        if file is None:
            raise RefusedError(f"{self._index.url} has no pip for Python {python}")
        folder = self._folder / file.sha256
        if not (folder / _RUNNER).exists():
            _unpack(await self._cache.get(self._index, file.url, file.sha256), folder)
        return Pip(folder, file)


def choose(page: ProjectPage | None, python: str) -> IndexFile | None:
    """The newest final wheel of a page that a Python supports (PEP 440, Requires-Python)."""
    wheels = [
        file
        for file in (page.files if page else ())
        if file.kind is FileKind.WHEEL and file.version and file.sha256 and file.yanked is None
        if file.filename.endswith("-none-any.whl")
        if not Version(file.version).is_prerelease and _supports(file.requires_python, python)
    ]
    return max(wheels, key=lambda file: Version(file.version), default=None)


def _supports(requires_python: str, python: str) -> bool:
    try:
        return names.specifier(requires_python).contains(python, prereleases=True)
    except RefusedError:
        return False


def _unpack(wheel: Path, folder: Path) -> None:
    """Unpack a wheel to a folder that appears whole, readable by everybody."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".unpack-"))
    try:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(temporary)
        for place, _, files in os.walk(temporary):
            Path(place).chmod(0o755)
            for name in files:
                (Path(place) / name).chmod(0o644)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except zipfile.BadZipFile as error:
        raise RefusedError(f"the index's {wheel.name} is not a wheel: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
