"""Headers of ELF files: the machine, the libraries and the glibc that a file needs.

Only files that a Linux machine would execute or load are read. Object files, code for a GPU or
for the kernel's BPF machine, and data that only begins like ELF are ignored.
"""

import os
import re
from collections.abc import Iterable, Iterator
from typing import IO, TypeVar, cast

import msgspec
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.sections import (
    ARMAttributesSection,
    Attribute,
    AttributesSubsection,
    AttributesSubsubsection,
)

MAGIC = b"\x7fELF"

#: Headers, names and versions of a real file take about 20 kB to read. A hostile file can claim
#: endless tables, and a hostile wheel can have thousands of such files; both are limited.
_MOST_READ_BYTES = 4 * 1024 * 1024
_MOST_READ_OF_WHEEL_BYTES = 128 * 1024 * 1024

_LOADABLE = frozenset({"ET_EXEC", "ET_DYN"})

# "ELF for the Arm Architecture": how a linked file passes floating-point arguments.
_EF_ARM_ABI_FLOAT_SOFT = 0x200
_EF_ARM_ABI_FLOAT_HARD = 0x400

# "Addenda to, and Errata in, the ABI for the Arm Architecture", 3.3.5: Tag_CPU_arch,
# Tag_FP_arch, Tag_THUMB_ISA_use. A Pi Zero is an ARMv6KZ with VFPv2.
_UP_TO_ARMV6 = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 9})  # to v6KZ, and v6K
_ARM_ARCHITECTURES = {8: "ARMv6T2", 10: "ARMv7", 14: "ARMv8", 22: "ARMv9"}
_ARM_TAGS_READ = frozenset(
    {"TAG_CPU_ARCH", "TAG_THUMB_ISA_USE", "TAG_FP_ARCH", "TAG_ADVANCED_SIMD_ARCH"}
)
_VFPV2 = 2
_THUMB_2 = 2

_GLIBC_SYMBOLS = re.compile(r"GLIBC_(\d{1,3})\.(\d{1,3})(\.\d+)*")
#: Required by files with packed relative relocations, which glibc loads since 2.36.
_PACKED_RELOCATIONS = "GLIBC_ABI_DT_RELR"

#: e_machine, bits and byte order to the machine part of PEP 425 platform tags.
_MACHINES = {
    ("EM_386", 32, "little"): "i686",
    ("EM_AARCH64", 64, "little"): "aarch64",
    ("EM_ARM", 32, "little"): "arm",
    ("EM_LOONGARCH", 64, "little"): "loongarch64",
    ("EM_PPC64", 64, "big"): "ppc64",
    ("EM_PPC64", 64, "little"): "ppc64le",
    ("EM_RISCV", 64, "little"): "riscv64",
    ("EM_S390", 64, "big"): "s390x",
    ("EM_X86_64", 64, "little"): "x86_64",
}
_LINUX_PROCESSORS = frozenset(processor for processor, _, _ in _MACHINES) | {
    "EM_MIPS",
    "EM_PPC",
    "EM_SPARC",
    "EM_SPARCV9",
}
_FAMILIES = {"armv6l": "arm", "armv7l": "arm", "armv8l": "arm", "i386": "i686", "i586": "i686"}


_Part = TypeVar("_Part", AttributesSubsection, AttributesSubsubsection)


class ElfFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An executable or shared library, as its headers describe it."""

    machine: str  # "aarch64", "x86_64", "arm"; "EM_X86_64, 32-bit" where no tag names it
    soft_float: bool = False  # Arm only: it is marked as not for the hard-float ABI
    beyond_armv6: tuple[str, ...] = ()  # Arm only: features it uses that ARMv6 lacks: "NEON"
    soname: str = ""
    needed_libraries: tuple[str, ...] = ()  # DT_NEEDED
    glibc: str = ""  # "2.17": the newest whose symbols it needs
    symbol_versions: tuple[str, ...] = ()  # other symbol versions that it needs: "GLIBCXX_3.4.30"

    def runs_on(self, arch: str) -> bool:
        """Whether a machine can load it; arch is as in PEP 425 platform tags, hard float on Arm."""
        if arch == "armv6l" and self.beyond_armv6:
            return False
        return self.machine == _FAMILIES.get(arch, arch) and not self.soft_float

    @property
    def machine_description(self) -> str:
        """The machine as text: "arm with ARMv7, NEON"."""
        beyond = f" with {', '.join(self.beyond_armv6)}" if self.beyond_armv6 else ""
        return f"{self.machine}{beyond}{' without hard float' if self.soft_float else ''}"


class ReadBudget:
    """The number of bytes that may still be read of all ELF files of one wheel."""

    def __init__(self) -> None:
        self.remaining_bytes = _MOST_READ_OF_WHEEL_BYTES

    def is_exhausted(self) -> bool:
        """Whether nothing more may be read."""
        return self.remaining_bytes <= 0


def read(file: IO[bytes], budget: ReadBudget | None = None) -> ElfFacts | None:
    """The headers of a seekable file, or None if no Linux machine would load it.

    Corrupt files give None too: a sample in a test suite must not fail the project's wheel, and
    what cannot be parsed cannot be loaded. Bytes that are read are taken from the wheel's budget.
    """
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        return None
    metered = _BudgetedFile(file, budget or ReadBudget())
    try:
        return _read_facts(ELFFile(cast("IO[bytes]", metered)))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - pyelftools raises whatever a broken table leads to
        return None


def _read_facts(elf: ELFFile) -> ElfFacts | None:
    processor = str(elf["e_machine"])
    if elf["e_type"] not in _LOADABLE or processor not in _LINUX_PROCESSORS:
        return None
    order = "little" if elf.little_endian else "big"
    machine = _MACHINES.get((processor, elf.elfclass, order))
    needed, soname = _dynamic(elf)
    versions = sorted(set(_symbol_versions(elf)))
    return ElfFacts(
        machine=machine or f"{processor}, {elf.elfclass}-bit",
        soft_float=machine == "arm"
        and bool(elf["e_flags"] & _EF_ARM_ABI_FLOAT_SOFT)
        and not elf["e_flags"] & _EF_ARM_ABI_FLOAT_HARD,
        beyond_armv6=_beyond_armv6(elf) if machine == "arm" else (),
        soname=soname,
        needed_libraries=needed,
        glibc=highest_version(filter(None, map(_glibc_of, versions))),
        symbol_versions=tuple(version for version in versions if not _glibc_of(version)),
    )


def highest_version(versions: Iterable[str]) -> str:
    """The highest of glibc versions like `2.36`; "" of none, and below all others."""
    return max(versions, key=_version_key, default="")


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split("."))) if version else ()


def _beyond_armv6(elf: ELFFile) -> tuple[str, ...]:
    """The features beyond ARMv6 with VFPv2 that a file's attributes declare.

    A linked file has the highest attributes of all its object files, so code that is selected
    at run time is included.
    """
    try:
        values = {attribute.tag: int(attribute.value) for attribute in _arm_attributes(elf)}
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a loader ignores the attributes and loads the file
        return ("attributes that cannot be read",)
    beyond = []
    if values.get("TAG_CPU_ARCH", 0) not in _UP_TO_ARMV6:
        beyond.append(_ARM_ARCHITECTURES.get(values["TAG_CPU_ARCH"], "another ARM architecture"))
    if values.get("TAG_THUMB_ISA_USE", 0) >= _THUMB_2:
        beyond.append("Thumb-2")
    if values.get("TAG_FP_ARCH", 0) > _VFPV2:
        beyond.append("VFPv3 or later")
    if values.get("TAG_ADVANCED_SIMD_ARCH", 0):
        beyond.append("NEON")
    return tuple(beyond)


def _arm_attributes(elf: ELFFile) -> Iterator[Attribute]:
    for section in elf.iter_sections():
        if not isinstance(section, ARMAttributesSection):
            continue
        for subsection in _each_once(section.iter_subsections()):
            if subsection["vendor_name"] == "aeabi":
                for part in _each_once(subsection.iter_subsubsections()):
                    yield from (
                        item for item in part.iter_attributes() if item.tag in _ARM_TAGS_READ
                    )


def _each_once(parts: Iterable[_Part]) -> Iterator[_Part]:
    """The parts of a section, until pyelftools comes to one again: it adds lengths to its start."""
    last = -1
    for part in parts:
        if part.offset <= last:
            return
        last = part.offset
        yield part


def _dynamic(elf: ELFFile) -> tuple[tuple[str, ...], str]:
    """DT_NEEDED and DT_SONAME; nothing for a static program."""
    needed: list[str] = []
    soname = ""
    for segment in elf.iter_segments("PT_DYNAMIC"):
        for tag in segment.iter_tags() if isinstance(segment, DynamicSegment) else ():
            if tag.entry.d_tag == "DT_NEEDED":
                needed.append(getattr(tag, "needed", ""))
            elif tag.entry.d_tag == "DT_SONAME":
                soname = getattr(tag, "soname", "")
    return tuple(needed), soname


def _symbol_versions(elf: ELFFile) -> Iterator[str]:
    """The symbol versions that it needs (the Linux Standard Base's .gnu.version_r)."""
    for section in elf.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            for _, symbols in section.iter_versions():
                yield from (str(symbol.name) for symbol in symbols)


def _glibc_of(version: str) -> str:
    """The glibc version of a symbol version: `2.17` for GLIBC_2.17; "" for other libraries."""
    known = _GLIBC_SYMBOLS.fullmatch(version)
    if known:
        return f"{int(known[1])}.{int(known[2])}"
    return "2.36" if version == _PACKED_RELOCATIONS else ""


class _BudgetedFile:
    """A file of which only a limited number of bytes can be read."""

    def __init__(self, file: IO[bytes], budget: ReadBudget) -> None:
        self._file = file
        self._budget = budget
        self._remaining_bytes = _MOST_READ_BYTES

    def read(self, size: int = -1) -> bytes:
        """Read up to size bytes; ValueError when the limit is reached."""
        data = self._file.read(
            self._remaining_bytes if size < 0 else min(size, self._remaining_bytes)
        )
        cost = max(len(data), 1)
        self._remaining_bytes -= cost
        self._budget.remaining_bytes -= cost
        if self._remaining_bytes <= 0:
            raise ValueError("the tables of this file are too large")
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move in the file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The current position."""
        return self._file.tell()
