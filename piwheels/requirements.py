"""Parses requirements from the command line and from files in pip's format.

A farm builds releases by name from one index for several targets. So markers are evaluated for each
target, constraints restrict the requirements, and options that control how or from where pip
installs are ignored, with a note for each line.
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

from piwheels import untrusted_names
from piwheels.errors import ConfigError, RejectedError, UsageError
from piwheels.model import BuildRequest

#: Values of marker variables (PEP 508).
Environment = dict[str, str]

_COMMENT = re.compile(r"(?:^|(?<!\s)\s+)#.*$")
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
    """A requirement with the line that it comes from."""

    requirement: Requirement
    source: str  # "requirements.txt, line 3", or the text of a command line argument


@dataclass(slots=True)
class ParsedRequirements:
    """The parsed requirements of the command line and of files."""

    requirements: list[SourcedRequirement] = field(default_factory=list)
    constraints: dict[str, list[Requirement]] = field(default_factory=dict)  # by normalized name
    notes: list[str] = field(default_factory=list)  # one line for each item that is ignored

    @property
    def has_markers(self) -> bool:
        """Whether the result depends on the targets."""
        limits = [limit for limits in self.constraints.values() for limit in limits]
        every = [request.requirement for request in self.requirements] + limits
        return any(requirement.marker is not None for requirement in every)

    def build_requests(
        self, targets: Sequence[Sequence[Environment]], *, latest: int
    ) -> list[BuildRequest]:
        """What to build, in order without duplicates; adds notes for what no target needs.

        Args:
            targets: for each target its possible environments; one that matches is enough.
                Without targets every marker is true.
            latest: how many releases of each; 0 for all.
        """
        found: dict[str, None] = {}
        for request in self.requirements:
            requirement = request.requirement
            fitting = [target for target in targets or [()] if _marker_applies(requirement, target)]
            if not fitting:
                self.notes.append(
                    f"{request.source}: {requirement.name} is ignored; no target matches its "
                    f"marker ({requirement.marker})"
                )
            found |= dict.fromkeys(self._constrained(requirement, target) for target in fitting)
        return [BuildRequest(requirement=text, release_count=latest) for text in found]

    def _constrained(self, requirement: Requirement, target: Sequence[Environment]) -> str:
        """A requirement with the constraints on its project that apply to a target."""
        specifier = requirement.specifier
        for limit in self.constraints.get(canonicalize_name(requirement.name), ()):
            if _marker_applies(limit, target):
                specifier &= limit.specifier
        return f"{requirement.name}{specifier}"


def target_environments(target: str, python_full: str = "") -> tuple[Environment, ...]:
    """The possible marker environments of a target.

    Args:
        target: its name, `cp313-trixie-aarch64`.
        python_full: the version of its interpreter; "" if it is unknown, which gives two
            environments, of the first and of a late patch release.
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
    """Whether a requirement's marker is true for a target, or cannot be evaluated."""
    marker = requirement.marker
    if marker is None or not target:
        return True
    try:
        return any(marker.evaluate(dict(environment)) for environment in target)
    except (UndefinedComparison, UndefinedEnvironmentName, ValueError):
        return True


def parse_requirements(requirements: Sequence[str], files: Sequence[Path]) -> ParsedRequirements:
    """Parse command line arguments and requirements files.

    Args:
        requirements: as typed: `name`, `name==1.0`, `name>=2,<3; python_version < "3.12"`.
        files: requirements files in pip's format.

    Raises:
        UsageError: a requirement is malformed.
        ConfigError: a file cannot be read, or files include each other in a cycle.
    """
    parsed = ParsedRequirements()
    for text in requirements:
        _add_line(parsed, text, text, constraint=False)
    for file in files:
        _RequirementsFile(parsed, file).read()
    return parsed


@dataclass(frozen=True, slots=True)
class _RequirementsFile:
    """A requirements or constraints file whose lines are added to `parsed`."""

    parsed: ParsedRequirements
    path: Path
    constraint: bool = False
    including: tuple[Path, ...] = ()  # the including files

    def read(self) -> None:
        if self.path.resolve() in self.including:
            raise ConfigError(f"{self.path}: requirements files include each other in a cycle")
        for number, line in _lines(_read_text(self.path)):
            where = f"{self.path}, line {number}"
            text, options = _split_options(line)
            if not text:
                self._add_options(where, options)
                continue
            _add_line(self.parsed, text, where, constraint=self.constraint)
            if options:
                self.parsed.notes.append(f"{where}: {_option_names(options)} of {text} is ignored")

    def _add_options(self, where: str, options: list[str]) -> None:
        """A line of options only: an included file, or options that are ignored."""
        option, value = _first_option(options)
        if option in _EDITABLE:
            self.parsed.notes.append(_not_on_index(where, value))
        elif option not in _INCLUDES:
            self.parsed.notes.append(f"{where}: {option} is ignored; it controls how pip installs")
        elif not value or not value.isprintable():
            self.parsed.notes.append(f"{where}: {option} has no file name; ignored")
        elif _SCHEME.match(value):
            self.parsed.notes.append(f"{where}: {value} is ignored; only local files are read")
        else:
            _RequirementsFile(
                self.parsed,
                self.path.parent / value,
                constraint=_INCLUDES[option] == "-c",
                including=(*self.including, self.path.resolve()),
            ).read()


def _not_on_index(where: str, text: str) -> str:
    return f"{where}: {text} is not a release on the index; ignored"


def _add_line(parsed: ParsedRequirements, text: str, source: str, *, constraint: bool) -> None:
    if _is_path_or_url(text):
        parsed.notes.append(_not_on_index(source, text))
        return
    try:
        requirement = untrusted_names.parse_requirement(text)
    except RejectedError as error:
        raise UsageError(f"{source}: {error}") from None
    if requirement.url:
        parsed.notes.append(
            f"{source}: {requirement.name} has a URL and is not from the index; ignored"
        )
    elif constraint:
        project = canonicalize_name(requirement.name)
        parsed.constraints.setdefault(project, []).append(requirement)
    else:
        parsed.requirements.append(SourcedRequirement(requirement, source))
        if requirement.extras:
            extras = ",".join(sorted(requirement.extras))
            parsed.notes.append(
                f"{source}: {requirement.name} is built without its extras [{extras}]"
            )


def _is_path_or_url(text: str) -> bool:
    """Whether a line names a path, an archive or a URL instead of a project."""
    first = text.partition(";")[0].strip()
    if _SCHEME.match(first):
        return True
    if "@" in first:
        return False  # name @ URL
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
        raise ConfigError(f"{file}: not UTF-8 text") from None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Non-empty lines with their numbers: joined, without comments, with variables expanded."""
    for number, line in _join_continuations(text):
        bare = _COMMENT.sub("", line).strip()
        if bare:
            yield number, _VARIABLE.sub(lambda found: os.environ.get(found[1], found[0]), bare)


def _join_continuations(text: str) -> Iterator[tuple[int, str]]:
    """Lines joined with their continuations (a backslash at the end); a comment ends a line."""
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
    """A line's requirement, and the options after it or instead of it."""
    words = line.split()
    place = next((n for n, word in enumerate(words) if word.startswith("-")), len(words))
    try:
        options = shlex.split(" ".join(words[place:]))
    except ValueError:  # an unterminated quotation
        options = words[place:]
    return " ".join(words[:place]), options


def _first_option(words: Sequence[str]) -> tuple[str, str]:
    """The first option of a line and its value: `-r FILE`, `-rFILE`, `--requirement=FILE`."""
    option, mark, value = words[0].partition("=")
    if not option.startswith("--") and len(option) > 2:
        return option[:2], words[0][2:].removeprefix("=")
    return option, value if mark else " ".join(words[1:])


def _option_names(options: Sequence[str]) -> str:
    """The names of a line's options, without duplicates."""
    found = [word.partition("=")[0] for word in options if word.startswith("-")]
    return ", ".join(dict.fromkeys(found))
