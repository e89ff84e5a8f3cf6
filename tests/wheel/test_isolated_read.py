"""Wheels read in a child process: the same facts, with limits on what a hostile one costs."""

import asyncio
import os
from pathlib import Path

import pytest

from piwheels.errors import RejectedError
from piwheels.wheel import isolated_read
from piwheels.wheel.inspect import WheelInfo, add_build_number, inspect_wheel
from piwheels.wheel.isolated_read import number_wheel, read_wheel
from tests.wheel.factories import EM_AARCH64, elf, make_wheel, wheel_members, write_zip

NATIVE = "cp313-cp313-linux_aarch64"


async def test_facts_are_those_of_the_wheel(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, tags=NATIVE, files={"demo/_core.so": elf(EM_AARCH64)})
    assert await read_wheel(path) == inspect_wheel(path)


async def test_a_build_number_gives_the_same_bytes_in_a_child_process(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    here, there = (make_wheel(tmp_path / name) for name in ("here", "there"))
    numbered = await number_wheel(there, 3)
    assert numbered == there.with_name("demo-1.0-3-py3-none-any.whl")
    assert numbered.read_bytes() == add_build_number(here, 3).read_bytes()


async def test_a_rejection_names_the_wheel(tmp_path: Path) -> None:
    members = wheel_members(name="other")
    path = write_zip(tmp_path / "demo-1.0-py3-none-any.whl", members)
    with pytest.raises(
        RejectedError, match=r"^demo-1\.0-py3-none-any\.whl: other-1\.0\.dist-info "
    ):
        await read_wheel(path)


@pytest.mark.slow
async def test_a_slow_wheel_is_rejected_while_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = elf(EM_AARCH64, verneeds=2**32 - 1)
    (tmp_path / "slow").mkdir()
    files = {f"demo/{number}.so": endless for number in range(200)}
    slow = make_wheel(tmp_path / "slow", tags=NATIVE, files=files)
    monkeypatch.setattr(isolated_read, "_BASE_CPU_S", 2)
    reading_slow = asyncio.create_task(read_wheel(slow))
    facts = await read_wheel(make_wheel(tmp_path))
    assert facts.project == "demo"
    with pytest.raises(RejectedError, match=r"demo-1\.0-.*more than 2 s of processor time"):
        await reading_slow


async def test_a_wheel_that_changes_while_it_is_read_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def changing(*_: object) -> WheelInfo:
        facts = inspect_wheel(path)
        os.truncate(path, 10)
        return facts

    path = make_wheel(tmp_path)
    monkeypatch.setattr(isolated_read, "run_isolated", changing)
    with pytest.raises(RejectedError, match="changed while it was read"):
        await read_wheel(path)


async def test_a_missing_wheel_is_not_a_rejection(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await read_wheel(tmp_path / "demo-1.0-py3-none-any.whl")
