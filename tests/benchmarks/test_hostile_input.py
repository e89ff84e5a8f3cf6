"""What hostile or huge input costs, against a piece of work on the same machine."""

import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from piwheels.wheel.elf import read
from piwheels.wheel.inspect import inspect_wheel
from tests.benchmarks.cpu_calibration import piece_of_work
from tests.test_untrusted_names import HOSTILE_INPUTS, PARSERS, rejection
from tests.wheel.factories import elf, make_wheel, wheel_members, with_record, write_zip
from tests.wheel.test_inspect import PURE, in_info

pytestmark = pytest.mark.slow


def works(call: Callable[[], object]) -> float:
    """The processor time of a call, in pieces of work."""
    began = time.process_time()
    call()
    spent_s = time.process_time() - began
    found = spent_s / piece_of_work()
    print(f"{spent_s * 1000:.0f} ms, {found:.1f} pieces of work")
    return found


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
@pytest.mark.parametrize("text", HOSTILE_INPUTS, ids=range(len(HOSTILE_INPUTS)))
def test_hostile_names_are_rejected_quickly(parse: Callable[[str], object], text: str) -> None:
    assert works(lambda: rejection(parse, text)) < 30


def test_an_endless_elf_table_is_rejected_quickly() -> None:
    assert works(lambda: read(io.BytesIO(elf(verneeds=2**32 - 1)))) < 600


def test_many_names_of_fields_cost_no_more_than_many_fields(tmp_path: Path) -> None:
    fields = "".join(f"X-Field-{number}: 1\n" for number in range(45_000)).encode()
    members = wheel_members()
    in_info("METADATA", b"Name:", fields + b"Name:")(members)
    path = write_zip(tmp_path / PURE, with_record(members))
    assert works(lambda: inspect_wheel(path)) < 150


def test_deep_directories_cost_no_more_than_their_names(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, files={f"{number}/{'a/' * 400}x.py": b"" for number in range(3000)})
    assert works(lambda: inspect_wheel(path)) < 150
