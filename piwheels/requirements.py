"""What a user asks for: requirements as typed and in files (pip's format), turned into Wanted.

A farm builds releases by name from one index for several targets. So markers are judged for each
target, constraints narrow what is asked for, and whatever says how or from where pip installs is
passed over, with a note for each line.
"""

import codecs
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from piwheels import names
from piwheels.errors import ConfigError, RejectedError, UsageError
from piwheels.model import BuildRequest

#: What a marker is compared with (PEP 508), by variable.
Environment = dict[str, str]

_COMMENT = re.compile(r"(^|\s+)#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_CODING = re.compile(rb"coding[:=]\s*([-\w.]+)")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, which is a prefix of it
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
)
_INCLUDES = {"-r": "-r", "--requirement": "-r", "-c": "-c", "--constraint": "-c"}
_EDITABLE = ("-e", "--editable")
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tar.bz2", ".tgz")
_ABI = re.compile(r"(?:cp|pypy|pp)?(\d)(\d+)")


@dataclass(frozen=True, slots=True)
class SourcedRequirement:
    """A requirement that was asked for, or a constraint."""

    requirement: Requirement
    source: str  # "requirements.txt, line 3", or the text itself if it was typed


@dataclass(slots=True)
class ParsedRequirements:
    """All that arguments and files ask for."""

    requirements: list[SourcedRequirement] = field(default_factory=list)
    constraints: dict[str, list[Requirement]] = field(default_factory=dict)  # by normalised name
    notes: list[str] = field(default_factory=list)  # a line for each that was passed over

    @property
    def has_markers(self) -> bool:
        """Whether the answer depends on the targets."""
        limits = [limit for limits in self.constraints.values() for limit in limits]
        every = [request.requirement for request in self.requirements] + limits
        return any(requirement.marker is not None for requirement in every)

    def build_requests(
        self, targets: Sequence[Sequence[Environment]], *, latest: int
    ) -> list[BuildRequest]:
        """What has to be built, each once, in order; adds notes for what no target needs.

        Args:
            targets: for each target the environments that it can have; one that fits is enough.
                Without any target every marker counts as true.
            latest: how many releases of each; 0 for all.
        """
        found: dict[str, None] = {}
        for request in self.requirements:
            requirement = request.requirement
            fitting = [target for target in targets or [()] if _marker_applies(requirement, target)]
            if not fitting:
                self.notes.append(
                    f"{request.source}: {requirement.name} is passed over; no target fits its "
                    f"marker ({requirement.marker})"
                )
            found |= dict.fromkeys(self._constrained(requirement, target) for target in fitting)
        return [BuildRequest(requirement=text, release_count=latest) for text in found]

    def _constrained(self, requirement: Requirement, target: Sequence[Environment]) -> str:
        """A requirement with the constraints on its project that hold for a target."""
        specifier = requirement.specifier
        for limit in self.constraints.get(canonicalize_name(requirement.name), ()):
            if _marker_applies(limit, target):
                specifier &= limit.specifier
        return f"{requirement.name}{specifier}"


def target_environments(target: str, python_full: str = "") -> tuple[Environment, ...]:
    """What markers are compared with on a target.

    Args:
        target: its name, `cp313-trixie-aarch64`.
        python_full: the version of its interpreter; "" if that is not known, and then there are
            two environments, of the first and a late patch release.
    """
    abi, _, platform = target.partition("-")
    version = _ABI.match(abi)
    python = f"{version[1]}.{version[2]}" if version else ""
    is_pypy = abi.startswith("p")
    return tuple(
        {
            "implementation_name": "pypy" if is_pypy else "cpython",
            "implementation_version": full,
            "os_name": "posix",
            "platform_machine": platform.rpartition("-")[2],
            "platform_python_implementation": "PyPy" if is_pypy else "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": full,
            "python_version": python,
            "sys_platform": "linux",
            "extra": "",
        }
        for full in ([python_full] if python_full else [f"{python}.0", f"{python}.99"])
    )


def _marker_applies(requirement: Requirement, target: Sequence[Environment]) -> bool:
    """Whether a requirement's marker is true for a target; a marker that nobody can judge is."""
    marker = requirement.marker
    if marker is None or not target:
        return True
    try:
        return any(marker.evaluate(dict(environment)) for environment in target)
    except (UndefinedComparison, UndefinedEnvironmentName, ValueError):
        return True


def parse_requirements(requirements: Sequence[str], files: Sequence[Path]) -> ParsedRequirements:
    """Read what arguments and requirements files ask for.

    Args:
        requirements: as typed: `name`, `name==1.0`, `name>=2,<3; python_version < "3.12"`.
        files: requirements files in pip's format.

    Raises:
        UsageError: a requirement is malformed.
        ConfigError: a file cannot be read, or files include each other without an end.
    """
    asked = ParsedRequirements()
    for text in requirements:
        _add_line(asked, text, text, constraint=False)
    for file in files:
        _RequirementsFile(asked, file).read()
    return asked


@dataclass(frozen=True, slots=True)
class _RequirementsFile:
    """A requirements or constraints file that is read into `asked`."""

    parsed: ParsedRequirements
    path: Path
    constraint: bool = False
    including: tuple[Path, ...] = ()  # the files that led here

    def read(self) -> None:
        if self.path.resolve() in self.including:
            raise ConfigError(f"{self.path}: requirements files include each other without an end")
        for number, line in _lines(_read_text(self.path)):
            where = f"{self.path}, line {number}"
            text, options = _split_options(line)
            if not text:
                self._add_options(where, options)
                continue
            _add_line(self.parsed, text, where, constraint=self.constraint)
            if options:
                self.parsed.notes.append(
                    f"{where}: {_option_names(options)} of {text} is passed over"
                )

    def _add_options(self, where: str, options: list[str]) -> None:
        """A line of options alone: a file that it includes, or what is not for a farm."""
        option, value = _first_option(options)
        if option in _EDITABLE:
            self.parsed.notes.append(f"{where}: {value} is no release of the index; passed over")
        elif option not in _INCLUDES:
            self.parsed.notes.append(f"{where}: {option} is passed over; it says how pip installs")
        elif not value or not value.isprintable():
            self.parsed.notes.append(f"{where}: {option} names no file; passed over")
        elif _SCHEME.match(value):
            self.parsed.notes.append(f"{where}: {value} is passed over; only files are read")
        else:
            _RequirementsFile(
                self.parsed,
                self.path.parent / value,
                constraint=_INCLUDES[option] == "-c",
                including=(*self.including, self.path.resolve()),
            ).read()


def _add_line(parsed: ParsedRequirements, text: str, source: str, *, constraint: bool) -> None:
    if _is_path_or_url(text):
        parsed.notes.append(f"{source}: {text} is no release of the index; passed over")
        return
    try:
        requirement = names.parse_requirement(text)
    except RejectedError as error:
        raise UsageError(f"{source}: {error}") from None
    if requirement.url:
        parsed.notes.append(
            f"{source}: {requirement.name} comes from an address, not from the index; passed over"
        )
    elif constraint:
        project = canonicalize_name(requirement.name)
        parsed.constraints.setdefault(project, []).append(requirement)
    else:
        parsed.requirements.append(SourcedRequirement(requirement, source))
        if requirement.extras:
            extras = ",".join(sorted(requirement.extras))
            parsed.notes.append(
                f"{source}: {requirement.name} is built; what [{extras}] needs is passed over"
            )


def _is_path_or_url(text: str) -> bool:
    """Whether a line names a path, an archive or an address instead of a project."""
    first = text.partition(";")[0].strip()
    if _SCHEME.match(first):
        return True
    if "@" in first:
        return False  # name @ address
    return first.startswith(".") or "/" in first or first.endswith(_ARCHIVES)


# --- lines, as pip reads them ---


def _read_text(file: Path) -> str:
    try:
        content = file.read_bytes()
        for mark, encoding in _BOMS:
            if content.startswith(mark):
                return content[len(mark) :].decode(encoding)
        declared = [
            found[1].decode()
            for line in content.split(b"\n")[:2]
            if line.startswith(b"#") and (found := _CODING.search(line))
        ]
        return content.decode(declared[0] if declared else "utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except (UnicodeError, LookupError):
        raise ConfigError(f"{file}: is not UTF-8 text") from None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines that say something, by number: joined, without comments, variables filled in."""
    for number, line in _join_continuations(text):
        bare = _COMMENT.sub("", line).strip()
        if bare:
            yield number, _VARIABLE.sub(lambda found: os.environ.get(found[1], found[0]), bare)


def _join_continuations(text: str) -> Iterator[tuple[int, str]]:
    """Lines, each with those that continue it (a backslash at the end); a comment ends one."""
    first, parts = 0, list[str]()
    for number, line in enumerate(text.splitlines(), start=1):
        comment = _COMMENT.match(line) is not None
        first = first if parts else number
        parts.append(f" {line}" if comment else line.removesuffix("\\"))
        if comment or not line.endswith("\\"):
            yield first, "".join(parts)
            parts = []
    if parts:
        yield first, "".join(parts)


def _split_options(line: str) -> tuple[str, list[str]]:
    """A line's requirement, and the options behind it or instead of it."""
    words = line.split()
    place = next((n for n, word in enumerate(words) if word.startswith("-")), len(words))
    try:
        options = shlex.split(" ".join(words[place:]))
    except ValueError:  # a quotation without an end
        options = words[place:]
    return " ".join(words[:place]), options


def _first_option(words: Sequence[str]) -> tuple[str, str]:
    """The first option of a line and its value: `-r FILE`, `-rFILE`, `--requirement=FILE`."""
    option, mark, value = words[0].partition("=")
    if not option.startswith("--") and len(option) > 2:
        return option[:2], words[0][2:].removeprefix("=")
    return option, value if mark else " ".join(words[1:])


def _option_names(options: Sequence[str]) -> str:
    """The options of a line by their names, each once."""
    found = [word.partition("=")[0] for word in options if word.startswith("-")]
    return ", ".join(dict.fromkeys(found))
