"""Compatibility by tags, compared with the interpreters' own pip, and its rules."""

import json
import subprocess
from functools import cache

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag

from piwheels.errors import RejectedError
from piwheels.model import Target, WheelCompatibility
from piwheels.system.interpreters import probe_interpreter
from piwheels.wheel import tags
from piwheels.wheel.tags import PackagingRules, compatibility_of, make_target, position
from tests.requires import PYTHON_VERSIONS, find_python, skip_or_fail

RULES = PackagingRules()
ARCHS = ("armv6l", "armv7l", "aarch64", "i686", "x86_64", "riscv64")

PIP_TAGS = """
import json
from pip._internal.utils.compatibility_tags import get_supported
print(json.dumps([str(tag) for tag in get_supported()]))
"""


@cache
def make(
    minor: int = 13,
    *,
    abi: str = "",
    arch: str = "aarch64",
    glibc: str = "2.41",
    os: str = "trixie",
    implementation: str = "cp",
) -> Target:
    return make_target(
        python_full=f"3.{minor}.2",
        implementation=implementation,
        abi=abi or f"cp3{minor}",
        arch=arch,
        os=os,
        glibc=glibc,
    )


def covers(kind: str, target: Target, glibc: str = "") -> bool:
    return RULES.is_loadable(WheelCompatibility(tags=kind, glibc=glibc), target)


targets = st.builds(
    make,
    st.integers(9, 15),
    arch=st.sampled_from(ARCHS),
    glibc=st.sampled_from(["2.31", "2.36", "2.41"]),
)
glibcs = st.sampled_from(["", "2.4", "2.17", "2.28", "2.34", "2.36", "2.38", "2.41"])
platforms = st.builds(
    "{}_{}".format,
    st.sampled_from(
        ["linux", "manylinux1", "manylinux2010", "manylinux2014", "musllinux_1_2"]
        + [f"manylinux_2_{minor}" for minor in (4, 5, 17, 28, 35, 36, 39, 41)]
    ),
    st.sampled_from(ARCHS),
)
kinds = st.one_of(
    st.builds("cp3{0}-cp3{0}-{1}".format, st.integers(8, 15), platforms),
    st.builds("cp3{}-abi3-{}".format, st.integers(2, 15), platforms),
    st.builds("{}-none-{}".format, st.sampled_from(["py3", "py2.py3", "py2"]), platforms),
    st.sampled_from(["py3-none-any", "py2.py3-none-any", "py2-none-any", "py39-none-any"]),
)


@pytest.mark.parametrize("version", PYTHON_VERSIONS)
def test_coverage_matches_the_pip_of_each_interpreter(version: str) -> None:
    found = probe_interpreter(find_python(version))
    done = subprocess.run(
        [found.path, "-I", "-c", PIP_TAGS], capture_output=True, check=False, text=True
    )
    if done.returncode:
        skip_or_fail(f"Python {version} has no pip")
    accepted = {tag for tag in json.loads(done.stdout) if "-musllinux" not in tag}
    target = make_target(
        python_full=found.version,
        implementation=found.implementation,
        abi=found.abi,
        arch=found.arch,
        os=found.os,
        glibc=found.glibc,
    )
    assert {str(tag) for tag in tags._supported_tags(target)} == accepted
    assert all(covers(tag, target) for tag in accepted)


@given(kinds, targets, glibcs)
def test_a_covered_target_is_also_covered_with_a_newer_glibc(
    kind: str, target: Target, glibc: str
) -> None:
    newer = make(int(target.python.partition(".")[2]), arch=target.arch, glibc="2.99", os="later")
    if covers(kind, target, glibc):
        assert covers(kind, newer, glibc)


@given(kinds, targets, glibcs)
def test_a_wheel_covers_only_targets_of_its_machine_and_glibc(
    kind: str, target: Target, glibc: str
) -> None:
    if covers(kind, target, glibc):
        platform = kind.split("-")[2]
        assert platform == "any" or platform.endswith(f"_{target.arch}")
        assert not platform.startswith("musllinux")
        assert not glibc or int(glibc[2:]) <= int(target.glibc[2:])


@given(st.integers(2, 15), targets)
def test_abi3_covers_its_version_and_all_later_ones(minor: int, target: Target) -> None:
    expected = minor <= int(target.python.partition(".")[2])
    assert covers(f"cp3{minor}-abi3-linux_{target.arch}", target) is expected


@given(st.integers(0, 60), st.sampled_from(["aarch64", "x86_64"]), st.integers(17, 45))
def test_manylinux_covers_every_glibc_from_its_own(minor: int, arch: str, glibc: int) -> None:
    oldest = 5 if arch == "x86_64" else 17
    target = make(arch=arch, glibc=f"2.{glibc}")
    expected = oldest <= minor <= glibc
    assert covers(f"py3-none-manylinux_2_{minor}_{arch}", target) is expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("py3-none-any", True),
        ("py2.py3-none-any", True),
        ("py2-none-any", False),
        ("py313-none-any", True),
        ("py314-none-any", False),
        ("cp313-cp313-linux_aarch64", True),
        ("cp313-none-linux_aarch64", True),
        ("cp313-none-any", True),
        ("py3-none-linux_aarch64", True),
        ("cp312-cp312-linux_aarch64", False),
        ("cp312-cp313-linux_aarch64", False),
        ("cp313-cp313t-linux_aarch64", False),
        ("cp39-abi3-manylinux2014_aarch64", True),
        ("cp39-abi3-manylinux1_aarch64", False),
        ("cp39-abi3-manylinux_2_17_aarch64.manylinux2014_aarch64", True),
        ("cp39-abi3-manylinux_2_99_aarch64.linux_aarch64", True),
        ("cp39-abi3-musllinux_1_2_aarch64", False),
        ("pp310-pypy310_pp73-linux_aarch64", False),
        ("cp313-cp313-win_arm64", False),
        ("cp313-cp313-linux_armv7l", False),
        ("nonsense", False),
        ("", False),
    ],
)
def test_wheels_for_python_3_13_on_64_bit_arm(kind: str, expected: bool) -> None:
    assert covers(kind, make()) is expected


def test_the_free_threaded_build_accepts_its_own_abi_and_not_abi3() -> None:
    target = make(abi="cp313t")
    assert covers("cp313-cp313t-linux_aarch64", target)
    assert covers("py3-none-any", target)
    assert not covers("cp313-cp313-linux_aarch64", target)
    assert not covers("cp39-abi3-linux_aarch64", target)


def test_the_debug_build_also_accepts_the_plain_abi() -> None:
    target = make(abi="cp313d")
    assert covers("cp313-cp313d-linux_aarch64", target)
    assert covers("cp313-cp313-linux_aarch64", target)


def test_pypy_accepts_its_own_abi() -> None:
    target = make(10, abi="pypy310_pp73", implementation="pp")
    assert covers("pp310-pypy310_pp73-linux_aarch64", target)
    assert covers("pp3-none-any", target)
    assert not covers("cp310-cp310-linux_aarch64", target)


def test_manylinux_exists_on_32_bit_arm_from_armv7_on() -> None:
    seven, six = make(arch="armv7l"), make(arch="armv6l")
    assert covers("cp313-cp313-manylinux_2_31_armv7l", seven)
    assert not covers("cp313-cp313-manylinux_2_31_armv6l", six)
    assert covers("cp313-cp313-linux_armv6l", six)
    assert not covers("cp313-cp313-linux_armv6l", seven)


def test_a_linux_wheel_needs_the_glibc_of_its_elf_files() -> None:
    bookworm, trixie = make(glibc="2.36", os="bookworm"), make()
    assert covers("cp313-cp313-linux_aarch64", bookworm, glibc="2.34")
    assert not covers("cp313-cp313-linux_aarch64", bookworm, glibc="2.38")
    assert covers("cp313-cp313-linux_aarch64", trixie, glibc="2.38")
    assert covers("cp313-cp313-linux_aarch64", trixie, glibc="2.2.5")


def test_a_manylinux_tag_with_a_wrong_glibc_covers_nothing_older() -> None:
    bookworm = make(glibc="2.36", os="bookworm")
    assert not covers("cp313-cp313-manylinux_2_17_aarch64", bookworm, glibc="2.38")


def test_another_c_library_accepts_nothing_that_needs_glibc() -> None:
    target = make(glibc="", os="alpine")
    assert covers("py3-none-any", target)
    assert not covers("cp313-cp313-manylinux_2_17_aarch64", target)
    assert not covers("cp313-cp313-linux_aarch64", target, glibc="2.17")


@pytest.mark.parametrize(
    ("specifier", "expected"),
    [
        ("", True),
        (">=3.9", True),
        (">=3.14", False),
        (">=3.13.3", False),
        ("<4", True),
        ("!=3.13.*", False),
        ("~=3.8", True),
        ("==3.13.2", True),
        (">=3.14.0a1", False),
        (">=2.7, !=3.0.*, !=3.1.*", True),
        (">=3.6.*", True),  # invalid, so it allows all
        ("python 3", True),
    ],
)
def test_requires_python_is_compared_with_the_full_version(specifier: str, expected: bool) -> None:
    assert RULES.allows_python(specifier, make()) is expected


def test_a_pre_release_of_python_is_allowed_like_its_version() -> None:
    early = msgspec.structs.replace(make(), python_full="3.15.0a1", python="3.15")
    assert RULES.allows_python(">=3.9", early)
    assert not RULES.allows_python("<3.14", early)


@given(st.integers(9, 15), st.integers(6, 16), st.sampled_from([">=", "<", "!=", "~=", ">"]))
def test_requires_python_matches_packaging(minor: int, bound: int, operator: str) -> None:
    target = make(minor)
    expected = SpecifierSet(f"{operator}3.{bound}").contains(target.python_full, prereleases=True)
    assert RULES.allows_python(f"{operator} 3.{bound}", target) is expected


def test_targets_are_sorted_numerically() -> None:
    ordered = [
        make(9, glibc="2.36", os="bookworm", arch="armv7l"),
        make(9, glibc="2.36", os="bookworm", arch="x86_64"),
        make(9, arch="armv7l"),
        make(10),
        make(11),
        make(13, glibc="2.36", os="bookworm"),
        make(13),
        make(13, abi="cp313t"),
        make(13, abi="cp313d"),
        make(14),
    ]
    assert sorted(set(ordered), key=position) == ordered


@given(targets, targets)
def test_a_position_is_a_small_number_that_starts_with_the_python_version(
    one: Target, two: Target
) -> None:
    assert 0 < position(one) < 2**31
    if one.python != two.python:
        minors = [int(target.python.partition(".")[2]) for target in (one, two)]
        assert (position(one) < position(two)) is (minors[0] < minors[1])


def test_a_target_is_named_by_abi_system_and_machine() -> None:
    target = make(arch="armv7l")
    assert target.name == "cp313-trixie-armv7l"
    assert target.python == "3.13"
    assert target.python_full == "3.13.2"


@pytest.mark.parametrize(
    "wrong",
    [
        {"abi": "../etc"},
        {"abi": ""},
        {"arch": "x86 64"},
        {"os": "tri/xie"},
        {"glibc": "newest"},
        {"python_full": "three"},
        {"implementation": "C Python"},
    ],
)
def test_an_invalid_target_is_rejected(wrong: dict[str, str]) -> None:
    facts = {
        "python_full": "3.13.2",
        "implementation": "cp",
        "abi": "cp313",
        "arch": "aarch64",
        "os": "trixie",
        "glibc": "2.41",
    }
    with pytest.raises(RejectedError):
        make_target(**{**facts, **wrong})


def test_the_kind_of_a_wheel_is_the_tag_part_of_its_name() -> None:
    assert compatibility_of("demo-1.0-py2.py3-none-any.whl") == WheelCompatibility(
        tags="py2.py3-none-any"
    )
    kind = compatibility_of("demo-1.0-2-cp39-abi3-linux_armv7l.whl", "2.31")
    assert kind == WheelCompatibility(tags="cp39-abi3-linux_armv7l", glibc="2.31")
    assert kind.identifier == "cp39-abi3-linux_armv7l glibc2.31"


@pytest.mark.parametrize("name", ["demo-1.0.tar.gz", "demo.whl", "demo-one-py3-none-any.whl", ""])
def test_an_invalid_wheel_name_has_no_kind(name: str) -> None:
    with pytest.raises(RejectedError):
        compatibility_of(name)


def test_the_tags_of_a_target_are_computed_once() -> None:
    tags._supported_tags.cache_clear()
    for minor in range(9, 14):
        covers(f"cp3{minor}-cp3{minor}-linux_aarch64", make(12, glibc="2.40"))
    assert tags._supported_tags.cache_info().misses == 1
    assert Tag("cp312", "abi3", "linux_aarch64") in tags._supported_tags(make(12, glibc="2.40"))
