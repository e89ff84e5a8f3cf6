"""The unpacked pip is compiled once for each ABI."""

import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from piwheels.builder.bubblewrap import Bubblewrap, find_bubblewrap
from piwheels.builder.build_system import HostSystem
from piwheels.builder.pip_bytecode import compile_pip
from piwheels.builder.pip_provider import Pip
from piwheels.roots.mount import RootMount
from piwheels.system.interpreters import probe_interpreter
from tests import requires

pytestmark = requires.requires_sandbox()


@pytest.fixture
def pip(tmp_path: Path) -> Pip:
    package = tmp_path / "pips" / "unpacked" / "pip"
    (package / "_vendor").mkdir(parents=True)
    for name in ("__init__.py", "_vendor/idna.py"):
        (package / name).write_text("answer = 42\n")
    (package / "broken.py").write_text("answer =\n")
    return Pip(package.parent, "a pip")


async def test_a_pip_is_compiled_once(pip: Pip) -> None:
    sandbox, here = Bubblewrap(find_bubblewrap()), probe_interpreter(Path(sys.executable))
    await compile_pip(pip, here, HostSystem(), sandbox)
    compiled = sorted(pip.folder.rglob("*.pyc"))
    tag = sys.implementation.cache_tag
    assert [str(path.relative_to(pip.folder)) for path in compiled] == [
        f"pip/__pycache__/__init__.{tag}.pyc",
        f"pip/_vendor/__pycache__/idna.{tag}.pyc",
    ]
    written = [path.stat().st_mtime_ns for path in compiled]
    assert {path.stat().st_mode & 0o777 for path in compiled} == {0o644}
    await compile_pip(pip, here, HostSystem(), sandbox)
    assert [path.stat().st_mtime_ns for path in compiled] == written
    assert [path.name for path in pip.folder.parent.iterdir()] == ["unpacked"]


async def test_an_emulated_python_does_not_compile_what_this_one_can(
    pip: Pip, tmp_path: Path
) -> None:
    """The root is empty: nothing can run in it."""
    here = probe_interpreter(Path(sys.executable))
    emulated = HostSystem(mount=RootMount(root=tmp_path / "root", arch="arm64", emulated=True))
    await compile_pip(pip, here, emulated, Bubblewrap(find_bubblewrap()))
    assert len(list(pip.folder.rglob("*.pyc"))) == 2


async def test_a_pip_that_cannot_be_compiled_is_used_as_it_is(
    pip: Pip, caplog: pytest.LogCaptureFixture
) -> None:
    here = replace(probe_interpreter(Path(sys.executable)), executable=Path("/usr/bin/false"))
    await compile_pip(pip, here, HostSystem(), Bubblewrap(find_bubblewrap()))
    assert "pip cannot be compiled" in caplog.text
    assert not list(pip.folder.rglob("*.pyc"))
