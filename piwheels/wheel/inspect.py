"""Inspection of untrusted wheel files, and retagging of those that passed it."""

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

from piwheels import untrusted_names
from piwheels.errors import RejectedError
from piwheels.model import Job, ProjectMetadata, Target, WheelCompatibility
from piwheels.wheel import manylinux, validate
from piwheels.wheel.elf import highest_version
from piwheels.wheel.project_metadata import project_metadata
from piwheels.wheel.tags import PackagingRules, compatibility_of
from piwheels.wheel.validate import ElfMember
from piwheels.wheel.zip_reader import Archive

_MAX_WHEEL_FILE_BYTES = 64 * 1024
_MAX_METADATA_BYTES = 8 * 1024**2
_MAX_RECORD_BYTES = 32 * 1024**2
_RETAG_TIMEOUT_S = 1800.0
_MAX_LINE_CHARS = 500

_RULES = PackagingRules()


class WheelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The properties of a valid wheel, as the process that may read it reports them."""

    filename: str
    sha256: str
    size_bytes: int
    project: str  # normalized
    version: str  # canonical
    compatibility: WheelCompatibility
    requires_python: str
    metadata: bytes  # the METADATA file (PEP 658)
    about: ProjectMetadata = ProjectMetadata()  # what people read of it
    elf_members: tuple[ElfMember, ...]
    needed_libraries: tuple[str, ...]  # shared libraries that are not in the wheel, sorted
    unreadable_elf: tuple[str, ...]  # members that begin like ELF but cannot be loaded

    @property
    def metadata_sha256(self) -> str:
        """The hash of the METADATA file."""
        return hashlib.sha256(self.metadata).hexdigest()


def inspect_wheel(path: Path) -> WheelInfo:
    """Read a wheel and check that it is consistent.

    Raises:
        RejectedError: it is not a valid wheel, or not safe to unpack.
        OSError: it cannot be read, or its folder has no space for its largest ELF file.
    """
    try:
        return _inspect(path)
    except RejectedError as error:
        raise RejectedError(_printable_line(f"{path.name}: {error}")) from error


def read_metadata(path: Path) -> bytes:
    """The METADATA file of a wheel; nothing else of it is checked.

    Raises:
        RejectedError: it is not a valid wheel.
        OSError: it cannot be read.
    """
    name = untrusted_names.parse_wheel_filename(path.name)
    with Archive.open(path) as archive:
        folder = validate.find_dist_info(archive, name.project, name.version)
        return archive.read(f"{folder}/METADATA", _MAX_METADATA_BYTES)


def check_matches_job(info: WheelInfo, job: Job, target: Target) -> None:
    """Check that a wheel is of the job's release, and installs on the job's target.

    Raises:
        RejectedError: it is of another release, or does not install on the target.
    """
    reason = _wrong_release_reason(info, job) or _incompatible_reason(info, target)
    if reason:
        raise RejectedError(_printable_line(f"{info.filename}: {reason}"))


def manylinux_platform(info: WheelInfo, target: Target | None = None) -> str | None:
    """The manylinux platform tag (PEP 600) that a `linux_<arch>` wheel can carry.

    Returns:
        For example `manylinux_2_34_aarch64`; None if the wheel has to keep its tag, also because
        the target that it was built for would not accept the other one.
    """
    platform = manylinux.manylinux_tag(info.compatibility, info.elf_members, info.needed_libraries)
    if platform is None or target is None:
        return platform
    python, abi, _ = info.compatibility.tags.split("-")
    kind = WheelCompatibility(tags=f"{python}-{abi}-{platform}", glibc=info.compatibility.glibc)
    return platform if _RULES.is_loadable(kind, target) else None


def add_build_number(path: Path, number: int) -> Path:
    """Copy a valid wheel, in the same folder, with a build number (PEP 427).

    WHEEL, RECORD and the file name have the number; the same wheel gives the same bytes.

    Raises:
        RejectedError: the `wheel` tool cannot rewrite it.
        OSError: the copy cannot be written.
    """
    return _run_retag(path, str(number), ("--build", str(number)), "a build number")


def set_platform_tag(path: Path, platform: str) -> Path:
    """Copy a valid wheel, in the same folder, with another platform tag (PEP 425).

    WHEEL, RECORD and the file name have the tag; the same wheel gives the same bytes.

    Raises:
        RejectedError: the `wheel` tool cannot rewrite it.
        OSError: the copy cannot be written.
    """
    return _run_retag(
        path,
        untrusted_names.parse_wheel_filename(path.name).build_tag,
        ("--platform-tag", platform),
        platform,
    )


def _run_retag(path: Path, build: str, options: tuple[str, str], what: str) -> Path:
    with zipfile.ZipFile(path) as archive:
        record = next(item for item in archive.infolist() if _is_record(item.filename))
    folder = record.filename.partition(".dist-info/")[0]
    name, version, rest = path.name.split("-", 2)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".retag-") as scratch:
        # The tool requires the file name to be spelled like the folder in the wheel.
        alias = Path(scratch, f"{folder}-{rest}")
        alias.symlink_to(path.resolve())
        made = _run_wheel_tags(alias, options, what, _written_at(record))
        tags = made.name.rsplit("-", 3)[1:]
        return made.replace(path.with_name("-".join(filter(None, (name, version, build, *tags)))))


def _inspect(path: Path) -> WheelInfo:
    name = untrusted_names.parse_wheel_filename(path.name)
    project, version = name.project, name.version
    with Archive.open(path) as archive:
        folder = validate.find_dist_info(archive, project, version)
        validate.check_wheel_file(archive.read(f"{folder}/WHEEL", _MAX_WHEEL_FILE_BYTES), name)
        metadata = archive.read(f"{folder}/METADATA", _MAX_METADATA_BYTES)
        requires_python = validate.check_metadata(metadata, project, version)
        record = archive.read(f"{folder}/RECORD", _MAX_RECORD_BYTES)
        programs, unread = validate.check_record(archive, folder, record, path.parent)
        needed = _external_libraries(programs, archive.members)
    _check_machines(programs, name.tags)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return WheelInfo(
        filename=path.name,
        sha256=sha256,
        size_bytes=path.stat().st_size,
        project=project,
        version=str(version),
        compatibility=compatibility_of(
            path.name, highest_version(item.info.glibc for item in programs)
        ),
        requires_python=requires_python,
        metadata=metadata,
        about=project_metadata(metadata),
        elf_members=programs,
        needed_libraries=needed,
        unreadable_elf=unread,
    )


def _check_machines(elf_members: Iterable[ElfMember], tags: Iterable[Tag]) -> None:
    """Check that every ELF file is for a machine that the file name's tags name."""
    platforms = sorted({tag.platform for tag in tags})
    for program in elf_members:
        if not any(program.info.runs_on(_arch_of_platform(platform)) for platform in platforms):
            raise RejectedError(
                f"{program.name} is for {program.info.machine_description}, "
                f"but the file name is for {'.'.join(platforms)}"
            )


def _arch_of_platform(platform: str) -> str:
    """The machine of `linux_x86_64`, `manylinux2014_x86_64` or `manylinux_2_17_x86_64`."""
    words = platform.split("_")
    if words[0] == "manylinux":
        words = words[2:]
    return "_".join(words[1:])


def _external_libraries(
    elf_members: Iterable[ElfMember], members: Iterable[str]
) -> tuple[str, ...]:
    shipped = {name.rpartition("/")[2] for name in members}
    wanted: set[str] = set()
    for program in elf_members:
        shipped.add(program.info.soname)
        wanted.update(name.rpartition("/")[2] for name in program.info.needed_libraries)
    return tuple(sorted(wanted - shipped - {""}))


def _wrong_release_reason(info: WheelInfo, job: Job) -> str:
    same = info.project == untrusted_names.normalize_project(job.project)
    if same and untrusted_names.parse_version(info.version) == untrusted_names.parse_version(
        job.version
    ):
        return ""
    return f"the job is {job.project} {job.version}"


def _incompatible_reason(info: WheelInfo, target: Target) -> str:
    if not _RULES.is_loadable(WheelCompatibility(tags=info.compatibility.tags), target):
        return f"its tags do not install on {target.name}"
    if not _RULES.is_loadable(info.compatibility, target):
        glibc = target.glibc or "none"
        return f"it needs glibc {info.compatibility.glibc}, and {target.name} has {glibc}"
    if not _RULES.allows_python(info.requires_python, target):
        return f"it requires Python {info.requires_python}, and {target.name} is {target.python}"
    for program in info.elf_members:
        if not program.info.runs_on(target.arch):
            made_for = program.info.machine_description
            return f"{program.name} is for {made_for}, not for {target.arch}"
    return ""


def _printable_line(text: str) -> str:
    """One line of bounded length that is safe to print on a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text[:_MAX_LINE_CHARS])


def _is_record(name: str) -> bool:
    folder, _, rest = name.partition("/")
    return folder.endswith(".dist-info") and rest == "RECORD"


def _written_at(record: zipfile.ZipInfo) -> datetime:
    """A member's modification date; some backends write a date of zeros."""
    try:
        return datetime(*record.date_time, tzinfo=UTC)
    except ValueError:
        return datetime(1980, 1, 1, tzinfo=UTC)


def _run_wheel_tags(path: Path, options: tuple[str, str], what: str, date: datetime) -> Path:
    """Run `wheel tags`; the RECORD that it writes gets the date of the one it replaces."""
    command = [sys.executable, "-P", "-m", "wheel", "tags", *options, str(path)]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "SOURCE_DATE_EPOCH": str(int(date.timestamp()))},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_RETAG_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RejectedError(f"adding {what} to {path.name} took too long") from error
    made = [found for found in path.parent.glob("*.whl") if found != path]
    if done.returncode or len(made) != 1:
        reason = done.stderr.strip().rpartition("\n")[2]
        raise RejectedError(_printable_line(f"{what} cannot be added to {path.name}: {reason}"))
    return made[0]
