"""apt with a private state: it resolves and downloads packages, and installs nothing.

Nothing of this machine's own apt configuration applies: neither its sources nor its hooks, pins
and proxies.
"""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from piwheels.config import Archive
from piwheels.errors import ConfigError, TransientError
from piwheels.model import Struct

#: Called with a fraction between 0 and 1 while packages are downloaded.
OnFraction = Callable[[float], None]

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_TIMEOUT_S = 3600.0
_UPDATE_ATTEMPTS = 3
_RETRY_DELAY_S = 5.0
#: Newer versions of a release's packages; a root is complete without them.
_OPTIONAL_POCKETS = ("-updates", "-security")
_FAILED_SUITE = re.compile(r"/dists/([^/]+)/")
_EMPTY_CACHE = "no-archives"  # in apt's state
_UPDATED = "updated"  # there too: when the package lists were downloaded
_LISTS_MAX_AGE_S = 3600.0
_URI_LINE = re.compile(r"'(?P<url>[^']+)' (?P<file>\S+) (?P<size>[0-9]{1,18})")
_DATE = re.compile(r"^Date: (.+)$", re.MULTILINE)
_STATUS_LINE = re.compile(rb"dlstatus:\d+:(\d{1,3}(?:\.\d*)?):")
#: Texts of apt that say that an archive was read while it was changing.
_OUT_OF_STEP = ("unexpected size", "Hash Sum mismatch", "Mirror sync in progress", "404  Not Found")
_OPTIONS = """\
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "{state}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "/dev/null";
Dir::State "{state}";
Dir::State::status "{status}";
Dir::State::lists "{state}/lists";
Dir::Cache "{state}/cache";
Dir::Cache::archives "{archives}";
Dir::Log "{state}";
APT::Architecture "{arch}";
APT::Architectures "{arch}";
APT::Install-Recommends "false";
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "60";
Acquire::https::Timeout "60";
Binary::apt-get::Acquire::AllowInsecureRepositories "false";
pkgCacheGen::ForceEssential ",";
"""


class PackageFile(Struct, frozen=True, kw_only=True):
    """A package that apt downloads."""

    filename: str  # in the archive cache
    size_bytes: int


class Apt:
    """apt for the archives and the architecture of one root."""

    def __init__(
        self, state: Path, *, archive_cache: Path, archives: Sequence[Archive], arch: str
    ) -> None:
        """Describe it.

        Args:
            state: its folder: package lists and settings.
            archive_cache: the folder of downloaded packages, which roots and layers share.
            archives: where packages come from.
            arch: Debian's name of the architecture.
        """
        self._state = state
        self._archive_cache = archive_cache
        self._archives = archives
        self._arch = arch
        self._left_out: set[str] = set()

    @property
    def left_out(self) -> tuple[str, ...]:
        """The pockets of newer versions that were out of step at the last update."""
        return tuple(sorted(self._left_out))

    def update(self, on_fraction: OnFraction | None = None) -> None:
        """Download the package lists; the former ones are kept when this fails.

        A pocket of newer versions that is out of step is left out.

        Raises:
            ConfigError: apt or a keyring is missing, or an archive cannot be used.
            TransientError: an archive cannot be reached, or is being changed.
        """
        self._left_out.clear()
        attempt = 1
        while True:
            try:
                self._run(["update", "-q"], on_fraction)
            except TransientError as error:
                found = _FAILED_SUITE.search(str(error))
                if attempt < _UPDATE_ATTEMPTS:
                    time.sleep(_RETRY_DELAY_S)
                elif found and found[1].endswith(_OPTIONAL_POCKETS):
                    self._left_out.add(found[1])
                    attempt = 1
                else:
                    raise
                attempt += 1
            else:
                (self._state / _UPDATED).touch()
                return

    def refresh(self) -> bool:
        """Download the package lists if they are missing or old; whether that was done.

        An archive deletes a package when it has a newer version, and old lists name the old one.

        Raises:
            PiwheelsError: as `update`.
        """
        with contextlib.suppress(FileNotFoundError):
            if time.time() - (self._state / _UPDATED).stat().st_mtime < _LISTS_MAX_AGE_S:
                return False
        self.update()
        return True

    def dates(self) -> tuple[str, ...]:
        """The date of each archive's suite, as its Release file has it: "trixie Sat, 15 ..."."""
        found = []
        for file in sorted((self._state / "lists").glob("*_InRelease")):
            date = _DATE.search(file.read_text(encoding="utf-8", errors="replace"))
            suite = file.name.removesuffix("_InRelease").rpartition("_dists_")[2]
            if suite in self._left_out:
                continue
            found.append(f"{suite} {date[1] if date else 'undated'}")
        found += [f"{suite} left out: it was being changed" for suite in self.left_out]
        return tuple(found)

    def resolve(
        self, packages: Sequence[str], status: Path | None = None
    ) -> tuple[PackageFile, ...]:
        """The packages that an installation of these needs, with their dependencies.

        Args:
            packages: names or patterns of apt.
            status: what is installed already, as dpkg's status file; None is nothing.

        Raises:
            ConfigError: a package is unknown, or cannot be installed.
        """
        output = self._run_dry(["install", "--print-uris", "-qq", "-y", *packages], status)
        return _package_files(output)

    def download(
        self, packages: Sequence[str], on_fraction: OnFraction, status: Path | None = None
    ) -> None:
        """Download what `resolve` returns into the archive cache; what is there is kept."""
        self._run(["install", "--download-only", "-qq", "-y", *packages], on_fraction, status)

    def download_single(self, package: str) -> Path:
        """Download one package without its dependencies; returns the file."""
        found = _package_files(self._run_dry(["download", "--print-uris", "-qq", package]))
        if len(found) != 1:
            raise ConfigError(f"the archives have no package {package} for {self._arch}")
        self._run(["download", "-qq", package])
        return self._archive_cache / found[0].filename

    def _prepare(self) -> None:
        if shutil.which("apt-get", path=_PATH) is None:
            raise ConfigError(
                "roots are made with apt, which this system does not have: name a root that was "
                "made elsewhere by its folder ([root.NAME] folder), or use Debian, Ubuntu or "
                "Raspberry Pi OS"
            )
        for folder in ("lists/partial", f"{_EMPTY_CACHE}/partial"):
            (self._state / folder).mkdir(parents=True, exist_ok=True)
        (self._archive_cache / "partial").mkdir(parents=True, exist_ok=True)
        (self._state / "none").touch()
        lines = []
        for archive in self._archives:
            if not os.access(archive.keyring, os.R_OK):
                raise ConfigError(_missing_keyring(archive))
            option = f"[signed-by={archive.keyring.absolute()}]"
            components = " ".join(archive.components)
            lines += [
                f"deb {option} {archive.url} {suite} {components}\n"
                for suite in archive.suites
                if suite not in self._left_out
            ]
        (self._state / "sources.list").write_text("".join(lines), encoding="utf-8")

    def _run_dry(self, words: Sequence[str], status: Path | None = None) -> str:
        """Run apt without a cache: it prints nothing about packages that it finds there."""
        return self._run(words, None, status, cache=self._state / _EMPTY_CACHE)

    def _run(
        self,
        words: Sequence[str],
        on_fraction: OnFraction | None = None,
        status: Path | None = None,
        *,
        cache: Path | None = None,
    ) -> str:
        self._prepare()
        cache = cache or self._archive_cache
        options = _OPTIONS.format(
            state=self._state,
            status=status or self._state / "none",
            archives=cache,
            arch=self._arch,
        )
        with _locked(self._archive_cache) as lock, tempfile.NamedTemporaryFile("w") as file:
            file.write(options)
            file.flush()
            code, output, errors = _run_apt(words, file.name, cache, on_fraction, lock)
        if code:
            raise _error(errors)
        return output


def _run_apt(
    words: Sequence[str], options: str, cwd: Path, on_fraction: OnFraction | None, lock: int
) -> tuple[int, str, str]:
    """The status, output and errors of apt-get, while its progress is reported.

    It inherits the lock: if this process is killed, the next one waits until apt has ended too.
    """
    reading, writing = os.pipe()
    with (
        os.fdopen(reading, "rb") as progress,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        try:
            process = subprocess.Popen(
                ["apt-get", "-o", f"APT::Status-Fd={writing}", *words],
                env={"PATH": _PATH, "LC_ALL": "C.UTF-8", "APT_CONFIG": options},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                pass_fds=(writing, lock),
            )
        finally:
            os.close(writing)
        try:
            _follow(progress, on_fraction)
            process.wait(timeout=_TIMEOUT_S)
        except BaseException:
            process.kill()
            process.wait()
            raise
        texts = [_read_all(file).decode(errors="replace") for file in (out, err)]
    return process.returncode, texts[0], texts[1]


def _follow(progress: IO[bytes], on_fraction: OnFraction | None) -> None:
    """Report apt's progress until it closes its status descriptor."""
    for line in progress:
        if on_fraction and (found := _STATUS_LINE.match(line)):
            on_fraction(min(float(found[1]) / 100, 1.0))


def _read_all(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """One apt at a time in an archive cache; apt itself would fail instead of waiting."""
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _package_files(output: str) -> tuple[PackageFile, ...]:
    found = filter(None, map(_URI_LINE.match, output.splitlines()))
    return tuple(PackageFile(filename=line["file"], size_bytes=int(line["size"])) for line in found)


def _missing_keyring(archive: Archive) -> str:
    package = archive.keyring.name.removesuffix(".gpg").removesuffix(".pgp")
    return (
        f"the keyring of {archive.url}, {archive.keyring}, cannot be read: install the package "
        f"{package}, or name another file ([root.NAME] archives, keyring)"
    )


def _error(errors: str) -> ConfigError | TransientError:
    lines = [line.partition(": ")[2] for line in errors.splitlines() if line[:3] in {"E: ", "W: "}]
    text = " ".join((lines[0] if lines else errors.strip() or "it ended without a reason").split())
    if any(sign in errors for sign in _OUT_OF_STEP):
        return TransientError(f"apt: {text}: the archive is changing; try again later")
    if "Unable to locate package" in errors or "no installation candidate" in errors:
        return ConfigError(f"apt: {text}: the root's archives do not have it")
    if "Unable to correct problems" in errors or "unmet dependencies" in errors:
        return ConfigError(f"apt: {text}")
    if "Failed to fetch" in errors or "Could not resolve" in errors:
        return TransientError(f"apt: {text}")
    return ConfigError(f"apt: {text}")
