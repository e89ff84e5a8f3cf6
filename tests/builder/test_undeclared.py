"""What a build imports and does not declare is added to its build requirements, once."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from piwheels.builder import sandbox_entry
from piwheels.builder.bubblewrap import Bubblewrap, find_bubblewrap
from piwheels.builder.build_errors import BuildFailedError
from piwheels.builder.build_system import HostSystem
from piwheels.builder.build_tries import TryRules
from piwheels.builder.job_tries import JobTries
from piwheels.builder.undeclared import undeclared_project
from piwheels.causes import CYTHON, Cause, Missing, MissingKind
from piwheels.index_client.client import SimpleIndex
from piwheels.model import FailureClass, Interpreter, Outcome
from piwheels.system.interpreters import probe_interpreter
from tests import requires
from tests.builder import sdists
from tests.builder.builder_harness import BuilderHarness, builder_for
from tests.fake_index import FakeIndex
from tests.wheel.factories import make_wheel

DEFAULT = '[build-system]\nrequires = ["numpy", "setuptools>=40.8.0"]\n'


@pytest.fixture
async def builder(upstream: FakeIndex, tmp_path: Path) -> AsyncIterator[BuilderHarness]:
    async with SimpleIndex(upstream.simple) as index:
        yield builder_for(index, tmp_path, Bubblewrap(find_bubblewrap()))


@pytest.fixture
def here() -> Interpreter:
    return probe_interpreter(Path(sys.executable))


@pytest.mark.parametrize(
    ("module", "project"),
    [("numpy", "numpy"), ("yaml", "PyYAML"), ("Cython.Build", "Cython"), ("unheard_of", "")],
)
def test_a_module_belongs_to_a_listed_project(module: str, project: str) -> None:
    assert undeclared_project([Missing(MissingKind.MODULE, module)]) == project


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f'\n{DEFAULT}build-backend = "setuptools.build_meta:__legacy__"\n'),
        ("[build-system]\nrequires = []\n", '[build-system]\nrequires = ["numpy", ]\n'),
        (
            '[tool.x]\nrequires = ["a"]\n[build-system] # first\nbuild-backend = "b"\nrequires=["a"]\n',
            (
                '[tool.x]\nrequires = ["a"]\n[build-system] # first\nbuild-backend = "b"\n'
                'requires=["numpy", "a"]\n'
            ),
        ),
    ],
)
def test_a_project_is_added_to_the_build_requirements(before: str, after: str) -> None:
    assert sandbox_entry._with_requirements(before, ["numpy"], "") == after


@pytest.mark.parametrize(
    "text",
    [
        "[build-system",
        'build-system = {requires = ["a"]}\n',
        '[build-system]\nbuild-backend = "b"\n[tool.x]\nrequires = ["a"]\n',
    ],
)
def test_a_file_that_is_not_understood_is_left_alone(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        sandbox_entry._with_requirements(text, ["numpy"], "")


@pytest.mark.parametrize(
    ("missing", "requirements"),
    [
        ((CYTHON,), ("Cython",)),
        ((Missing(MissingKind.MODULE, "numpy.distutils"),), None),
        ((), None),
    ],
)
def test_generated_files_that_are_too_old_are_tried_with_cython(
    missing: tuple[Missing, ...], requirements: tuple[str, ...] | None
) -> None:
    failure_class = FailureClass.PYTHON_TOO_NEW
    cause = Cause(failure_class=failure_class, missing=missing)
    error = BuildFailedError(Outcome.FAILED, "a.c:1:2: error: x", failure_class, cause=cause)
    following = JobTries(TryRules(days=())).begin_next(error, None, HostSystem())
    assert (following and following.requirements) == requirements


@requires.requires_sandbox()
@pytest.mark.parametrize("declares", ['"setuptools"', ""])
async def test_an_undeclared_requirement_is_added_once(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter, tmp_path: Path, declares: str
) -> None:
    wheel = make_wheel(tmp_path, name="pkgconfig", tags="py3-none-any")
    upstream.add("pkgconfig", wheel.name, wheel.read_bytes())
    content = sdists.sdist_running("pure", "import pkgconfig", requires=declares)
    result = await builder.build(sdists.make_job(upstream, "pure", content), here)
    assert result.outcome is Outcome.BUILT, builder.log.decode()
    tries = [text for text in result.build_inputs if text.startswith("try ")]
    assert tries == [
        "try 1: index of today: undeclared-requirement",
        "try 2: index of today and pkgconfig",
    ]
    assert any(text.endswith(wheel.name) for text in result.build_inputs)


@pytest.mark.slow
@requires.requires_sandbox()
async def test_a_module_that_stays_missing_is_final(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    content = sdists.sdist_running("pure", "import pkgconfig")
    result = await builder.build(sdists.make_job(upstream, "pure", content), here)
    assert result.failure_class is FailureClass.UNDECLARED_REQUIREMENT
    assert builder.phases.count("trying again") == 1
    assert "try 2: index of today and pkgconfig: build-requirement" in result.build_inputs
