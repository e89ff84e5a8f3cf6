"""How a situation, its variants and their expected causes are described."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.fake_index import FakeIndex

OLDEST, NEWEST = "3.9", "3.13"
BOTH = (OLDEST, NEWEST)

#: The project of every situation.
PROJECT = "sample"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a classifier should say about a log, known from what was made to fail."""

    #: As in piwheels.model.FailureClass; alternatives, where several are right, are separated by "|".
    failure_class: str
    #: The deciding line has one of these texts. Empty: the facts decide, not a line.
    lines: tuple[str, ...] = ()
    #: "kind:name" of what is missing; alternatives are separated by "|".
    missing: tuple[str, ...] = ()
    #: Debian 12 packages that are needed; one of several alternatives, separated by "|", is enough.
    packages: tuple[str, ...] = ()
    #: Packages that may be named, too.
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """An sdist as it is uploaded."""

    content: bytes
    filename: str = f"{PROJECT}-1.0.tar.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """An sdist whose build fails in one way, and its surroundings.

    The sandbox hides programs that a Debian with build-essential lacks, except `programs`.
    """

    name: str
    sdist: Archive
    #: None: it is built.
    expected: Expected | None
    #: Where it differs, by Python.
    expected_on: Mapping[str, Expected] = field(default_factory=dict)
    pythons: tuple[str, ...] = BOTH
    #: Requirements whose wheels the index has, besides setuptools.
    tools: tuple[str, ...] = ()
    #: Changes the index before the build.
    index: Callable[[FakeIndex], None] | None = None
    #: Programs that it finds although they are no part of build-essential.
    programs: tuple[str, ...] = ()
    #: Programs that it does not find although they are part of it.
    hidden: tuple[str, ...] = ()
    #: The machine's Rust toolchain is on its $PATH.
    rust: bool = False
    #: Of `piwheels.builder.process_runner.Limits`.
    limits: Mapping[str, float] = field(default_factory=dict)
    #: The size of the disk that it builds on; 0: that of the machine.
    disk_bytes: int = 0
    #: How many inodes that disk has; 0: as many as files fit.
    disk_inodes: int = 0

    def expectation(self, python: str) -> Expected | None:
        """What is expected on a Python."""
        return self.expected_on.get(python, self.expected)


@dataclass(frozen=True, slots=True)
class Situation:
    """One of the ways in which builds fail."""

    number: int
    name: str
    variants: tuple[Variant, ...]

    @property
    def folder(self) -> str:
        """The name of the folder of its recordings."""
        return f"{self.number:02}-{self.name}"
