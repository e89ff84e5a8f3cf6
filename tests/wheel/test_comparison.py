"""How two wheels differ, in words; both are hostile input."""

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from piwheels.errors import RejectedError
from piwheels.model import MAX_DIFFERENCES, MemberChange, ReproductionResult, WheelComparison
from piwheels.wheel.comparison import compare_wheels
from piwheels.wheel.isolated_read import compare_contents
from tests.wheel.factories import DATE, wheel_members, with_record, write_zip

NAME = "demo-1.0-py3-none-any.whl"


def compare(
    folder: Path, before: dict[str, bytes], after: dict[str, bytes], **how: object
) -> WheelComparison:
    """Compare two wheels with these files."""
    (folder / "new").mkdir(exist_ok=True)
    old = write_zip(folder / NAME, wheel_members(files=before))
    new = write_zip(folder / "new" / NAME, wheel_members(files=after), **how)  # type: ignore[arg-type]
    return compare_wheels(old, new)


def changes(found: WheelComparison) -> dict[str, tuple[str, str]]:
    """What changed and how, by member, apart from RECORD."""
    return {
        each.member: (str(each.change), each.how)
        for each in found.differences
        if not each.member.endswith("RECORD")
    }


def test_other_times_are_the_same_contents(tmp_path: Path) -> None:
    files = {"demo.py": b"x = 1\n"}
    later = (DATE[0], DATE[1], DATE[2], 13, 30, 2)
    found = compare(tmp_path, files, files, date=later)
    assert found.result is ReproductionResult.SAME_CONTENTS
    assert {each.change for each in found.differences} == {MemberChange.METADATA}
    assert changes(found)["demo.py"][1] == "time 2024-05-17 12:00:00 became 2024-05-17 13:30:02"


def test_modes_compression_and_order_are_named(tmp_path: Path) -> None:
    members = wheel_members(files={"a.py": b"x = 1\n" * 50, "b.py": b"y = 2\n"})
    old = write_zip(tmp_path / NAME, members)
    new = tmp_path / "new.whl"
    with zipfile.ZipFile(new, "w") as archive:
        for name in ("b.py", "a.py", *list(members)[2:]):
            info = zipfile.ZipInfo(name, DATE)
            info.external_attr = (0o100755 if name == "a.py" else 0o100644) << 16
            stored = name == "a.py"
            info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            archive.writestr(info, members[name])
    found = compare_wheels(old, new)
    assert found.result is ReproductionResult.SAME_CONTENTS
    how = [(each.member, each.how) for each in found.differences]
    assert ("a.py", "mode 644 became 755; compressed became stored") in how
    assert ("a.py", "its place in the archive") in how


def test_members_that_one_wheel_alone_has_are_named(tmp_path: Path) -> None:
    found = compare(tmp_path, {"a.py": b"", "old.py": b""}, {"a.py": b"", "new.py": b""})
    assert found.result is ReproductionResult.DIFFERS
    assert changes(found) == {
        "old.py": ("missing", "only in the published wheel"),
        "new.py": ("extra", "only in the rebuilt wheel"),
    }
    record = found.differences[-2] if found.differences[-1].change == "extra" else None
    assert record is not None
    assert record.how == "the lines of new.py, old.py"


def test_the_first_line_that_differs_is_quoted_in_part_and_without_controls(
    tmp_path: Path,
) -> None:
    before = b"built = 1\nat = '" + b"x" * 900 + b"\x1b[31m monday'\n"
    after = b"built = 1\nat = '" + b"x" * 900 + b"\x1b[31m tuesday'\n"
    how = changes(compare(tmp_path, {"when.py": before}, {"when.py": after}))["when.py"][1]
    assert how.startswith("line 2: '…xxx")
    assert "?[31m monday''" in how
    assert "tuesday" in how
    assert how.isprintable()
    assert len(how) < 300


def test_binary_members_tell_their_sizes_and_the_first_byte(tmp_path: Path) -> None:
    before, after = b"\0" * 600_000 + b"a" * 10, b"\0" * 600_000 + b"ab" * 10
    how = changes(compare(tmp_path, {"data.bin": before}, {"data.bin": after}))["data.bin"][1]
    assert how == "600010 bytes became 600020; different from byte 600001 on"


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")
def test_sections_and_paths_of_elf_files_are_named(tmp_path: Path) -> None:
    contents = []
    for name in ("first", "second"):
        folder = tmp_path / f"pip-req-build-{name}"
        folder.mkdir()
        (folder / "a.c").write_text("int f(void) { return 1; }\n")
        command = ["gcc", "-g", "-shared", "-fPIC", "-Wl,--build-id=sha1", "-o", "a.so"]
        subprocess.run([*command, f"{folder}/a.c"], cwd=folder, check=True)
        contents.append((folder / "a.so").read_bytes())
    how = changes(compare(tmp_path, {"a.so": contents[0]}, {"a.so": contents[1]}))["a.so"][1]
    assert "the build ID" in how
    assert "pip-req-build-first" in how.partition("became")[0]
    assert "pip-req-build-second" in how.partition("became")[2]


def test_a_damaged_elf_file_is_compared_as_bytes(tmp_path: Path) -> None:
    before, after = b"\x7fELF" + b"\0\xff" * 40, b"\x7fELF" + b"\0\xff" * 39 + b"\0\1"
    how = changes(compare(tmp_path, {"a.so": before}, {"a.so": after}))["a.so"][1]
    assert how == "different from byte 83 on"


def test_what_is_listed_is_bounded(tmp_path: Path) -> None:
    many = {f"m{number}.py": b"" for number in range(MAX_DIFFERENCES + 20)}
    found = compare(tmp_path, {"a.py": b""}, {"a.py": b"", **many})
    assert len(found.differences) == MAX_DIFFERENCES
    assert found.unlisted == 21, "RECORD is one of them"


async def test_two_wheels_are_compared_in_a_process_of_their_own(tmp_path: Path) -> None:
    old = write_zip(tmp_path / NAME, wheel_members())
    (tmp_path / "new").mkdir()
    broken = with_record(wheel_members())
    new = write_zip(tmp_path / "new" / NAME, {**broken, "extra.txt": b"?"})
    found = await compare_contents(old, new)
    assert [(each.member, each.change) for each in found.differences] == [("extra.txt", "extra")]
    new.write_bytes(new.read_bytes()[:-30])
    with pytest.raises(RejectedError, match="zip archive"):
        await compare_contents(old, new)
