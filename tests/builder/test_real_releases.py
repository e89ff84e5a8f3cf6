"""Real releases of the configured index, built for every interpreter."""

from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from piwheels.builder.bubblewrap import Bubblewrap, find_bubblewrap
from piwheels.index_client.client import SimpleIndex
from piwheels.index_client.page import FileKind
from piwheels.index_client.pip_config import pip_index_url
from piwheels.model import Job, Outcome, Sdist
from piwheels.system.interpreters import probe_interpreter
from tests import requires
from tests.builder import sdists
from tests.builder.builder_harness import builder_for

pytestmark = requires.requires_sandbox()


@pytest.mark.slow
@pytest.mark.parametrize("project", ["markupsafe", "psutil", "iniconfig"])
async def test_real_releases_are_built_for_all_interpreters(tmp_path: Path, project: str) -> None:
    async with SimpleIndex(pip_index_url()) as index:
        builder = builder_for(index, tmp_path, Bubblewrap(find_bubblewrap()))
        interpreters = [
            probe_interpreter(requires.find_python(wanted)) for wanted in requires.PYTHON_VERSIONS
        ]
        job = await newest_release(index, project, [item.version for item in interpreters])
        names = set()
        for interpreter in interpreters:
            result = await builder.build(job, interpreter)
            assert result.outcome is Outcome.BUILT, builder.log.decode()
            names.add(result.files[0].filename)
        assert len(names) == (len(requires.PYTHON_VERSIONS) if project == "markupsafe" else 1)


async def newest_release(index: SimpleIndex, project: str, pythons: list[str]) -> Job:
    """The newest final release that all these Pythons may install."""
    page = await index.project(project)
    assert page is not None
    file = max(
        (
            file
            for file in page.files
            if file.kind is FileKind.SDIST and not Version(file.version).is_prerelease
            if all(map(SpecifierSet(file.requires_python).contains, pythons))
        ),
        key=lambda file: Version(file.version),
    )
    return Job(
        build_id=1,
        project=project,
        version=file.version,
        target="test",
        sdist=Sdist(filename=file.filename, url=file.url, sha256=file.sha256),
        released_at=file.uploaded_at or sdists.RELEASED,
    )
