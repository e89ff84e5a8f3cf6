"""Today's pip, setuptools and compilers: builds that fail in known ways still get the same cause."""

import asyncio
import shutil

import pytest

from piwheels.debian_index import load_index
from piwheels.errors import PiwheelsError
from tests import requires
from tests.builder.build_tools import pip_and_setuptools
from tests.causes.recorder import can_make_disk, record
from tests.causes.recordings import Recording
from tests.causes.replay import differences
from tests.causes.situations import SITUATIONS
from tests.causes.spec import Variant
from tests.sample import sampled

pytestmark = [requires.requires_sandbox(), pytest.mark.slow, pytest.mark.farm]


def _sample() -> list[tuple[str, Variant, str]]:
    """The first or the last variant of each situation in turn, or both, on one of its Pythons."""
    return [
        (f"{situation.folder}/{variant.name}", variant, variant.pythons[position])
        for number, situation in enumerate(SITUATIONS)
        for position in sampled((-(number % 2),), full=(0, -1))
        for variant in (situation.variants[position],)
    ]


SAMPLE = {f"{name}-{python}": (variant, python) for name, variant, python in _sample()}


@pytest.mark.parametrize("name", SAMPLE)
def test_a_build_of_today_has_the_recorded_cause(name: str) -> None:
    variant, python = SAMPLE[name]
    for program in variant.programs:
        requires.find_program(program)
    if variant.rust and shutil.which("rustc") is None:
        pytest.skip("there is no Rust")
    if variant.disk_bytes and not can_make_disk():
        pytest.skip("only root can make a small disk")
    try:
        tools = pip_and_setuptools()
    except PiwheelsError as error:
        requires.skip_or_fail(f"the tools for building cannot be fetched: {error}")
    recorded = asyncio.run(record(variant, python, tools))
    recording = Recording(
        name=name,
        log=recorded.log,
        facts=recorded.facts,
        expected=variant.expectation(python),
    )
    assert not list(differences(recording, recording.log, load_index("bookworm"))), (
        recorded.log.decode(errors="replace")
    )
