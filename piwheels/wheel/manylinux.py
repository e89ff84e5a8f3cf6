"""The manylinux tag (PEP 600) that a wheel can have.

Installers compare the glibc version of manylinux tags with their system's; for `linux_<arch>` tags
they do not. The allowed libraries, and the symbol versions that systems with a certain glibc have,
are those of auditwheel's manylinux policy. Wheels outside that policy keep their tag.
"""

import re
from collections.abc import Iterable

from piwheels import untrusted_names
from piwheels.model import WheelCompatibility
from piwheels.wheel.tags import OLDEST_MANYLINUX_GLIBC, glibc_version
from piwheels.wheel.validate import ElfMember

#: Libraries that every manylinux system has (auditwheel 6.8, manylinux-policy.json).
_ALLOWED_LIBRARIES = frozenset(
    {
        "libGL.so.1",
        "libICE.so.6",
        "libSM.so.6",
        "libX11.so.6",
        "libXext.so.6",
        "libXrender.so.1",
        "libanl.so.1",
        "libatomic.so.1",
        "libc.so.6",
        "libdl.so.2",
        "libexpat.so.1",
        "libgcc_s.so.1",
        "libglib-2.0.so.0",
        "libgobject-2.0.so.0",
        "libgthread-2.0.so.0",
        "libm.so.6",
        "libmvec.so.1",
        "libnsl.so.1",
        "libpthread.so.0",
        "libresolv.so.2",
        "librt.so.1",
        "libstdc++.so.6",
        "libutil.so.1",
        "libz.so.1",
    }
)
_LOADER = re.compile(r"ld-linux(-[a-z0-9-]+)?\.so\.[123]|ld64\.so\.[12]")

#: For each family of symbol versions: the highest version that systems have from a minor version
#: of glibc 2 on, in order. Where the policy differs by machine, the later glibc.
_MAX_SYMBOL_VERSIONS: dict[str, tuple[tuple[tuple[int, ...], int], ...]] = {
    "GLIBCXX": (
        ((3, 4, 19), 17),
        ((3, 4, 22), 24),
        ((3, 4, 24), 27),
        ((3, 4, 28), 31),
        ((3, 4, 29), 34),
        ((3, 4, 30), 35),
        ((3, 4, 33), 39),
    ),
    "CXXABI": (
        ((1, 3, 7), 17),
        ((1, 3, 10), 24),
        ((1, 3, 11), 27),
        ((1, 3, 12), 31),
        ((1, 3, 13), 34),
        ((1, 3, 15), 39),
    ),
    "CXXABI_ARM": (((1, 3, 3), 17),),
    "GCC": (((4, 7, 0), 17), ((7, 0, 0), 27), ((11, 0), 34), ((12, 0, 0), 35), ((14, 0, 0), 39)),
    "ZLIB": (((1, 2, 5, 2), 17), ((1, 2, 9), 27), ((1, 2, 12), 37)),
    "LIBATOMIC": (((1, 0), 17), ((1, 2), 24)),
}
_VERSION = re.compile(r"([A-Z_]+)_(\d{1,3}(?:\.\d{1,3}){0,3})")


def manylinux_tag(
    kind: WheelCompatibility, elf_members: Iterable[ElfMember], needed_libraries: Iterable[str]
) -> str | None:
    """The platform tag that a wheel can have instead of `linux_<arch>`.

    Args:
        kind: its tags and what its ELF files need of glibc.
        elf_members: its ELF files.
        needed_libraries: the shared libraries that they need and the wheel does not have.

    Returns:
        For example `manylinux_2_34_aarch64`; None if the wheel keeps its tag: it has no compiled
        code, its machine has no manylinux tags (armv6l), it needs other libraries or unknown
        symbol versions, or it already has such a tag.
    """
    arch, elf_members = _arch(kind), tuple(elf_members)
    major, glibc = glibc_version(kind.glibc)
    if arch is None or not elf_members or major not in {0, 2}:  # 0: it does not use glibc
        return None
    if not all(name in _ALLOWED_LIBRARIES or _LOADER.fullmatch(name) for name in needed_libraries):
        return None
    versions = {version for program in elf_members for version in program.info.symbol_versions}
    since = [_min_glibc_minor(version) for version in versions]
    if None in since:
        return None
    oldest = OLDEST_MANYLINUX_GLIBC[arch]
    return f"manylinux_2_{max(glibc, oldest, *filter(None, since))}_{arch}"


def _arch(kind: WheelCompatibility) -> str | None:
    """The machine of a wheel whose only platform is `linux_<arch>`, if it has manylinux tags."""
    platforms = {tag.platform for tag in untrusted_names.parse_tags(kind.tags)}
    if len(platforms) != 1:
        return None
    arch = platforms.pop().removeprefix("linux_")
    return arch if arch in OLDEST_MANYLINUX_GLIBC else None


def _min_glibc_minor(version: str) -> int | None:
    """The first minor version of glibc 2 whose systems have a symbol version; None if unknown."""
    known = _VERSION.fullmatch(version)
    if known is None:
        return None
    wanted = tuple(map(int, known[2].split(".")))
    return next(
        (glibc for most, glibc in _MAX_SYMBOL_VERSIONS.get(known[1], ()) if wanted <= most), None
    )
