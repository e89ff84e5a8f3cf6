"""Which manylinux tag a wheel can carry, and the wheel that carries it."""

import zipfile
from pathlib import Path

import pytest

from piwheels.wheel.inspect import (
    add_build_number,
    inspect_wheel,
    manylinux_platform,
    set_platform_tag,
)
from piwheels.wheel.tags import make_target
from tests.wheel.factories import EM_AARCH64, EM_ARM, elf, make_wheel

_HARD_FLOAT = 0x05000400


def platform(
    folder: Path, *versions: str, needed: tuple[str, ...] = ("libc.so.6",), glibc: str = "2.41"
) -> str | None:
    library = elf(EM_AARCH64, needed=needed, versions=versions)
    path = make_wheel(folder, tags="cp313-cp313-linux_aarch64", files={"demo.so": library})
    target = make_target(
        python_full="3.13.0",
        implementation="cp",
        abi="cp313",
        arch="aarch64",
        os="debian",
        glibc=glibc,
    )
    return manylinux_platform(inspect_wheel(path), target)


@pytest.mark.parametrize(
    ("versions", "tag"),
    [
        (("GLIBC_2.17", "GLIBC_2.34"), "manylinux_2_34_aarch64"),
        (("GLIBC_2.9",), "manylinux_2_17_aarch64"),
        (("GLIBC_2.17", "GLIBC_ABI_DT_RELR"), "manylinux_2_36_aarch64"),
        (("GLIBC_2.17", "GLIBCXX_3.4.19"), "manylinux_2_17_aarch64"),
        (("GLIBC_2.17", "GLIBCXX_3.4.30"), "manylinux_2_35_aarch64"),
        (("GLIBC_2.38", "GLIBCXX_3.4.30", "CXXABI_1.3.9"), "manylinux_2_38_aarch64"),
        (("GLIBC_2.17", "GLIBCXX_3.4.32"), "manylinux_2_39_aarch64"),
        (("GLIBC_2.17", "GLIBCXX_3.4.99"), None),
        (("GLIBC_2.17", "GLIBC_PRIVATE"), None),
        (("GLIBC_2.17", "OPENSSL_3.0.0"), None),
        (("CXXABI_1.3.7",), "manylinux_2_17_aarch64"),
        ((), None),  # nothing that a system loads
    ],
)
def test_the_tag_names_the_oldest_glibc_that_has_all_symbols(
    tmp_path: Path, versions: tuple[str, ...], tag: str | None
) -> None:
    assert platform(tmp_path, *versions) == tag


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("libstdc++.so.6", True),
        ("ld-linux-aarch64.so.1", True),
        ("libz.so.1", True),
        ("libopenblas.so.0", False),
        ("libpython3.13.so.1.0", False),
        ("libc.musl-aarch64.so.1", False),
    ],
)
def test_a_library_that_not_every_system_has_keeps_the_tag(
    tmp_path: Path, library: str, allowed: bool
) -> None:
    tag = platform(tmp_path, "GLIBC_2.17", needed=("libc.so.6", library))
    assert tag == ("manylinux_2_17_aarch64" if allowed else None)


def test_a_library_within_the_wheel_is_not_external(tmp_path: Path) -> None:
    files = {
        "demo.so": elf(EM_AARCH64, needed=("libc.so.6", "libown.so.1")),
        "demo.libs/libown.so.1": elf(EM_AARCH64),
    }
    path = make_wheel(tmp_path, tags="cp313-cp313-linux_aarch64", files=files)
    assert manylinux_platform(inspect_wheel(path)) == "manylinux_2_17_aarch64"


def test_a_tag_that_its_own_target_does_not_accept_is_not_used(tmp_path: Path) -> None:
    assert platform(tmp_path, "GLIBC_2.17", "GLIBCXX_3.4.32", glibc="2.38") is None


@pytest.mark.parametrize(("arch", "tag"), [("armv7l", "manylinux_2_17_armv7l"), ("armv6l", None)])
def test_armv6_has_no_manylinux_tags(tmp_path: Path, arch: str, tag: str | None) -> None:
    library = elf(EM_ARM, bits=32, flags=_HARD_FLOAT)
    path = make_wheel(tmp_path, tags=f"cp313-cp313-linux_{arch}", files={"demo.so": library})
    assert manylinux_platform(inspect_wheel(path)) == tag


@pytest.mark.parametrize("tags", ["py3-none-any", "cp313-cp313-linux_aarch64"])
def test_a_wheel_without_compiled_code_keeps_its_tag(tmp_path: Path, tags: str) -> None:
    assert manylinux_platform(inspect_wheel(make_wheel(tmp_path, tags=tags))) is None


def test_name_wheel_and_record_match_and_the_bytes_are_deterministic(
    tmp_path: Path,
) -> None:
    library = elf(EM_AARCH64)
    tags = "cp313.cp312-abi3-linux_aarch64"
    path = make_wheel(tmp_path, tags=tags, build="3", files={"demo.so": library})
    made = set_platform_tag(path, "manylinux_2_17_aarch64")
    assert made.name == "demo-1.0-3-cp312.cp313-abi3-manylinux_2_17_aarch64.whl"
    facts = inspect_wheel(made)  # WHEEL against the name, RECORD against the members
    assert (facts.compatibility.glibc, facts.metadata) == ("2.17", inspect_wheel(path).metadata)
    with zipfile.ZipFile(made) as archive:
        message = archive.read("demo-1.0.dist-info/WHEEL").decode()
    assert "linux_aarch64" not in message.replace("manylinux_2_17_aarch64", "")
    assert set_platform_tag(path, "manylinux_2_17_aarch64").read_bytes() == made.read_bytes()
    assert inspect_wheel(add_build_number(made, 4)).compatibility == facts.compatibility
