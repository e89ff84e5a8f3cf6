"""Unpacks a .deb without running any of its scripts, and never outside of its folder.

Paths are resolved as in a chroot: an absolute link of a package leads into the folder, not to
this system.
"""

import errno
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from msgspec.structs import replace

from piwheels.errors import ConfigError, RejectedError
from piwheels.isolated_process import FILE_CAUSED_ERRNOS
from piwheels.model import Struct

_MAX_LINKS = 40
_MAX_CONTROL_BYTES = 1 << 20
#: System errors that the paths of a package cause; others are failures of the machine, as is the
#: size that its file system or its limits allow for a file.
_PATH_ERRNOS = (FILE_CAUSED_ERRNOS | {errno.EEXIST, errno.EISDIR, errno.ENOENT, errno.ENOTDIR}) - {
    errno.EFBIG
}
#: What no build needs: a third of a root's size.
_SKIPPED = (
    "usr/share/doc/", "usr/share/man/", "usr/share/info/", "usr/share/locale/",
    "usr/share/lintian/", "usr/share/bug/",
)  # fmt: skip


class Package(Struct, frozen=True, kw_only=True):
    """An unpacked package."""

    name: str
    version: str
    arch: str
    control: str  # its control stanza
    postinst: str  # "" without one
    files: tuple[str, ...]  # "/usr/lib/...", as they are in the package
    multi_arch_same: bool = False

    @property
    def identifier(self) -> str:
        """What says exactly which package it is."""
        return f"{self.name}={self.version}"


def unpack(deb: Path, folder: Path) -> Package:
    """Unpack a package into a folder.

    Raises:
        RejectedError: it is no package, or has a path outside of the folder.
        ConfigError: dpkg-deb is not installed.
    """
    control, postinst = _read_control(deb)
    fields = parse_stanza(control)
    try:
        package = Package(
            name=fields["Package"], version=fields["Version"], arch=fields["Architecture"],
            control=control, postinst=postinst, files=(),
            multi_arch_same=fields.get("Multi-Arch") == "same",
        )  # fmt: skip
    except KeyError as error:
        raise RejectedError(f"{deb.name} has no {error.args[0]} in its control file") from None
    with _tar_stream(deb, "--fsys-tarfile") as tar:
        files = tuple(_Extraction(deb.name, folder).run(tar))
    return replace(package, files=files)


def parse_stanza(text: str) -> dict[str, str]:
    """The fields of a control stanza (deb-control(5)); continued lines are left out."""
    pairs = (line.partition(":") for line in text.splitlines() if not line.startswith((" ", "\t")))
    return {name: value.strip() for name, separator, value in pairs if separator}


def _read_control(deb: Path) -> tuple[str, str]:
    texts = {"control": "", "postinst": ""}
    with _tar_stream(deb, "--ctrl-tarfile") as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if name in texts and member.isfile() and member.size <= _MAX_CONTROL_BYTES:
                file = tar.extractfile(member)
                texts[name] = file.read().decode(errors="replace") if file else ""
    return texts["control"].strip() + "\n", texts["postinst"]


@contextmanager
def _tar_stream(deb: Path, option: str) -> Iterator[tarfile.TarFile]:
    try:
        process = subprocess.Popen(
            ["dpkg-deb", option, deb],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    except FileNotFoundError:
        raise ConfigError(
            "roots are made with dpkg-deb, which this system does not have: name a root that was "
            "made elsewhere by its folder ([root.NAME] folder)"
        ) from None
    with process:
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
                yield tar
            if process.stdout:
                shutil.copyfileobj(process.stdout, _Nowhere())
        except (tarfile.TarError, ValueError, EOFError):
            process.kill()
            text = process.stderr.read().decode(errors="replace") if process.stderr else ""
            reason = text.strip().rpartition("\n")[2] or "it is damaged"
            raise RejectedError(f"{deb.name} cannot be unpacked: {reason}") from None
        except OSError as error:
            process.kill()
            if error.errno not in _PATH_ERRNOS:
                raise
            raise RejectedError(f"{deb.name} cannot be unpacked: {error.strerror}") from None
        except BaseException:
            process.kill()
            raise


class _Nowhere:
    """Takes what follows the end of a tar stream."""

    def write(self, data: bytes) -> int:
        return len(data)


class _Extraction:
    """The extraction of one package's files."""

    def __init__(self, deb: str, folder: Path) -> None:
        self._deb = deb
        self._folder = folder.resolve()
        self._resolved: dict[PurePosixPath, Path] = {}

    def run(self, tar: tarfile.TarFile) -> Iterator[str]:
        """Extract every member; the paths of files and links, as the package names them."""
        for member in tar:
            path = self._checked(member.name)
            if path is None or f"{path}/".startswith(_SKIPPED):
                continue
            self._extract(tar, member, path)
            if not member.isdir():
                yield f"/{path}"

    def _checked(self, name: str) -> PurePosixPath | None:
        """A member's path, relative to the folder; None for the folder itself."""
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\0" in name:
            raise RejectedError(f"{self._deb} has the path {name!r}, which is outside of a root")
        return path if path.parts else None

    def _extract(self, tar: tarfile.TarFile, member: tarfile.TarInfo, path: PurePosixPath) -> None:
        parent = self._parent(path)
        target = parent / path.name
        if member.isdir():
            self._make_dir(target, path)
            return
        if target.is_symlink() or target.is_file():
            target.unlink()
        elif target.is_dir():
            raise RejectedError(f"{self._deb} has a file in place of the folder {path}")
        if member.issym():
            target.symlink_to(member.linkname)
            self._resolved.clear()
        elif member.islnk():
            source = self._checked(member.linkname)
            if source is None:
                raise RejectedError(f"{self._deb} has a hard link to its own folder")
            place = self._parent(source) / source.name
            if not place.is_file() or place.is_symlink():
                raise RejectedError(f"{self._deb} has a hard link to {source}, which is no file")
            target.hardlink_to(place)
        elif member.isfile():
            self._write(tar.extractfile(member), target, member.mode)
        # Devices and pipes, which no build needs, are left out.

    def _make_dir(self, target: Path, path: PurePosixPath) -> None:
        if target.is_symlink():  # the folder is where the link leads, as /lib is usr/lib
            self._parent(path / "x")
        elif not target.is_dir():
            target.mkdir()

    @staticmethod
    def _write(content: IO[bytes] | None, target: Path, mode: int) -> None:
        # Readable by every account, as root's builds run as another one; never set-uid.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(target, flags, 0o600), "wb") as file:
            if content is not None:
                shutil.copyfileobj(content, file, 1 << 20)
            os.fchmod(file.fileno(), 0o644 | (0o111 if mode & 0o111 else 0))

    def _parent(self, path: PurePosixPath) -> Path:
        """The real folder of a path, which is created; links lead to where they do in a chroot."""
        parent = path.parent
        if parent not in self._resolved:
            self._resolved[parent] = self._resolve(parent)
        return self._resolved[parent]

    def _resolve(self, path: PurePosixPath) -> Path:
        waiting, at, links = list(reversed(path.parts)), self._folder, 0
        while waiting:
            part = waiting.pop()
            if part == "..":
                at = at.parent if at != self._folder else at
                continue
            step = at / part
            if step.is_symlink():
                links += 1
                if links > _MAX_LINKS:
                    raise RejectedError(f"{self._deb} has a path with too many links: {path}")
                to = PurePosixPath(step.readlink())
                at = self._folder if to.is_absolute() else at
                waiting += [word for word in reversed(to.parts) if word != "/"]
            else:
                if not step.is_dir():
                    step.mkdir()
                at = step
        return at
