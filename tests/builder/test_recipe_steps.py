"""Builds with a recipe: environment, constraints, patches, the day of the index, the time limit."""

import hashlib
import sys
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from piwheels.builder.bubblewrap import Bubblewrap, find_bubblewrap
from piwheels.builder.recipe_steps import recipe_for
from piwheels.index_client.client import SimpleIndex
from piwheels.model import FailureClass, Interpreter, Job, Outcome, Patch, Recipe
from piwheels.system.interpreters import probe_interpreter
from tests import requires
from tests.builder import sdists
from tests.builder.builder_harness import BuilderHarness, builder_for
from tests.fake_index import FakeIndex

pytestmark = requires.requires_sandbox()

PATCH = """\
--- a/setup.py
+++ b/setup.py
@@ -1,1 +1,2 @@
+print('the patch was applied')
 {first}
"""


@pytest.fixture
async def builder(upstream: FakeIndex, tmp_path: Path) -> AsyncIterator[BuilderHarness]:
    async with SimpleIndex(upstream.simple) as index:
        yield builder_for(index, tmp_path, Bubblewrap(find_bubblewrap()))


@pytest.fixture
def here() -> Interpreter:
    return probe_interpreter(Path(sys.executable))


def make_job(upstream: FakeIndex, setup: str, **recipe: Any) -> Job:
    content = sdists.archive("pure", {"setup.py": setup, "pure.py": "answer = 42\n"})
    job = sdists.make_job(upstream, "pure", content)
    return replace(job, recipe=Recipe(project="pure", **recipe))


def make_setup(*lines: str) -> str:
    code = "\n".join(lines)
    return f"{code}\nfrom setuptools import setup\nsetup(name='pure', version='1.0', py_modules=['pure'])\n"


def make_patch(setup: str) -> Patch:
    text = PATCH.format(first=setup.splitlines()[0])
    return Patch("fix.patch", hashlib.sha256(text.encode()).hexdigest(), text)


async def test_environment_constraints_and_patches_reach_the_build(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    setup = make_setup(
        "import os",
        "print('the variable is', os.environ['ANSWER'])",
        "print('the constraints are', open(os.environ['PIP_CONSTRAINT']).read().split())",
    )
    job = make_job(
        upstream,
        setup,
        environment=(("ANSWER", "fourty-two"),),
        constraints=("numpy<2",),
        tools=("wheel<9",),
        patches=(make_patch(setup),),
    )
    result = await builder.build(job, here)
    log = builder.log.decode()
    assert (result.outcome, result.reason) == (Outcome.BUILT, ""), log
    assert "the variable is fourty-two" in log
    assert "the constraints are ['numpy<2', 'wheel<9']" in log
    assert "the patch was applied" in log
    assert "recipe: constraints numpy<2, wheel<9" in result.build_inputs
    assert "--- piwheels: recipe: variable ANSWER=fourty-two ---" in log


async def test_a_constraint_that_no_file_meets_fails_the_build(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    result = await builder.build(make_job(upstream, make_setup(), tools=("setuptools<1",)), here)
    assert result.outcome is Outcome.FAILED
    assert "setuptools" in builder.log.decode()


async def test_a_patch_that_does_not_apply_fails_the_build(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    patch = make_patch("another first line")
    result = await builder.build(make_job(upstream, make_setup("1"), patches=(patch,)), here)
    assert (result.outcome, result.files) == (Outcome.FAILED, ())
    assert result.reason == "the patch 00-fix.patch does not apply"


@pytest.mark.slow
async def test_a_build_sees_the_index_as_of_a_day(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    job = make_job(upstream, make_setup(), tools_date=date(2026, 1, 28))
    assert (await builder.build(job, here)).outcome is Outcome.BUILT
    before = replace(job, recipe=Recipe(project="pure", tools_date=date(2026, 1, 27)))
    result = await builder.build(before, here)
    assert result.outcome is Outcome.FAILED
    assert "recipe: index as of 2026-01-27" in result.build_inputs
    assert "No matching distribution found for setuptools" in builder.log.decode()


async def test_an_index_without_upload_times_is_said_to_make_a_day_impossible(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    job = make_job(upstream, make_setup(), tools_date=date(2026, 1, 28))
    for entries in upstream.projects.values():
        for entry in entries:
            del entry["upload-time"]
    result = await builder.build(job, here)
    assert result.failure_class is FailureClass.BUILD_REQUIREMENT
    assert result.reason == (
        "the index gives no upload times for setuptools (PEP 700): "
        "it cannot be shown as of 2026-01-28"
    )


@pytest.mark.slow
async def test_the_time_limit_of_a_recipe_is_longer_than_the_builders(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    builder.set_limits(timeout_s=0.5)
    setup = make_setup("import time", "time.sleep(1)")
    result = await builder.build(make_job(upstream, setup, time_limit_s=600.0), here)
    assert result.outcome is Outcome.BUILT


@pytest.mark.parametrize(
    ("recipe", "applies"),
    [
        ({}, True),
        ({"versions": "<2"}, True),
        ({"versions": ">=1.1"}, False),
        ({"targets": ("cp313-*",)}, True),
        ({"targets": ("cp311-*", "*-armv6l")}, False),
    ],
)
def test_a_recipe_applies_to_its_versions_and_targets(
    upstream: FakeIndex, recipe: dict[str, Any], applies: bool
) -> None:
    job = replace(make_job(upstream, make_setup(), **recipe), target="cp313-trixie-aarch64")
    assert (recipe_for(job) is not None) is applies
