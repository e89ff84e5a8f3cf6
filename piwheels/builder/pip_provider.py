"""The pip that builds use: the newest one for an interpreter, unpacked from the index.

The pip of an old Python cannot build modern sdists, and a system's pip may be patched, so a
verified pip is unpacked and used without installing it. If upstream has none, other indexes
are tried, and then the pip that is installed beside piwheels is copied.
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

from piwheels import untrusted_names
from piwheels.builder.file_cache import FileCache
from piwheels.errors import RejectedError, TransientError
from piwheels.index_client.client import SimpleIndex
from piwheels.index_client.page import FileKind, IndexFile, ProjectPage
from piwheels.model import Struct
from piwheels.webroot import sync_tree
from piwheels.wheel.isolated_read import unpack_wheel

log = logging.getLogger(__name__)

_FRESH_S = 6 * 3600.0
_METADATA_HEADER_BYTES = 64 * 1024  # the fields of METADATA; the long description follows them
_REQUIRES_PYTHON = re.compile(r"^Requires-Python:(.*)$", re.IGNORECASE | re.MULTILINE)
_RUNNER_SCRIPT = Path("pip") / "__pip-runner__.py"


class Pip(Struct, frozen=True):
    """An unpacked pip."""

    folder: Path
    provenance: str  # "<sha256> <filename>", or "installed pip-<version>"

    @property
    def script(self) -> Path:
        """The script that runs this pip without installing it."""
        return self.folder / _RUNNER_SCRIPT


class PipProvider:
    """The pips of a builder, one for each version of Python."""

    def __init__(
        self,
        index: SimpleIndex,
        cache: FileCache,
        folder: Path,
        *,
        fallback_indexes: Sequence[SimpleIndex] = (),
    ) -> None:
        """Describe where pips come from.

        Args:
            index: the upstream index.
            cache: for the wheels.
            folder: where they are unpacked.
            fallback_indexes: indexes to use if upstream has no pip; after them, the pip that is
                installed beside piwheels is used.
        """
        self._index = index
        self._fallback_indexes = fallback_indexes
        self._cache = cache
        self._folder = folder
        self._selected: dict[str, tuple[float, Pip]] = {}

    async def get(self, python: str) -> Pip:
        """The newest pip for a Python.

        Args:
            python: its full version, "3.9.18".

        Raises:
            TransientError: the index cannot be reached, and no pip was selected before.
            RejectedError: no index has a pip for this Python, nor is one installed.
        """
        looked, pip = self._selected.get(python, (0.0, None))
        if pip is not None and time.monotonic() - looked < _FRESH_S and pip.script.exists():
            return pip
        try:
            pip = await self._find_newest(python)
        except TransientError:
            if pip is None or not pip.script.exists():
                raise
        self._selected[python] = (time.monotonic(), pip)
        return pip

    async def _find_newest(self, python: str) -> Pip:
        found = await self._find_in_index(self._index, python)
        if found is not None:
            return found
        for index in self._fallback_indexes:
            with contextlib.suppress(TransientError):
                found = await self._find_in_index(index, python)
            if found is not None:
                self._warn_of_fallback(python, f"{found.provenance.split()[-1]} of {index.url}")
                return found
        found = copy_installed_pip(self._folder, python)
        if found is None:
            places = " and ".join(index.url for index in (self._index, *self._fallback_indexes))
            raise RejectedError(
                f"{places} has no pip for Python {python}, and none is installed with piwheels; "
                "set builder.pip_index_url to an index that has one"
            )
        self._warn_of_fallback(python, f"the {found.provenance}")
        return found

    def _warn_of_fallback(self, python: str, used: str) -> None:
        log.warning("%s has no pip for Python %s; %s is used", self._index.url, python, used)

    async def _find_in_index(self, index: SimpleIndex, python: str) -> Pip | None:
        """The newest pip of an index for a Python; None if it has none.

        Pages may omit Requires-Python, so the wheel's own metadata decides.
        """
        try:
            page = await index.project("pip")
        except RejectedError as error:
            log.warning("%s", error)
            return None
        for file in candidate_wheels(page, python):
            pip = await self._unpack(index, file)
            if _supports_python(_requires_python(pip.folder), python):
                return pip
        return None

    async def _unpack(self, index: SimpleIndex, file: IndexFile) -> Pip:
        wheel = await self._cache.get(
            index, file.url, file.sha256, digest=file.digest, size_bytes=file.size_bytes
        )
        folder = self._folder / wheel.name
        if not (folder / _RUNNER_SCRIPT).exists():
            with _created_atomically(folder) as temporary:
                await unpack_wheel(wheel, temporary)
        return Pip(folder, f"{wheel.name} {file.filename}")


def copy_installed_pip(folder: Path, python: str) -> Pip | None:
    """Copy the pip that is installed beside piwheels; None if it does not support a Python."""
    try:
        pip = importlib.metadata.distribution("pip")
    except importlib.metadata.PackageNotFoundError:
        return None
    source = Path(str(pip.locate_file("pip")))
    if not (source.parent / _RUNNER_SCRIPT).exists() or not _supports_python(
        str(pip.metadata["Requires-Python"] or ""), python
    ):
        return None
    own = folder / f"installed-{pip.version}"
    if not (own / _RUNNER_SCRIPT).exists():
        with _created_atomically(own) as temporary:
            shutil.copytree(source, temporary / "pip", ignore=shutil.ignore_patterns("__pycache__"))
    return Pip(own, f"installed pip-{pip.version}")


def candidate_wheels(page: ProjectPage | None, python: str) -> list[IndexFile]:
    """The universal wheels of final releases that a page offers for a Python, newest first."""
    wheels = [
        file
        for file in (page.files if page else ())
        if file.kind is FileKind.WHEEL and file.version and file.yanked is None
        if file.filename.endswith("-none-any.whl")
        if not Version(file.version).is_prerelease
        and _supports_python(file.requires_python, python)
    ]
    return sorted(wheels, key=lambda file: Version(file.version), reverse=True)


def _requires_python(folder: Path) -> str:
    """Requires-Python of an unpacked pip, "" if it has none."""
    for metadata in folder.glob("pip-*.dist-info/METADATA"):
        with metadata.open("rb") as file:
            fields = (
                file.read(_METADATA_HEADER_BYTES).partition(b"\n\n")[0].decode(errors="replace")
            )
        if found := _REQUIRES_PYTHON.search(fields):
            return found[1].strip()
    return ""


def _supports_python(requires_python: str, python: str) -> bool:
    try:
        return untrusted_names.parse_specifier(requires_python).contains(python, prereleases=True)
    except RejectedError:
        return False


@contextlib.contextmanager
def _created_atomically(folder: Path) -> Iterator[Path]:
    """A temporary folder that is renamed to this one when it is complete, readable by everyone."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".unpack-"))
    try:
        yield temporary
        for place, _, files in os.walk(temporary):
            Path(place).chmod(0o755)
            for name in files:
                (Path(place) / name).chmod(0o644)
        shutil.rmtree(folder, ignore_errors=True)
        sync_tree(temporary)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
