"""Inspection of untrusted wheels: valid ones give their properties, others one clear error."""

import base64
import contextlib
import hashlib
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piwheels.errors import RejectedError
from piwheels.model import (
    Job,
    ProjectMetadata,
    Sdist,
    Target,
    WheelCompatibility,
    WheelFile,
    projection,
)
from piwheels.wheel.inspect import WheelInfo, add_build_number, check_matches_job, inspect_wheel
from piwheels.wheel.tags import make_target
from tests.requires import find_program, skip_or_fail
from tests.wheel.factories import (
    DATE,
    EM_AARCH64,
    EM_ARM,
    EM_BPF,
    EM_X86_64,
    elf,
    make_wheel,
    record_line,
    wheel_members,
    with_record,
    write_zip,
)

INFO = "demo-1.0.dist-info"
PURE = "demo-1.0-py3-none-any.whl"
NATIVE = "cp313-cp313-linux_aarch64"

MANY_TAGS = b"".join(b"Tag: py3-none-l%d\n" % number for number in range(600))

Members = dict[str, bytes]


def native(content: bytes, tags: str = NATIVE, name: str = "demo/_core.so") -> dict[str, bytes]:
    return wheel_members(tags=tags, files={name: content})


def rejection_of(path: Path) -> str:
    with pytest.raises(RejectedError) as error:
        inspect_wheel(path)
    message = str(error.value)
    assert message.startswith(f"{path.name}: ")
    assert message.isprintable()
    return message


# --- sound wheels ---


def test_a_pure_wheel_has_its_facts(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, name="Demo_Thing", version="1.0.0", requires_python=">=3.9")
    facts = inspect_wheel(path)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        metadata = archive.read("Demo_Thing-1.0.0.dist-info/METADATA")
    assert facts == WheelInfo(
        filename="Demo_Thing-1.0.0-py3-none-any.whl",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        project="demo-thing",
        version="1.0.0",
        compatibility=WheelCompatibility(tags="py3-none-any"),
        requires_python=">=3.9",
        metadata=metadata,
        about=ProjectMetadata(name="Demo_Thing"),
        elf_members=(),
        needed_libraries=(),
        unreadable_elf=(),
    )
    wheel = projection(WheelFile, facts, debian_packages=("libssl3",))
    assert wheel.metadata_sha256 == hashlib.sha256(metadata).hexdigest()
    assert wheel.debian_packages == ("libssl3",)
    assert (wheel.sha256, wheel.size_bytes) == (facts.sha256, facts.size_bytes)


def test_a_native_wheel_has_its_glibc_and_external_libraries(tmp_path: Path) -> None:
    files = {
        "demo/_core.so": elf(
            EM_AARCH64,
            needed=("libshipped-1a2b.so.3", "libssl.so.3", "libnamed.so.1", "libc.so.6"),
            versions=("GLIBC_2.17", "GLIBC_2.34"),
        ),
        "demo.libs/libshipped-1a2b.so.3": elf(EM_AARCH64, needed=("libz.so.1",)),
        "demo.libs/other.so": elf(EM_AARCH64, soname="libnamed.so.1", needed=()),
    }
    facts = inspect_wheel(make_wheel(tmp_path, tags=NATIVE, files=files))
    assert facts.compatibility == WheelCompatibility(tags=NATIVE, glibc="2.34")
    assert facts.needed_libraries == ("libc.so.6", "libssl.so.3", "libz.so.1")
    assert {item.name for item in facts.elf_members} == files.keys()


def test_files_that_only_look_like_elf_are_reported_and_not_counted(tmp_path: Path) -> None:
    files = {"demo/sample.bin": b"\x7fELF cut off", "demo/filter.o": elf(EM_BPF)}
    facts = inspect_wheel(make_wheel(tmp_path, files=files))
    assert facts.elf_members == ()
    assert facts.unreadable_elf == ("demo/sample.bin", "demo/filter.o")


def test_an_elf_file_larger_than_its_buffer_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piwheels.wheel.validate._ELF_IN_MEMORY_BYTES", 100)
    members = native(elf(EM_AARCH64) + bytes(1000))
    facts = inspect_wheel(write_zip(tmp_path / f"demo-1.0-{NATIVE}.whl", members))
    assert len(facts.elf_members) == 1


def test_the_dist_info_directory_may_have_another_spelling_than_the_file_name(
    tmp_path: Path,
) -> None:
    members = wheel_members(name="zope_interface", version="5.0")
    facts = inspect_wheel(write_zip(tmp_path / "zope.interface-5.0.0-py3-none-any.whl", members))
    assert (facts.project, facts.version) == ("zope-interface", "5.0.0")


def test_signatures_directories_and_longer_hashes_are_accepted(tmp_path: Path) -> None:
    members = wheel_members()
    content = members["demo/__init__.py"]
    digest = base64.urlsafe_b64encode(hashlib.sha512(content).digest()).rstrip(b"=").decode()
    members[f"{INFO}/RECORD"] = members[f"{INFO}/RECORD"].replace(
        record_line("demo/__init__.py", content).encode(),
        f"demo/__init__.py,sha512={digest},\r\n".encode(),
    )
    members[f"{INFO}/RECORD.jws"] = b"{}"
    members["demo/"] = b""
    assert inspect_wheel(write_zip(tmp_path / PURE, members)).unreadable_elf == ()


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Wheels of real releases: a C extension, an abi3 one, a pure one."""
    folder = tmp_path_factory.mktemp("released")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder)]
    done = subprocess.run(
        [*command, "markupsafe", "psutil", "zope.interface", "idna"],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        skip_or_fail("no index to download releases from")
    return sorted(folder.iterdir())


@pytest.mark.farm
def test_wheels_of_real_releases_are_valid(released: list[Path]) -> None:
    facts = {item.project: item for item in map(inspect_wheel, released)}
    assert facts.keys() == {"idna", "markupsafe", "psutil", "zope-interface"}
    assert "-abi3-" in facts["psutil"].compatibility.tags
    assert "libc.so.6" in facts["markupsafe"].needed_libraries
    assert facts["markupsafe"].compatibility.glibc
    assert facts["idna"].compatibility.glibc == ""


# --- wheels that contradict themselves ---


@pytest.mark.parametrize(
    "name", ["demo.whl", "demo-1.0.zip", "demo-x-py3-none-any.whl", "demo-1.0-x-py3-none-any.whl"]
)
def test_a_file_with_another_name_is_rejected(tmp_path: Path, name: str) -> None:
    rejection_of(write_zip(tmp_path / name, wheel_members()))


def test_a_name_too_long_for_its_metadata_is_rejected(tmp_path: Path) -> None:
    name = "d" * 230
    members = wheel_members(name=name)
    path = write_zip(tmp_path / f"{name}-1.0-py3-none-any.whl", members)
    assert "the name is longer than" in rejection_of(path)


def without(suffix: str) -> Callable[[Members], None]:
    def change(members: Members) -> None:
        for name in [name for name in members if name.endswith(suffix)]:
            del members[name]

    return change


def in_info(file: str, old: bytes, new: bytes) -> Callable[[Members], None]:
    def change(members: Members) -> None:
        content = members[f"{INFO}/{file}"]
        assert old in content
        members[f"{INFO}/{file}"] = content.replace(old, new)

    return change


def adding(name: str, content: bytes = b"x") -> Callable[[Members], None]:
    def change(members: Members) -> None:
        members[name] = content

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without(""), "one .dist-info directory and has 0"),
        (adding("other-1.0.dist-info/METADATA"), "directory and has 2"),
        (without("/METADATA"), "METADATA is missing"),
        (without("/WHEEL"), "WHEEL is missing"),
        (in_info("WHEEL", b"Version: 1.0", b"Version: 2.0"), "Wheel-Version '2.0'"),
        (in_info("WHEEL", b"Wheel-Version: 1.0\n", b""), "Wheel-Version ''"),
        (in_info("WHEEL", b"true", b"maybe"), "Root-Is-Purelib"),
        (in_info("WHEEL", b"Tag:", b"Build: 1\nTag:"), "Build '1'"),
        (in_info("WHEEL", b"none-any", b"none-linux_x86_64"), "py3-none-linux_x86_64"),
        (in_info("WHEEL", b"Tag: py3-none-any\n", b""), "differ from the file name: none"),
        (in_info("WHEEL", b"py3-none-any", b"py3"), "'py3' is not a tag"),
        (in_info("WHEEL", b"Tag: ", b"Tag: " + b"a." * 9000), "stands for more than 500 tags"),
        (in_info("WHEEL", b"Root", b"Root-Is-Purelib: false\nRoot"), "Root-Is-Purelib 2 times"),
        (in_info("WHEEL", b"Wheel", bytes(2**21) + b"Wheel"), "at most 65536 are accepted"),
        (in_info("METADATA", b"Name: demo", b"Name: other"), "for other 1.0"),
        (in_info("METADATA", b"Version: 1.0", b"Version: 2.0"), "for demo 2.0"),
        (in_info("METADATA", b"\nVersion: 1.0", b""), "for demo ,"),
        (in_info("METADATA", b"\nName", b"\nName: demo\nName"), "more than one name"),
        (in_info("METADATA", b"Name: demo", b"Name: de\x1b[2Jmo"), "for de?[2Jmo"),
        (in_info("METADATA", b"\nName", b"\nRequires-Python: >3\0\nName"), "invalid Requires"),
        (
            in_info("METADATA", b"\nName", b"\nRequires-Python: >" + b"3" * 999 + b"\nName"),
            "invalid Requires",
        ),
        (
            in_info("METADATA", b"\nName", b"\nRequires-Python: >3\nRequires-Python: >2\nName"),
            "more than one requires-python",
        ),
        (in_info("WHEEL", b"Tag:", MANY_TAGS + b"Tag:"), "lists more than 500 tags"),
        (in_info("METADATA", b"Name:", b"X: 1\n" * 60_000 + b"Name:"), "50000 lines"),
        (in_info("METADATA", b"Name:", b"X:" + b"1" * 2**22 + b"\nName:"), "4194304 bytes"),
        (in_info("METADATA", b"Name: demo", b"Name: d\xe9mo"), "METADATA is for ?"),
    ],
)
def test_a_wheel_that_contradicts_its_name_is_rejected(
    tmp_path: Path, change: Callable[[Members], None], reason: str
) -> None:
    members = wheel_members()
    change(members)
    if f"{INFO}/RECORD" in members:
        members = with_record(members)
    assert reason in rejection_of(write_zip(tmp_path / PURE, members))


@pytest.mark.parametrize("folder", ["other-1.0", "demo-2.0", "demo", "demo-1.0-1"])
def test_the_dist_info_of_another_release_is_rejected(tmp_path: Path, folder: str) -> None:
    members = {
        name.replace("demo-1.0", folder): content for name, content in wheel_members().items()
    }
    assert "is not the .dist-info directory of demo 1.0" in rejection_of(
        write_zip(tmp_path / PURE, members)
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without("/RECORD"), "RECORD is missing"),
        (adding("demo/more.py"), "demo/more.py is not in RECORD"),
        (without("__init__.py"), "in RECORD and not in the wheel"),
        (
            adding("demo/__init__.py", b"y = 2\n"),
            "the hash of demo/__init__.py differs from RECORD",
        ),
        (in_info("RECORD", b",6\n", b",7\n"), "has 6 bytes, but 7"),
        (in_info("RECORD", b",6\n", b",many\n"), "RECORD is not readable"),
        (in_info("RECORD", b"sha256=", b"md5="), "no sha256"),
        (in_info("RECORD", b"sha256=", b""), "no sha256"),
        (in_info("RECORD", b"sha256=", b"sha256=!"), "no readable hash"),
        (in_info("RECORD", b"demo/", b"x\n/demo/"), "RECORD is not readable"),
        (in_info("RECORD", b"demo/", b"\xff"), "RECORD is not readable"),
        (in_info("RECORD", b"demo/", b'"'), "RECORD is not readable"),
        (in_info("RECORD", b"demo/__init__.py", f"{INFO}/WHEEL".encode()), "lists"),
        (in_info("RECORD", b"demo/", b"../demo/"), "in RECORD"),
    ],
)
def test_a_record_that_does_not_match_is_rejected(
    tmp_path: Path, change: Callable[[Members], None], reason: str
) -> None:
    members = wheel_members()
    change(members)
    assert reason in rejection_of(write_zip(tmp_path / PURE, members))


def test_metadata_of_many_fields_is_read(tmp_path: Path) -> None:
    fields = "".join(f"X-Field-{number}: 1\n" for number in range(45_000)).encode()
    members = wheel_members()
    in_info("METADATA", b"Name:", fields + b"Name:")(members)
    path = write_zip(tmp_path / PURE, with_record(members))
    assert inspect_wheel(path).project == "demo"


def test_an_elf_file_for_another_machine_than_the_tag_is_rejected(tmp_path: Path) -> None:
    members = native(elf(EM_X86_64))
    message = rejection_of(write_zip(tmp_path / f"demo-1.0-{NATIVE}.whl", members))
    assert "demo/_core.so is for x86_64, but the file name is for linux_aarch64" in message


def test_a_wheel_with_too_many_elf_files_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piwheels.wheel.elf._MOST_READ_BYTES", 1 << 16)
    monkeypatch.setattr("piwheels.wheel.elf._MOST_READ_OF_WHEEL_BYTES", 1 << 18)
    endless = elf(EM_AARCH64, verneeds=2**32 - 1)
    few, many = ({f"demo/{n}.so": endless for n in range(count)} for count in (3, 20))
    assert len(inspect_wheel(make_wheel(tmp_path, tags=NATIVE, files=few)).unreadable_elf) == 3
    assert "tables of its ELF files are too large" in rejection_of(
        make_wheel(tmp_path, tags=NATIVE, files=many)
    )


def test_an_elf_file_without_hard_float_is_rejected_on_32_bit_arm(tmp_path: Path) -> None:
    tags = "cp313-cp313-linux_armv7l"
    members = native(elf(EM_ARM, bits=32, flags=0x05000200), tags)
    message = rejection_of(write_zip(tmp_path / f"demo-1.0-{tags}.whl", members))
    assert "is for arm without hard float" in message


def test_an_armv7_elf_file_is_rejected_in_a_wheel_for_armv6(tmp_path: Path) -> None:
    tags = "cp313-cp313-linux_armv6l"
    seven = elf(EM_ARM, bits=32, flags=0x05000400, attributes={6: 10, 10: 4, 12: 1})
    message = rejection_of(write_zip(tmp_path / f"demo-1.0-{tags}.whl", native(seven, tags)))
    assert (
        "demo/_core.so is for arm with ARMv7, VFPv3 or later, NEON, but the file name is for "
        "linux_armv6l" in message
    )
    six = elf(EM_ARM, bits=32, flags=0x05000400, attributes={6: 6, 10: 2})
    assert inspect_wheel(make_wheel(tmp_path, tags=tags, files={"demo/_core.so": six}))


@pytest.mark.parametrize("machine", [EM_X86_64, EM_AARCH64])
def test_a_wheel_for_any_machine_contains_no_elf_file(tmp_path: Path, machine: int) -> None:
    members = wheel_members(files={"demo/tool": elf(machine)})
    assert "the file name is for any" in rejection_of(write_zip(tmp_path / PURE, members))


# --- wheels against the job ---


def job(project: str = "demo", version: str = "1.0") -> Job:
    return Job(
        build_id=1,
        project=project,
        version=version,
        target="cp313-bookworm-aarch64",
        sdist=Sdist(filename="demo-1.0.tar.gz", url="https://example.org/d", sha256="0" * 64),
        released_at=datetime(2024, 1, 1, tzinfo=UTC),
    )


TARGET = make_target(
    python_full="3.13.2",
    implementation="cp",
    abi="cp313",
    arch="aarch64",
    os="bookworm",
    glibc="2.36",
)


def check_made(folder: Path, wanted: Job, target: Target = TARGET, **what: Any) -> str:
    """The reason for which a wheel made so is refused, "" for none."""
    facts = inspect_wheel(make_wheel(folder, **what))
    try:
        check_matches_job(facts, wanted, target)
    except RejectedError as error:
        return str(error)
    return ""


def test_the_wheel_of_the_job_is_accepted(tmp_path: Path) -> None:
    assert check_made(tmp_path, job(version="1")) == ""
    library = {"demo/_core.so": elf(EM_AARCH64)}
    assert check_made(tmp_path, job(), tags=NATIVE, files=library) == ""
    assert check_made(tmp_path, job("demo-thing"), name="Demo_Thing") == ""


@pytest.mark.parametrize(
    ("wanted", "what", "reason"),
    [
        (job("other"), {}, "the job is other 1.0"),
        (job(version="1.1"), {}, "the job is demo 1.1"),
        (job(), {"version": "1.0+local"}, "the job is demo 1.0"),
        (job(), {"tags": "cp312-cp312-linux_aarch64"}, "do not install on cp313-bookworm-aarch64"),
        (job(), {"tags": "cp313-cp313-linux_x86_64"}, "do not install on"),
        (job(), {"tags": "py2-none-any"}, "do not install on"),
        (job(), {"requires_python": "<3.13"}, "requires Python <3.13, and .* is 3.13"),
        (
            job(),
            {"tags": NATIVE, "files": {"demo.so": elf(EM_AARCH64, versions=("GLIBC_2.38",))}},
            "needs glibc 2.38, and cp313-bookworm-aarch64 has 2.36",
        ),
        (
            job(),
            {
                "tags": "cp313-cp313-linux_aarch64.linux_x86_64",
                "files": {"demo.so": elf(EM_X86_64)},
            },
            "demo.so is for x86_64, not for aarch64",
        ),
    ],
)
def test_a_wheel_of_another_job_is_rejected(
    tmp_path: Path, wanted: Job, what: dict[str, Any], reason: str
) -> None:
    assert re.search(reason, check_made(tmp_path, wanted, **what))


# --- build numbers ---


def test_a_build_number_is_written_to_name_wheel_and_record(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, name="Demo", tags="py3.py2-none-any")
    before = inspect_wheel(path)
    numbered = add_build_number(path, 7)
    after = inspect_wheel(numbered)
    assert numbered.name == "Demo-1.0-7-py2.py3-none-any.whl"
    assert (after.project, after.version) == (before.project, before.version)
    assert after.metadata == before.metadata
    with zipfile.ZipFile(numbered) as archive:
        assert b"Build: 7" in archive.read("Demo-1.0.dist-info/WHEEL")
    assert path.exists()
    assert [found.name for found in tmp_path.iterdir() if found.name.startswith(".")] == []


def test_a_build_number_replaces_an_older_one(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, build="3")
    assert inspect_wheel(add_build_number(path, 4)).filename == "demo-1.0-4-py3-none-any.whl"


def test_the_same_wheel_gives_the_same_bytes(tmp_path: Path) -> None:
    path = make_wheel(tmp_path)
    first = add_build_number(path, 1).read_bytes()
    with zipfile.ZipFile(add_build_number(path, 1)) as archive:
        assert {item.date_time for item in archive.infolist()} == {DATE}
    assert add_build_number(path, 1).read_bytes() == first
    assert add_build_number(path, 2).read_bytes() != first


def test_a_directory_spelled_differently_than_the_file_name_gets_a_build_number(
    tmp_path: Path,
) -> None:
    members = wheel_members(name="zope_interface", version="5.0")
    path = write_zip(tmp_path / "zope.interface-5.0.0-py3-none-any.whl", members)
    assert inspect_wheel(add_build_number(path, 1)).filename == (
        "zope.interface-5.0.0-1-py3-none-any.whl"
    )


def test_a_wheel_with_zero_dates_gets_a_build_number(tmp_path: Path) -> None:
    path = write_zip(tmp_path / PURE, wheel_members(), date=(1980, 0, 0, 0, 0, 0))
    assert inspect_wheel(add_build_number(path, 1)).filename == "demo-1.0-1-py3-none-any.whl"


def test_wheels_that_cannot_be_rewritten_are_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_wheel(tmp_path)
    monkeypatch.setattr(sys, "executable", find_program("false"))
    with pytest.raises(RejectedError, match="a build number cannot be added"):
        add_build_number(path, 1)
    assert [found.name for found in tmp_path.iterdir()] == [PURE]


def test_wheels_of_real_releases_get_build_numbers(released: list[Path]) -> None:
    for path in released:
        before = inspect_wheel(path)
        numbered = add_build_number(path, 1)
        after = inspect_wheel(numbered)
        numbered.unlink()
        assert after.elf_members == before.elf_members
        assert after.compatibility.glibc == before.compatibility.glibc
        assert set(after.compatibility.tags.split(".")) == set(before.compatibility.tags.split("."))


@pytest.mark.farm
@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_installers_prefer_the_wheel_with_a_build_number(tmp_path: Path, installer: str) -> None:
    shelf, target = tmp_path / "shelf", tmp_path / "target"
    shelf.mkdir()
    plain = make_wheel(shelf)
    add_build_number(plain, 1)
    add_build_number(plain, 10)
    add_build_number(plain, 9)
    command = [sys.executable, "-m", "pip", "--isolated", "install"]
    if installer == "uv":
        command = [find_program("uv"), "pip", "install", "--no-config", "--python", sys.executable]
    options = ["--no-index", "--find-links", str(shelf), "--target", str(target), "demo"]
    environ = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    subprocess.run([*command, *options], check=True, capture_output=True, env=environ)
    assert b"Build: 10" in (target / INFO / "WHEEL").read_bytes()


# --- whatever arrives ---


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=5),
    st.integers(0, 10**6),
)
def test_no_damage_raises_anything_but_a_rejection(
    tmp_path: Path, changes: list[tuple[int, int]], length: int
) -> None:
    members = native(elf(EM_AARCH64))
    path = write_zip(tmp_path / f"demo-1.0-{NATIVE}.whl", members)
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    cut = length if length < len(content) and length % 4 == 0 else len(content)
    path.write_bytes(content[:cut])
    with contextlib.suppress(RejectedError):
        inspect_wheel(path)
