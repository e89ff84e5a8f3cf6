"""A wheel file read as a stranger's: its facts, and whether they are what was asked for."""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from packaging.tags import Tag

from piwheels import names
from piwheels.errors import RefusedError
from piwheels.model import Job, Kind, Target, WheelFile
from piwheels.wheel import contents, manylinux
from piwheels.wheel.archive import Archive
from piwheels.wheel.contents import Program
from piwheels.wheel.elf import newest
from piwheels.wheel.tags import PackagingRules, kind_of

_MOST_WHEEL_BYTES = 64 * 1024
_MOST_METADATA_BYTES = 8 * 1024**2
_MOST_RECORD_BYTES = 32 * 1024**2
_RETAG_S = 1800.0
_LONGEST_LINE = 500

_RULES = PackagingRules()


class WheelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a sound wheel says about itself."""

    filename: str
    sha256: str
    size_bytes: int
    project: str  # normalised
    version: str  # canonical
    kind: Kind
    requires_python: str
    metadata: bytes  # METADATA as it lies in the wheel (PEP 658)
    programs: tuple[Program, ...]
    needed: tuple[str, ...]  # shared libraries that its programs want from outside, sorted
    unread: tuple[str, ...]  # members that begin like ELF and are nothing to load

    def wheel_file(self, dependencies: tuple[str, ...] = ()) -> WheelFile:
        """The wheel as the farm publishes it, with the Debian packages that it needs."""
        return WheelFile(
            filename=self.filename,
            sha256=self.sha256,
            size_bytes=self.size_bytes,
            metadata_sha256=hashlib.sha256(self.metadata).hexdigest(),
            kind=self.kind,
            requires_python=self.requires_python,
            dependencies=dependencies,
        )


def inspect(path: Path) -> WheelFacts:
    """Read a wheel and check it against itself.

    Raises:
        RefusedError: it is not a sound wheel, or not safe to unpack; says what is wrong.
        OSError: it cannot be read, or there is no room beside it for its largest program.
    """
    try:
        return _inspect(path)
    except RefusedError as error:
        raise RefusedError(_line(f"{path.name}: {error}")) from error


def check(facts: WheelFacts, job: Job, target: Target) -> None:
    """Check that a wheel is what a job asked for, and installs on the job's target.

    Raises:
        RefusedError: it is another release, or nothing for the target; says why.
    """
    reason = _wrong_release(facts, job) or _unfit(facts, target)
    if reason:
        raise RefusedError(_line(f"{facts.filename}: {reason}"))


def manylinux_platform(facts: WheelFacts, target: Target | None = None) -> str | None:
    """The manylinux platform tag (PEP 600) that a `linux_<arch>` wheel can carry.

    Returns:
        Such as `manylinux_2_34_aarch64`; None where the wheel keeps its tag, as it does where the
        target that it was made for would not accept the other.
    """
    platform = manylinux.platform(facts.kind, facts.programs, facts.needed)
    if platform is None or target is None:
        return platform
    python, abi, _ = facts.kind.tags.split("-")
    kind = Kind(tags=f"{python}-{abi}-{platform}", glibc=facts.kind.glibc)
    return platform if _RULES.covers(kind, target) else None


def with_build_number(path: Path, number: int) -> Path:
    """A copy of a sound wheel, beside it, that carries a build number (PEP 427).

    WHEEL, RECORD and the file name say the number; the same wheel gives the same bytes.

    Raises:
        RefusedError: the `wheel` tool cannot rewrite it.
        OSError: the copy cannot be written.
    """
    return _retagged(path, str(number), ("--build", str(number)), "a build number")


def with_platform(path: Path, platform: str) -> Path:
    """A copy of a sound wheel, beside it, with another platform tag (PEP 425).

    WHEEL, RECORD and the file name say it; the same wheel gives the same bytes.

    Raises:
        RefusedError: the `wheel` tool cannot rewrite it.
        OSError: the copy cannot be written.
    """
    return _retagged(path, names.wheel(path.name).build, ("--platform-tag", platform), platform)


def _retagged(path: Path, build: str, options: tuple[str, str], what: str) -> Path:
    with zipfile.ZipFile(path) as archive:
        record = next(item for item in archive.infolist() if _is_record(item.filename))
    folder = record.filename.partition(".dist-info/")[0]
    name, version, rest = path.name.split("-", 2)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".retag-") as scratch:
        # The tool wants the file's name spelled as the folder within is.
        alias = Path(scratch, f"{folder}-{rest}")
        alias.symlink_to(path.resolve())
        made = _run_wheel_tags(alias, options, what, _date(record))
        tags = made.name.rsplit("-", 3)[1:]
        return made.replace(path.with_name("-".join(filter(None, (name, version, build, *tags)))))


def _inspect(path: Path) -> WheelFacts:
    name = names.wheel(path.name)
    project, version = name.project, name.version
    with Archive.open(path) as archive:
        folder = contents.find_dist_info(archive, project, version)
        contents.check_wheel(archive.read(f"{folder}/WHEEL", _MOST_WHEEL_BYTES), name)
        metadata = archive.read(f"{folder}/METADATA", _MOST_METADATA_BYTES)
        requires_python = contents.check_metadata(metadata, project, version)
        record = archive.read(f"{folder}/RECORD", _MOST_RECORD_BYTES)
        programs, unread = contents.check_record(archive, folder, record, path.parent)
        needed = _needed(programs, archive.members)
    _check_machines(programs, name.tags)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return WheelFacts(
        filename=path.name,
        sha256=sha256,
        size_bytes=path.stat().st_size,
        project=project,
        version=str(version),
        kind=kind_of(path.name, newest(item.facts.glibc for item in programs)),
        requires_python=requires_python,
        metadata=metadata,
        programs=programs,
        needed=needed,
        unread=unread,
    )


def _check_machines(programs: Iterable[Program], tags: Iterable[Tag]) -> None:
    """Every program has to be for a machine that the file name's tags name."""
    platforms = sorted({tag.platform for tag in tags})
    for program in programs:
        if not any(program.facts.runs_on(_arch(platform)) for platform in platforms):
            raise RefusedError(
                f"{program.name} is made for {program.facts.built_for}, "
                f"and the file name says {'.'.join(platforms)}"
            )


def _arch(platform: str) -> str:
    """The machine of `linux_x86_64`, `manylinux2014_x86_64` or `manylinux_2_17_x86_64`."""
    words = platform.split("_")
    if words[0] == "manylinux":
        words = words[2:]
    return "_".join(words[1:])


def _needed(programs: Iterable[Program], members: Iterable[str]) -> tuple[str, ...]:
    shipped = {name.rpartition("/")[2] for name in members}
    wanted: set[str] = set()
    for program in programs:
        shipped.add(program.facts.soname)
        wanted.update(name.rpartition("/")[2] for name in program.facts.needed)
    return tuple(sorted(wanted - shipped - {""}))


def _wrong_release(facts: WheelFacts, job: Job) -> str:
    same = facts.project == names.project(job.project)
    if same and names.version(facts.version) == names.version(job.version):
        return ""
    return f"the job was {job.project} {job.version}"


def _unfit(facts: WheelFacts, target: Target) -> str:
    if not _RULES.covers(Kind(tags=facts.kind.tags), target):
        return f"its tags do not install on {target.name}"
    if not _RULES.covers(facts.kind, target):
        return f"it needs glibc {facts.kind.glibc}, and {target.name} has {target.glibc or 'none'}"
    if not _RULES.allows(facts.requires_python, target):
        return f"it requires Python {facts.requires_python}, and {target.name} is {target.python}"
    for program in facts.programs:
        if not program.facts.runs_on(target.arch):
            return f"{program.name} is made for {program.facts.built_for}, not for {target.arch}"
    return ""


def _line(text: str) -> str:
    """One line of bounded length that may go to a terminal, whatever the wheel put into it."""
    return "".join(char if char.isprintable() else "?" for char in text[:_LONGEST_LINE])


def _is_record(name: str) -> bool:
    folder, _, rest = name.partition("/")
    return folder.endswith(".dist-info") and rest == "RECORD"


def _date(record: zipfile.ZipInfo) -> datetime:
    """When a member says that it was written; some backends write a date of zeros."""
    try:
        return datetime(*record.date_time, tzinfo=UTC)
    except ValueError:
        return datetime(1980, 1, 1, tzinfo=UTC)


def _run_wheel_tags(path: Path, options: tuple[str, str], what: str, date: datetime) -> Path:
    """Run `wheel tags`; dates the RECORD that it writes like the one that it replaces."""
    command = [sys.executable, "-P", "-m", "wheel", "tags", *options, str(path)]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "SOURCE_DATE_EPOCH": str(int(date.timestamp()))},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_RETAG_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RefusedError(f"{path.name} took too long to get {what}") from error
    made = [found for found in path.parent.glob("*.whl") if found != path]
    if done.returncode or len(made) != 1:
        reason = done.stderr.strip().rpartition("\n")[2]
        raise RefusedError(_line(f"{path.name} cannot be given {what}: {reason}"))
    return made[0]
