"""What is read of ELF files, and that no file, however broken, raises or takes long."""

import io
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from piwheels.wheel.elf import highest_version, read
from tests.requires import find_program, requires_program
from tests.wheel.factories import EM_386, EM_AARCH64, EM_ARM, EM_BPF, EM_X86_64, ET_REL, elf

SOFT_FLOAT, HARD_FLOAT = 0x05000200, 0x05000400


def test_machine_libraries_and_glibc_of_a_library_are_read() -> None:
    content = elf(
        EM_AARCH64,
        needed=("libssl.so.3", "libc.so.6"),
        soname="libdemo.so.1",
        versions=("GLIBC_2.17", "GLIBC_2.4", "GLIBC_PRIVATE", "GLIBCXX_3.4.30"),
    )
    facts = read(io.BytesIO(content))
    assert facts is not None
    assert facts.machine == "aarch64"
    assert facts.needed_libraries == ("libssl.so.3", "libc.so.6")
    assert facts.soname == "libdemo.so.1"
    assert facts.glibc == "2.17"


def test_versions_are_compared_as_numbers() -> None:
    facts = read(io.BytesIO(elf(versions=("GLIBC_2.9", "GLIBC_2.34", "GLIBC_2.3.4"))))
    assert facts is not None
    assert facts.glibc == "2.34"
    assert highest_version(["2.9", "", "2.10"]) == "2.10"
    assert highest_version([]) == ""


def test_packed_relative_relocations_need_the_glibc_that_loads_them() -> None:
    facts = read(io.BytesIO(elf(versions=("GLIBC_2.2.5", "GLIBC_ABI_DT_RELR"))))
    assert facts is not None
    assert facts.glibc == "2.36"


@pytest.mark.parametrize(
    ("content", "runs", "does_not"),
    [
        (elf(EM_X86_64), {"x86_64"}, {"i686", "aarch64"}),
        (elf(EM_386, bits=32), {"i686"}, {"x86_64"}),
        (elf(EM_AARCH64), {"aarch64"}, {"armv7l", "x86_64"}),
        (elf(EM_ARM, bits=32, flags=HARD_FLOAT), {"armv6l", "armv7l"}, {"aarch64"}),
        (elf(EM_ARM, bits=32), {"armv6l", "armv7l"}, {"aarch64"}),
        (elf(EM_ARM, bits=32, flags=SOFT_FLOAT), set(), {"armv6l", "armv7l", "arm"}),
        (elf(EM_X86_64, bits=32), set(), {"x86_64", "i686"}),
    ],
)
def test_a_file_loads_on_its_own_machine(
    content: bytes, runs: set[str], does_not: set[str]
) -> None:
    facts = read(io.BytesIO(content))
    assert facts is not None
    assert {arch for arch in runs | does_not if facts.runs_on(arch)} == runs


CPU_ARCH, THUMB_ISA, FP_ARCH, SIMD_ARCH = 6, 9, 10, 12


def arm(attributes: dict[int, int] | bytes | None) -> bytes:
    return elf(EM_ARM, bits=32, flags=HARD_FLOAT, attributes=attributes)


@pytest.mark.parametrize(
    ("attributes", "beyond"),
    [
        (None, ()),
        ({}, ()),
        ({CPU_ARCH: 6, THUMB_ISA: 1, FP_ARCH: 2}, ()),
        ({CPU_ARCH: 7, FP_ARCH: 2}, ()),
        ({CPU_ARCH: 9, FP_ARCH: 2}, ()),
        ({CPU_ARCH: 8}, ("ARMv6T2",)),
        ({CPU_ARCH: 10, THUMB_ISA: 2, FP_ARCH: 4}, ("ARMv7", "Thumb-2", "VFPv3 or later")),
        ({CPU_ARCH: 6, FP_ARCH: 3, SIMD_ARCH: 1}, ("VFPv3 or later", "NEON")),
        ({CPU_ARCH: 14}, ("ARMv8",)),
        ({CPU_ARCH: 11}, ("another ARM architecture",)),
        (b"A\x09\0\0\0aeabi", ("attributes that cannot be read",)),
    ],
)
def test_requirements_that_armv6_lacks_are_read(
    attributes: dict[int, int] | bytes | None, beyond: tuple[str, ...]
) -> None:
    facts = read(io.BytesIO(arm(attributes)))
    assert facts is not None
    assert facts.beyond_armv6 == beyond
    assert facts.runs_on("armv6l") is not bool(beyond)
    assert facts.runs_on("armv7l")


@requires_program("arm-linux-gnueabihf-gcc")
@pytest.mark.parametrize(
    ("flags", "runs"),
    [
        ("-march=armv6 -mfpu=vfp -mfloat-abi=hard -marm", True),
        ("-march=armv7-a+fp -mfloat-abi=hard", False),
        ("-march=armv6 -mfpu=neon -mfloat-abi=hard -marm", False),
    ],
)
def test_output_of_a_real_arm_compiler_is_read(tmp_path: Path, flags: str, runs: bool) -> None:
    source = tmp_path / "demo.c"
    source.write_text("float demo(float a, float b) { return a * b + 1.0f; }")
    library = tmp_path / "demo.so"
    # Without the start files: those of Debian are for ARMv7, and what is linked is so, too.
    compiler = [find_program("arm-linux-gnueabihf-gcc"), "-shared", "-fPIC", "-nostdlib"]
    subprocess.run([*compiler, *flags.split(), "-o", library, source], check=True)
    for _ in range(2):
        with library.open("rb") as file:
            facts = read(file)
        assert facts is not None
        assert facts.runs_on("armv6l") is runs
        assert facts.runs_on("armv7l")
        subprocess.run([find_program("arm-linux-gnueabihf-strip"), library], check=True)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x7fELF", b"\x7fELF test data", elf()[:80], elf(EM_BPF), elf(kind=ET_REL), b"MZ\0\0"],
)
def test_files_that_no_machine_loads_are_ignored(content: bytes) -> None:
    assert read(io.BytesIO(content)) is None


def test_the_running_interpreter_is_read() -> None:
    with Path(sys.executable).open("rb") as file:
        facts = read(file)
    assert facts is not None
    assert "libc.so.6" in facts.needed_libraries
    assert facts.glibc


def test_an_extension_module_is_read() -> None:
    library = next(Path(msgspec.__file__).parent.glob("_core.*.so"))
    with library.open("rb") as file:
        facts = read(file)
    assert facts is not None
    assert "libc.so.6" in facts.needed_libraries


def test_an_endless_table_is_rejected() -> None:
    assert read(io.BytesIO(elf(verneeds=2**32 - 1))) is None


@given(st.lists(st.tuples(st.integers(4, len(elf()) - 1), st.integers(0, 255)), max_size=8))
def test_no_changed_byte_raises_an_exception(changes: list[tuple[int, int]]) -> None:
    content = bytearray(elf())
    for place, value in changes:
        content[place] = value
    read(io.BytesIO(content))
