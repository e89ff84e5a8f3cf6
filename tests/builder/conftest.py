"""Fixtures: an upstream with the tools that builds need, and interpreters."""

from collections.abc import Iterator

import pytest

from piwheels.errors import PiwheelsError
from piwheels.index_client.page import IndexFile
from piwheels.model import Interpreter
from piwheels.system.interpreters import probe_interpreter
from tests import requires
from tests.builder.build_tools import pip_and_setuptools
from tests.fake_index import FakeIndex, fake_index

OLDEST, NEWEST = requires.PYTHON_VERSIONS[0], requires.PYTHON_VERSIONS[-1]


@pytest.fixture(scope="session")
def tools() -> list[tuple[IndexFile, bytes]]:
    """The pips and setuptools that every Python tested here needs, from the configured index."""
    try:
        return pip_and_setuptools()
    except PiwheelsError as error:
        requires.skip_or_fail(f"the tools for building cannot be fetched: {error}")


@pytest.fixture
def upstream(tools: list[tuple[IndexFile, bytes]]) -> Iterator[FakeIndex]:
    """An upstream that has pip and setuptools, and what the test adds."""
    with fake_index() as index:
        for file, content in tools:
            project = file.filename.partition("-")[0]
            extra = {"requires-python": file.requires_python}
            index.add(project, file.filename, content, **extra)
        yield index


@pytest.fixture(scope="session")
def oldest() -> Interpreter:
    """The oldest Python that wheels are built for."""
    return probe_interpreter(requires.find_python(OLDEST))


@pytest.fixture(scope="session")
def newest() -> Interpreter:
    """The newest Python that wheels are built for."""
    return probe_interpreter(requires.find_python(NEWEST))
