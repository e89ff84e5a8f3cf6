"""A client that reads index pages all the time, and every file that they name."""

import gzip
import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from piwheels.webroot import files_beside, gz_path

_LINK = re.compile(
    rb'<a href="\.\./\.\./(?P<path>[^"#]+)#sha256=(?P<sha256>\w+)"[^>]*'
    rb'data-core-metadata="sha256=(?P<metadata>\w+)"'
)


class _Hashes(msgspec.Struct, frozen=True):
    sha256: str


class _File(msgspec.Struct, frozen=True, rename="kebab"):
    url: str
    hashes: _Hashes
    core_metadata: _Hashes


class _Page(msgspec.Struct, frozen=True):
    files: tuple[_File, ...]


class NamedFile(NamedTuple):
    """What a page says of a file: its path in the web root, and hashes."""

    path: str
    sha256: str
    metadata_sha256: str


def named_files(page: Path, content: bytes) -> list[NamedFile]:
    """The files that a page of a project names."""
    if page.suffix == ".html":
        return [NamedFile(*map(bytes.decode, link.groups())) for link in _LINK.finditer(content)]
    files = msgspec.json.decode(content, type=_Page).files
    return [
        NamedFile(it.url.removeprefix("../../"), it.hashes.sha256, it.core_metadata.sha256)
        for it in files
    ]


class PageReader:
    """Reads pages of a web root and all files that they name.

    read: gives the content of a file, or raises FileNotFoundError.
    """

    def __init__(self, root: Path, read: Callable[[Path], bytes] = Path.read_bytes) -> None:
        self.root = root
        self.pages = self.files = 0
        self._read = read
        self._known: dict[Path, str] = {}

    def faults_of_page(self, page: Path) -> list[str]:
        """What a client would complain of."""
        try:
            content = self._read(page)
        except (FileNotFoundError, NotADirectoryError):
            return []
        uncompressed = page.with_suffix("") if page.suffix == ".gz" else page
        try:
            text = gzip.decompress(content) if page.suffix == ".gz" else content
            files = named_files(uncompressed, text)
        except (OSError, EOFError, ValueError) as error:
            return [f"{page}: it cannot be read: {error}"]
        if uncompressed.suffix == ".html" and not text.endswith(b"</html>\n"):
            return [f"{page}: its end is missing"]
        self.pages += 1
        return [f"{page}: {fault}" for file in files for fault in self._faults_of_file(file)]

    def _faults_of_file(self, file: NamedFile) -> Iterator[str]:
        self.files += 1
        wheel = self.root / file.path
        metadata = files_beside(wheel)[1]
        yield from self.faults_of_content(wheel, file.sha256)
        yield from self.faults_of_content(metadata, file.metadata_sha256)

    def faults_of_content(self, path: Path, sha256: str) -> Iterator[str]:
        """Whether a file is missing, or another one."""
        found = self.sha256_of(path)
        if found != sha256:
            yield f"{path} is {f'another file: {found}' if found else 'missing'}"

    def sha256_of(self, path: Path) -> str:
        """The hash of a file; "" if it is not there."""
        if path not in self._known:
            self._known[path] = self._compute_sha256(path)
        return self._known[path]

    def _compute_sha256(self, path: Path) -> str:
        try:
            return hashlib.sha256(self._read(path)).hexdigest()
        except (FileNotFoundError, NotADirectoryError):
            return ""


class Client(threading.Thread, PageReader):
    """Reads pages until it is stopped; `faults` are pages that name what is not there.

    deletion_delay_s: for how long a file is there after a page that named it was replaced.
    """

    def __init__(self, root: Path, deletion_delay_s: float) -> None:
        threading.Thread.__init__(self, daemon=True)
        PageReader.__init__(self, root)
        self.faults: list[str] = []
        self.paused = threading.Lock()  # held while the disk is exchanged
        self._deletion_delay_s = deletion_delay_s
        self._over = threading.Event()
        self._sums: dict[Path, tuple[tuple[int, int, int], str]] = {}

    def run(self) -> None:
        """Read until `end`."""
        while not self._over.wait(0.3):
            for page in self._all_pages():
                with self.paused:
                    began = time.monotonic()
                    found = self.faults_of_page(page)
                    # After so long, its files may have been deleted, as they should be.
                    if time.monotonic() - began < self._deletion_delay_s / 2:
                        self.faults += found

    def end(self) -> None:
        """Stop reading."""
        self._over.set()
        self.join()

    def _all_pages(self) -> Iterator[Path]:
        simple = self.root / "simple"
        for folder in sorted(simple.iterdir()) if simple.is_dir() else []:
            yield from pages_of(folder)

    def sha256_of(self, path: Path) -> str:
        """The hash of a file, computed again when it changed."""
        try:
            state = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return ""
        identity = state.st_ino, state.st_size, state.st_mtime_ns
        known = self._sums.get(path)
        if known is None or known[0] != identity:
            known = self._sums[path] = identity, self._compute_sha256(path)
        return known[1]

    def forget(self) -> None:
        """Compute all hashes again."""
        self._sums.clear()


def pages_of(folder: Path) -> Iterator[Path]:
    """The pages of a project, in its folder."""
    for name in ("index.html", "index.v1_json"):
        yield folder / name
        yield gz_path(folder / name)
