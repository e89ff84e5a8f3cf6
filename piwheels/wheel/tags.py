"""The targets that a wheel installs on: PEP 425 tags, glibc and Requires-Python.

Everything is computed for the target's interpreter, never for the running one. The same few
questions are asked often, hence the caches.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from packaging.tags import Tag, compatible_tags, cpython_tags, generic_tags

from piwheels import untrusted_names
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

#: Machines in the sort order of their targets.
_ARCH_ORDER = ("armv6l", "armv7l", "aarch64", "riscv64", "i686", "x86_64")

_CPYTHON_ABI = re.compile(r"cp[23]\d+(?P<threading>t?)(?P<debug>d?)m?u?")
_NAME_PART = re.compile(r"[a-z0-9][a-z0-9_.+]{0,63}")
_GLIBC = re.compile(r"(\d{1,3})\.(\d{1,3})(\.\d{1,3}){0,2}")
#: The highest accepted version: an interpreter has one tag for each minor version up to its own.
_MAX_PYTHON_VERSION = (9, 255)


class PackagingRules:
    """The rules of the packaging standards, as pip and uv apply them (model.CompatibilityRules)."""

    def is_loadable(self, compatibility: WheelCompatibility, target: Target) -> bool:
        """Whether a wheel with these tags and this glibc need installs and loads on a target."""
        return _is_loadable(compatibility, target)

    def tag_rank(self, compatibility: WheelCompatibility, target: Target) -> int | None:
        """The index of its best tag in the target's list, 0 is best; None if none is accepted."""
        return _tag_rank(compatibility.tags, target)

    def allows_python(self, requires_python: str, target: Target) -> bool:
        """Whether a Requires-Python specifier allows this target's interpreter.

        An invalid specifier allows every interpreter, as in pip, which only warns.
        """
        return _allows_python(requires_python, target.python_full)

    def sort_order(self, target: Target) -> int:
        """The target's position in the order of all targets."""
        return position(target)


def compatibility_of(filename: str, glibc: str = "") -> WheelCompatibility:
    """The compatibility of a wheel, from its file name and the glibc that its ELF files need.

    Raises:
        RejectedError: this is not a wheel's file name.
    """
    return WheelCompatibility(
        tags=untrusted_names.parse_wheel_filename(filename).tag_text, glibc=glibc
    )


def target_of(interpreter: Interpreter) -> Target:
    """The target that an interpreter builds for.

    Raises:
        RejectedError: one of its properties is not possible for an interpreter.
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
    """The target of an interpreter on a platform, named `<abi>-<os>-<arch>`.

    Raises:
        RejectedError: one of the properties is not possible for an interpreter.
    """
    words = {"implementation": implementation, "ABI": abi, "machine": arch, "system": os}
    for what, word in words.items():
        if not _NAME_PART.fullmatch(word):
            raise RejectedError(f"an interpreter cannot have the {what} {word!r}")
    if glibc and not _GLIBC.fullmatch(glibc):
        raise RejectedError(f"{glibc!r} is not a version of glibc, such as 2.36")
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
    """Check that a target received from elsewhere is one that an interpreter can have.

    Raises:
        RejectedError: it is not.
    """
    facts = {name: getattr(target, name) for name in Target.__struct_fields__}
    if (
        make_target(**{name: facts[name] for name in facts if name not in {"name", "python"}})
        != target
    ):
        raise RejectedError(f"{target.name!r} is not the name of a target with these properties")


def position(target: Target) -> int:
    """The target's position in the order of all targets, as a number below 2**31.

    By Python version; then the regular build before the free-threaded, the debug build and
    other implementations; then the older glibc, whose wheels work on newer ones; then machine.
    Targets that are equal in all of these have the same position.
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
        tags = untrusted_names.parse_tags(tag_text)
    except RejectedError:
        return None
    supported = _supported_tags(target)
    return min((supported[tag] for tag in tags if tag in supported), default=None)


@lru_cache(maxsize=8192)
def _allows_python(requires_python: str, python_full: str) -> bool:
    try:
        return untrusted_names.parse_specifier(requires_python).contains(
            python_full, prereleases=True
        )
    except RejectedError:
        return True


@lru_cache(maxsize=256)
def _supported_tags(target: Target) -> dict[Tag, int]:
    """Every tag that the target's installers accept, with its rank; 0 is preferred."""
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
    """The ABIs that a CPython loads: a debug build also loads those of the regular one."""
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
    """`2.36` as numbers; (0, 0) without glibc."""
    version = _GLIBC.fullmatch(glibc)
    return (int(version[1]), int(version[2])) if version else (0, 0)


def _python_version(python_full: str) -> tuple[int, int]:
    version = untrusted_names.parse_version(python_full)
    if version.major > _MAX_PYTHON_VERSION[0] or version.minor > _MAX_PYTHON_VERSION[1]:
        raise RejectedError(f"{python_full!r} is not a version of Python")
    return version.major, version.minor
