"""The pip that builds use: the newest that an interpreter supports, unpacked from the index.

The pip that comes with an old Python cannot build modern sdists, and a system's pip may be
patched; so the farm brings its own, verified, and never installs it anywhere. Where the upstream
has none, another index is asked, and then the pip that is installed beside piwheels is copied.
"""

import contextlib
import importlib.metadata
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from packaging.version import Version

from piwheels import names
from piwheels.builder.cache import FileCache
from piwheels.errors import RefusedError, TransientError
from piwheels.model import Struct
from piwheels.simpleapi import FileKind, IndexFile, ProjectPage, SimpleIndex
from piwheels.wheel.reading import unpack_wheel

log = logging.getLogger(__name__)

_FRESH_S = 6 * 3600.0
_FIELDS_BYTES = 64 * 1024  # of METADATA; its long description follows them
_REQUIRES_PYTHON = re.compile(r"^Requires-Python:(.*)$", re.IGNORECASE | re.MULTILINE)
_RUNNER = Path("pip") / "__pip-runner__.py"


class Pip(Struct, frozen=True):
    """An unpacked pip."""

    folder: Path
    name: str  # "<sha256> <filename>", or what else tells where it comes from

    @property
    def runner(self) -> Path:
        """The script that runs it without installing it."""
        return self.folder / _RUNNER


class Pips:
    """The pips of a builder, by the Python that they are for."""

    def __init__(
        self,
        index: SimpleIndex,
        cache: FileCache,
        folder: Path,
        *,
        others: Sequence[SimpleIndex] = (),
    ) -> None:
        """Describe where pips come from.

        Args:
            index: the upstream.
            cache: for their wheels.
            folder: they are unpacked here.
            others: indexes to look at where the upstream has no pip; after them, the pip that is
                installed beside piwheels is taken.
        """
        self._index = index
        self._others = others
        self._cache = cache
        self._folder = folder
        self._chosen: dict[str, tuple[float, Pip]] = {}

    async def get(self, python: str) -> Pip:
        """The newest pip for a Python.

        Args:
            python: its full version, "3.9.18".

        Raises:
            TransientError: the index cannot be reached, and there is no earlier choice.
            RefusedError: no index has a pip for this Python, nor is one installed.
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
        found = await self._of_index(self._index, python)
        if found is not None:
            return found
        for index in self._others:
            with contextlib.suppress(TransientError):
                found = await self._of_index(index, python)
            if found is not None:
                self._say(python, f"{found.name.split()[-1]} of {index.url}")
                return found
        found = installed_pip(self._folder, python)
        if found is None:
            places = " and ".join(index.url for index in (self._index, *self._others))
            raise RefusedError(
                f"{places} has no pip for Python {python}, nor is a fitting one installed beside "
                "piwheels; set builder.pip_index to an index that has one"
            )
        self._say(python, f"the {found.name}")
        return found

    def _say(self, python: str, used: str) -> None:
        log.warning("%s has no pip for Python %s; %s is used", self._index.url, python, used)

    async def _of_index(self, index: SimpleIndex, python: str) -> Pip | None:
        """The newest that an index has; None if it has none that fits.

        A page does not have to say which Pythons a file supports; the wheel itself does.
        """
        try:
            page = await index.project("pip")
        except RefusedError as error:
            log.warning("%s", error)
            return None
        for file in candidates(page, python):
            pip = await self._unpacked(index, file)
            if _supports(_requires_python(pip.folder), python):
                return pip
        return None

    async def _unpacked(self, index: SimpleIndex, file: IndexFile) -> Pip:
        wheel = await self._cache.get(
            index, file.url, file.sha256, digest=file.digest, size_bytes=file.size_bytes
        )
        folder = self._folder / wheel.name
        if not (folder / _RUNNER).exists():
            with _appearing(folder) as temporary:
                await unpack_wheel(wheel, temporary)
        return Pip(folder, f"{wheel.name} {file.filename}")


def installed_pip(folder: Path, python: str) -> Pip | None:
    """A copy of the pip that is installed beside piwheels, in a folder of its own, if it fits."""
    try:
        pip = importlib.metadata.distribution("pip")
    except importlib.metadata.PackageNotFoundError:
        return None
    source = Path(str(pip.locate_file("pip")))
    if not (source.parent / _RUNNER).exists() or not _supports(
        str(pip.metadata["Requires-Python"] or ""), python
    ):
        return None
    own = folder / f"installed-{pip.version}"
    if not (own / _RUNNER).exists():
        with _appearing(own) as temporary:
            shutil.copytree(source, temporary / "pip", ignore=shutil.ignore_patterns("__pycache__"))
    return Pip(own, f"installed pip-{pip.version}")


def candidates(page: ProjectPage | None, python: str) -> list[IndexFile]:
    """The final wheels of a page that it does not exclude for a Python, the newest first."""
    wheels = [
        file
        for file in (page.files if page else ())
        if file.kind is FileKind.WHEEL and file.version and file.yanked is None
        if file.filename.endswith("-none-any.whl")
        if not Version(file.version).is_prerelease and _supports(file.requires_python, python)
    ]
    return sorted(wheels, key=lambda file: Version(file.version), reverse=True)


def _requires_python(folder: Path) -> str:
    """Requires-Python of an unpacked pip, "" if it does not say."""
    for metadata in folder.glob("pip-*.dist-info/METADATA"):
        with metadata.open("rb") as file:
            fields = file.read(_FIELDS_BYTES).partition(b"\n\n")[0].decode(errors="replace")
        if found := _REQUIRES_PYTHON.search(fields):
            return found[1].strip()
    return ""


def _supports(requires_python: str, python: str) -> bool:
    try:
        return names.specifier(requires_python).contains(python, prereleases=True)
    except RefusedError:
        return False


@contextlib.contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes this one when it is filled, readable by everybody."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".unpack-"))
    try:
        yield temporary
        for place, _, files in os.walk(temporary):
            Path(place).chmod(0o755)
            for name in files:
                (Path(place) / name).chmod(0o644)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
