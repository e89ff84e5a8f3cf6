"""Wheels are imported after their build: those that load, that lack a library, and that hang."""

import errno
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from piwheels.builder import import_check
from piwheels.builder.bubblewrap import Bubblewrap, find_bubblewrap
from piwheels.builder.import_check import ImportPolicy
from piwheels.builder.import_entry import top_level_modules
from piwheels.index_client.client import SimpleIndex
from piwheels.model import FailureClass, Interpreter, Outcome
from piwheels.system.interpreters import probe_interpreter
from tests import requires
from tests.builder import sdists
from tests.builder.builder_harness import BuilderHarness, builder_for, processes_with
from tests.fake_index import FakeIndex

pytestmark = requires.requires_sandbox()

PURE = (
    "from setuptools import setup\nsetup(name='pure', version='1.0', py_modules=['pure'], {more})\n"
)
#: An extension that is linked to a library which only its build had.
ABSENT = """\
import os, subprocess, tempfile
from setuptools import Extension, setup
folder = tempfile.mkdtemp()
open(f'{folder}/absent.c', 'w').write('int absent_answer(void) { return 42; }')
subprocess.check_call(['cc', '-shared', '-fPIC', '-Wl,-soname,libabsent.so.7', '-o',
                       f'{folder}/libabsent.so', f'{folder}/absent.c'])
setup(name='absent', version='1.0', ext_modules=[
    Extension('absent', ['ext.c'], libraries=['absent'], library_dirs=[folder])])
"""
ABSENT_REASON = (
    "it cannot be imported: import absent: ImportError: libabsent.so.7: cannot open shared object "
    "file: No such file or directory"
)
EXTENSION = """\
#include <Python.h>
int absent_answer(void);
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "absent", NULL, -1, NULL};
PyMODINIT_FUNC PyInit_absent(void) { absent_answer(); return PyModule_Create(&module); }
"""


@pytest.fixture
async def builder(upstream: FakeIndex, tmp_path: Path) -> AsyncIterator[BuilderHarness]:
    async with SimpleIndex(upstream.simple) as index:
        made = builder_for(index, tmp_path, Bubblewrap(find_bubblewrap()))
        made.options = replace(made.options, import_check=ImportPolicy.WARN)
        yield made


@pytest.fixture
def here() -> Interpreter:
    return probe_interpreter(Path(sys.executable))


def pure(code: str, more: str = "") -> bytes:
    return sdists.archive("pure", {"setup.py": PURE.format(more=more), "pure.py": f"{code}\n"})


async def test_a_wheel_that_imports_is_built_without_a_warning(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    job = sdists.make_job(upstream, "pure", pure("print('imported here')"))
    result = await builder.build(job, here)
    log = builder.log.decode()
    assert (result.outcome, result.reason) == (Outcome.BUILT, ""), log
    assert "--- piwheels: its modules are imported (" in log
    assert builder.phases[-1] == "importing"


async def test_a_wheel_whose_library_is_absent_is_built_with_a_warning(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    content = sdists.archive("absent", {"setup.py": ABSENT, "ext.c": EXTENSION})
    result = await builder.build(sdists.make_job(upstream, "absent", content), here)
    assert (result.outcome, result.reason) == (Outcome.BUILT, ABSENT_REASON), builder.log.decode()


@pytest.mark.slow
async def test_a_setting_refuses_what_cannot_be_imported(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    builder.options = replace(builder.options, import_check=ImportPolicy.REFUSE)
    job = sdists.make_job(upstream, "pure", pure("import nowhere_to_be_found"))
    result = await builder.build(job, here)
    assert (result.outcome, result.failure_class) == (Outcome.REFUSED, FailureClass.REJECTED)
    assert result.reason == (
        "it cannot be imported: import pure: ModuleNotFoundError: No module named "
        "'nowhere_to_be_found'"
    )
    assert not result.files


@pytest.mark.slow
async def test_a_module_that_hangs_is_ended_with_all_its_processes(
    builder: BuilderHarness,
    upstream: FakeIndex,
    here: Interpreter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(import_check, "_IMPORT_TIMEOUT_S", 5.0)
    marker = "98765.4321"
    code = f"import subprocess\nsubprocess.Popen(['setsid', 'sleep', '{marker}']).wait()"
    result = await builder.build(sdists.make_job(upstream, "pure", pure(code)), here)
    assert (result.outcome, result.reason) == (
        Outcome.BUILT, "it cannot be imported: not done after 5s"
    )  # fmt: skip
    assert not processes_with(marker)


async def test_a_module_has_no_network_and_cannot_change_its_wheel(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    code = (
        "import pathlib, socket\n"
        "for wheel in pathlib.Path('/').glob('build/*.whl'):\n"
        "    wheel.write_bytes(b'changed')\n"
        f"socket.create_connection(('127.0.0.1', {urlsplit(upstream.url).port}), timeout=5)"
    )
    result = await builder.build(sdists.make_job(upstream, "pure", pure(code)), here)
    assert "ConnectionRefusedError" in result.reason
    (wheel,) = builder.wheels
    assert wheel.read_bytes().startswith(b"PK")


@pytest.mark.slow
async def test_a_wheel_whose_requirements_are_not_there_is_not_judged(
    builder: BuilderHarness, upstream: FakeIndex, here: Interpreter
) -> None:
    content = pure("import nowhere", "install_requires=['nowhere']")
    result = await builder.build(sdists.make_job(upstream, "pure", content), here)
    assert (result.outcome, result.reason) == (Outcome.BUILT, "")
    assert "not imported: what it requires is not there as wheels" in builder.log.decode()


async def test_a_full_disk_during_the_import_loses_no_wheel(
    builder: BuilderHarness,
    upstream: FakeIndex,
    here: Interpreter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fill_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(import_check.ImportCheck, "_prepare", fill_disk)
    result = await builder.build(sdists.make_job(upstream, "pure", pure("answer = 42")), here)
    assert (result.outcome, result.reason) == (Outcome.BUILT, "")
    assert "not imported: [Errno 28] No space left on device" in builder.log.decode()
    assert len(builder.wheels) == 1


@pytest.mark.parametrize(
    ("names", "modules"),
    [
        (["a.py", "a-1.0.dist-info/METADATA"], ["a"]),
        (["a/__init__.py", "a/b.py", "a/c/__init__.py"], ["a"]),
        (["_a.cpython-311-aarch64-linux-gnu.so", "b/__init__.abi3.so"], ["_a", "b"]),
        (["x-1.0.data/purelib/a.py", "x-1.0.data/scripts/b.py"], ["a"]),
        (["namespace/part/__init__.py", "data.txt", "tests/__init__.py", "setup.py"], []),
        (["not-a-name.py", "a;b.py"], []),
    ],
)
def test_the_modules_of_a_wheel(names: list[str], modules: list[str]) -> None:
    assert top_level_modules(names) == modules
