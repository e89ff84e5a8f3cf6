"""Targets, and which wheels are compatible with them."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Protocol

import msgspec

from piwheels.model.base import Struct

#: A part of a target's name: a tag, a version, the code name of a distribution.
TargetPart = Annotated[str, msgspec.Meta(max_length=100)]


class Target(Struct, frozen=True, kw_only=True):
    """An ABI on a platform: what a wheel is built for.

    `name` is the identity (`cp313-trixie-aarch64`); the rest is what an interpreter on
    that platform reports.
    """

    name: TargetPart
    python: TargetPart  # "3.13": what Requires-Python is compared with is python_full
    python_full: TargetPart  # "3.13.0"
    implementation: TargetPart = "cp"  # PEP 425 interpreter abbreviation
    abi: TargetPart  # "cp313", "cp313t": PEP 425 ABI tag
    arch: TargetPart  # "aarch64": the machine part of PEP 425 platform tags
    os: TargetPart  # "trixie": the code name of the distribution
    glibc: TargetPart  # "2.41"


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """A Python interpreter on a builder, as it describes itself."""

    path: Path  # as it was configured, absolute
    executable: Path  # with symbolic links resolved
    prefix: Path
    base_prefix: Path  # of the installation that a virtual environment is based on
    version: str  # "3.13.0"
    implementation: str  # PEP 425 abbreviation: "cp", "pp"
    abi: str  # PEP 425 ABI tag: "cp313", "cp313t"
    arch: str  # machine part of PEP 425 platform tags: "aarch64", "armv7l"
    os: str  # codename of the distribution: "trixie"
    glibc: str  # "2.41"; "" with another C library
    compiler: str  # the C compiler that it builds extensions with: "x86_64-linux-gnu-gcc"
    headers: bool  # whether its C headers are installed


def short_target_name(target: str, all_targets: Collection[str]) -> str:
    """The display name of a target: only its ABI tag if all targets of the farm have its platform.

    So `cp313` on a farm that builds for one platform, and `cp313-trixie-aarch64` on others.
    """
    abi, _, platform = target.partition("-")
    alike = bool(all_targets) and all(other.partition("-")[2] == platform for other in all_targets)
    return abi if alike else target


def match_targets(word: str, all_targets: Collection[str]) -> list[str]:
    """The targets that a word can refer to: a whole name, or an ABI tag."""
    return (
        [word]
        if word in all_targets
        else [name for name in all_targets if name.partition("-")[0] == word]
    )


class WheelCompatibility(Struct, frozen=True, kw_only=True):
    """What decides where a wheel installs: its compressed tag set and its glibc need.

    `tags` is the tag part of the file name (`cp313-cp313-linux_aarch64`); `glibc` is the
    highest GLIBC symbol version that its ELF files ask for, or "" for none.
    """

    tags: str
    glibc: str = ""

    @property
    def identifier(self) -> str:
        """The identity of the compatibility, e.g. `cp39-abi3-linux_aarch64 glibc2.17`."""
        return f"{self.tags} glibc{self.glibc}" if self.glibc else self.tags

    @property
    def is_pure(self) -> bool:
        """Whether its tags name no ABI and no platform: no compiled code."""
        return self.tags.endswith("-none-any")


class CompatibilityRules(Protocol):
    """What packaging standards say about wheels and targets; the database only stores it."""

    def is_loadable(self, compatibility: WheelCompatibility, target: Target) -> bool:
        """Whether a wheel with this compatibility installs on this target, and loads there."""
        ...

    def tag_rank(self, compatibility: WheelCompatibility, target: Target) -> int | None:
        """How installers rank its tags on this target, 0 first; None if they do not accept it."""
        ...

    def allows_python(self, requires_python: str, target: Target) -> bool:
        """Whether a Requires-Python specifier allows this target's interpreter."""
        ...

    def sort_order(self, target: Target) -> int:
        """The position of a target in numeric order, below 2**31."""
        ...
