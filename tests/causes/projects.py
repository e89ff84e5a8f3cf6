"""Sdists of the situations: projects built by setuptools, Meson, CMake, Cargo or their own backend."""

import textwrap
from typing import Any

from tests.builder import sdists
from tests.causes.spec import PROJECT, Archive

_MODULE = """
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "sample", NULL, -1, NULL};
PyMODINIT_FUNC PyInit_sample(void) { return PyModule_Create(&module); }
"""

_BACKEND = """
[build-system]
requires = [%s]
build-backend = "%s"
"""


def project(files: dict[str, str]) -> Archive:
    """An sdist of any files; their texts may be indented."""
    texts = {path: textwrap.dedent(text).lstrip("\n") for path, text in files.items()}
    return Archive(content=sdists.archive(PROJECT, texts))


def setup_py(script: str, files: dict[str, str] | None = None, requires: str = "") -> Archive:
    """A project whose setup.py runs a script, and then would make a module.

    Args:
        script: the first lines of setup.py.
        files: further files.
        requires: build requirements, as in TOML, besides setuptools; "": no pyproject.toml.
    """
    body = textwrap.dedent(script).strip("\n")
    text = f"{body}\nfrom setuptools import setup\nsetup(name='sample', version='1.0', py_modules=['sample'])\n"
    declared = {"pyproject.toml": build_system(f'"setuptools", {requires}')} if requires else {}
    return project({"setup.py": text, "sample.py": "answer = 42\n", **declared, **(files or {})})


def extension(
    source: str, files: dict[str, str] | None = None, *, suffix: str = "c", **options: Any
) -> Archive:
    """A C or C++ extension that setuptools builds; `source` stands before the module.

    Args:
        source: C or C++ code.
        files: further files.
        suffix: of the source file.
        options: of setuptools.Extension; `sources` are those besides the first.
    """
    sources = [f"sample.{suffix}", *options.pop("sources", ())]
    words = "".join(f", {key}={value!r}" for key, value in options.items())
    setup = f"""
    from setuptools import Extension, setup
    setup(name="sample", version="1.0", ext_modules=[Extension("sample", {sources}{words})])
    """
    code = f"#include <Python.h>\n{textwrap.dedent(source)}{_MODULE}"
    return project({"setup.py": setup, f"sample.{suffix}": code, **(files or {})})


def build_system(requires: str, backend: str = "setuptools.build_meta") -> str:
    """The table [build-system] of a pyproject.toml."""
    return _BACKEND % (requires, backend)


def make_project(makefile: str, files: dict[str, str], arguments: str = "") -> Archive:
    """A project whose setup.py runs make; indent recipes by four spaces."""
    text = textwrap.dedent(makefile).replace("\n    ", "\n\t")
    script = f"import subprocess\nsubprocess.check_call(['make', *{arguments.split()!r}])"
    return setup_py(script, {"Makefile": text, **files})


def cmake_project(lists: str, arguments: str = "", requires: str = '"cmake"') -> Archive:
    """A project whose setup.py runs cmake, which is a build requirement unless told otherwise."""
    command = ["cmake", "-S", ".", "-B", "build-cmake", *arguments.split()]
    script = f"import subprocess\nsubprocess.check_call({command!r})"
    return setup_py(script, {"CMakeLists.txt": lists}, requires)


def meson_project(build: str, files: dict[str, str] | None = None) -> Archive:
    """A project of meson-python."""
    pyproject = build_system('"meson-python"', "mesonpy")
    head = '\n[project]\nname = "sample"\nversion = "1.0"\n'
    return project({"pyproject.toml": pyproject + head, "meson.build": build, **(files or {})})


def backend(script: str, requires: str = "") -> Archive:
    """A project with a build backend of its own that runs a script, and then makes a wheel."""
    return Archive(content=sdists.sdist_running(PROJECT, script, requires=requires))
