"""Which targets a wheel installs on: PEP 425 tags, glibc and Requires-Python.

Everything is computed for the target's interpreter, never for the one that runs this. The
questions are few and come again and again, hence the caches.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from packaging.tags import Tag, compatible_tags, cpython_tags, generic_tags

from piwheels import names
from piwheels.errors import RejectedError
from piwheels.model import Interpreter, Target, WheelCompatibility

#: Machines with manylinux tags (PEP 600), and the oldest glibc 2 that a tag may name there.
OLDEST_MANYLINUX_GLIBC = {
    "x86_64": 5,
    "i686": 5,
    "aarch64": 17,
    "armv7l": 17,
    "loongarch64": 17,
    "ppc64": 17,
    "ppc64le": 17,
    "riscv64": 17,
    "s390x": 17,
}

#: Older names of three manylinux tags (PEP 513, 571, 599), by glibc 2's minor version.
_MANYLINUX_ALIASES = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}

#: Machines in the order of their targets, the smallest first.
_ARCH_ORDER = ("armv6l", "armv7l", "aarch64", "riscv64", "i686", "x86_64")

_CPYTHON_ABI = re.compile(r"cp[23]\d+(?P<threading>t?)(?P<debug>d?)m?u?")
_NAME_PART = re.compile(r"[a-z0-9][a-z0-9_.+]{0,63}")
_GLIBC = re.compile(r"(\d{1,3})\.(\d{1,3})(\.\d{1,3}){0,2}")
#: Major and minor version up to which an interpreter is believed: its tags are one for each
#: minor version before its own.
_MAX_PYTHON_VERSION = (9, 255)


class PackagingRules:
    """The rules of the packaging standards, as pip and uv apply them (model.Rules)."""

    def is_loadable(self, compatibility: WheelCompatibility, target: Target) -> bool:
        """Whether a wheel of this kind installs, and loads, on this target."""
        return _is_loadable(compatibility, target)

    def tag_rank(self, compatibility: WheelCompatibility, target: Target) -> int | None:
        """The place of the best of its tags in the target's list, 0 first; None if none fits."""
        return _tag_rank(compatibility.tags, target)

    def allows_python(self, requires_python: str, target: Target) -> bool:
        """Whether a Requires-Python specifier allows this target's interpreter.

        An invalid specifier allows every interpreter: pip warns of it and goes on.
        """
        return _allows_python(requires_python, target.python_full)

    def sort_order(self, target: Target) -> int:
        """Where a target stands in the numeric order of all."""
        return position(target)


def compatibility_of(filename: str, glibc: str = "") -> WheelCompatibility:
    """The kind of a wheel by its file name, and by the glibc that its ELF files need.

    Raises:
        RefusedError: this is not a wheel's file name.
    """
    return WheelCompatibility(tags=names.parse_wheel_filename(filename).tag_text, glibc=glibc)


def target_of(interpreter: Interpreter) -> Target:
    """The target that an interpreter builds for.

    Raises:
        RefusedError: it says something of itself that no interpreter says.
    """
    return make_target(
        python_full=interpreter.version,
        implementation=interpreter.implementation,
        abi=interpreter.abi,
        arch=interpreter.arch,
        os=interpreter.os,
        glibc=interpreter.glibc,
    )


def make_target(
    *, python_full: str, implementation: str, abi: str, arch: str, os: str, glibc: str
) -> Target:
    """The target that an interpreter on a platform is, named `<abi>-<os>-<arch>`.

    Raises:
        RefusedError: one of the facts is not what an interpreter says of itself.
    """
    words = {"implementation": implementation, "ABI": abi, "machine": arch, "system": os}
    for what, word in words.items():
        if not _NAME_PART.fullmatch(word):
            raise RejectedError(f"an interpreter cannot have the {what} {word!r}")
    if glibc and not _GLIBC.fullmatch(glibc):
        raise RejectedError(f"{glibc!r} is no version of glibc; it looks like 2.36")
    major, minor = _python_version(python_full)
    return Target(
        name=f"{abi}-{os}-{arch}",
        python=f"{major}.{minor}",
        python_full=python_full,
        implementation=implementation,
        abi=abi,
        arch=arch,
        os=os,
        glibc=glibc,
    )


def check_target(target: Target) -> None:
    """See that a target that somebody names is one that an interpreter can be.

    Raises:
        RefusedError: it is none.
    """
    facts = {name: getattr(target, name) for name in Target.__struct_fields__}
    if (
        make_target(**{name: facts[name] for name in facts if name not in {"name", "python"}})
        != target
    ):
        raise RejectedError(f"{target.name!r} is not the name of the target that it is said to be")


def position(target: Target) -> int:
    """Where a target stands in the numeric order of all, as a number below 2**31.

    By Python version, then the plain build before the free-threaded, the debug build and
    other implementations, then the older glibc (its wheels serve the newer), then machine.
    Targets that differ in nothing of these share a position.
    """
    major, minor = _python_version(target.python_full)
    _, glibc = glibc_version(target.glibc)
    archs = (*_ARCH_ORDER, target.arch)
    place = min(major, 9) * 1000 + min(minor, 999)
    place = place * 4 + _variant(target)
    place = place * 1000 + min(glibc, 999)
    return place * 8 + archs.index(target.arch)


@lru_cache(maxsize=8192)
def _is_loadable(compatibility: WheelCompatibility, target: Target) -> bool:
    if _tag_rank(compatibility.tags, target) is None:
        return False
    return glibc_version(compatibility.glibc) <= glibc_version(target.glibc)


@lru_cache(maxsize=8192)
def _tag_rank(tag_text: str, target: Target) -> int | None:
    try:
        tags = names.parse_tags(tag_text)
    except RejectedError:
        return None
    supported = _supported_tags(target)
    return min((supported[tag] for tag in tags if tag in supported), default=None)


@lru_cache(maxsize=8192)
def _allows_python(requires_python: str, python_full: str) -> bool:
    try:
        return names.parse_specifier(requires_python).contains(python_full, prereleases=True)
    except RejectedError:
        return True


@lru_cache(maxsize=256)
def _supported_tags(target: Target) -> dict[Tag, int]:
    """Every tag that the target's installers accept, with its place: the preferred first."""
    version = _python_version(target.python_full)
    platforms = tuple(_platform_tags(target.arch, target.glibc))
    nodot = f"{version[0]}{version[1]}"
    if target.implementation == "cp":
        own = cpython_tags(version, _cpython_abis(target.abi), platforms)
        interpreter = f"cp{nodot}"
    else:
        interpreter = f"{target.implementation}{nodot}"
        own = generic_tags(interpreter, (target.abi,), platforms)
        if target.implementation == "pp":
            interpreter = "pp3"
    every = dict.fromkeys((*own, *compatible_tags(version, interpreter, platforms)))
    return {tag: place for place, tag in enumerate(every)}


def _cpython_abis(abi: str) -> tuple[str, ...]:
    """The ABIs that a CPython loads: a debug build takes those of the plain one too."""
    known = _CPYTHON_ABI.fullmatch(abi)
    return (abi, abi.removesuffix("d")) if known and known["debug"] else (abi,)


def _platform_tags(arch: str, glibc: str) -> Iterator[str]:
    """The platform tags of a Linux machine with this glibc (PEP 600), the preferred first."""
    major, newest = glibc_version(glibc)
    oldest = OLDEST_MANYLINUX_GLIBC.get(arch)
    if major == 2 and oldest is not None:
        for minor in range(newest, oldest - 1, -1):
            yield f"manylinux_2_{minor}_{arch}"
            if minor in _MANYLINUX_ALIASES:
                yield f"{_MANYLINUX_ALIASES[minor]}_{arch}"
    yield f"linux_{arch}"


def _variant(target: Target) -> int:
    known = _CPYTHON_ABI.fullmatch(target.abi)
    if target.implementation != "cp" or known is None:
        return 3
    return 2 if known["debug"] else 1 if known["threading"] else 0


def glibc_version(glibc: str) -> tuple[int, int]:
    """`2.36` as numbers; (0, 0) where there is none."""
    version = _GLIBC.fullmatch(glibc)
    return (int(version[1]), int(version[2])) if version else (0, 0)


def _python_version(python_full: str) -> tuple[int, int]:
    version = names.parse_version(python_full)
    if version.major > _MAX_PYTHON_VERSION[0] or version.minor > _MAX_PYTHON_VERSION[1]:
        raise RejectedError(f"{python_full!r} is no version of Python")
    return version.major, version.minor
