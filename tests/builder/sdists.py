"""Source distributions that tests make, with a build backend of their own that obeys."""

import io
import tarfile
import textwrap
from datetime import UTC, datetime
from typing import Any

from piwheels.model import Job, Sdist
from tests.fakeindex import FakeIndex

RELEASED = datetime(2026, 1, 28, 18, 14, 54, tzinfo=UTC)

_IN_TREE = """
[build-system]
requires = [%s]
build-backend = "backend"
backend-path = ["."]
"""

#: A PEP 517 backend that makes a pure wheel after it has done `deed`.
_BACKEND = """
import os, sys, time, socket, subprocess, zipfile

def deed():
%(deed)s

def build_wheel(folder, config_settings=None, metadata_directory=None):
    deed()
    name = "%(name)s-%(version)s-py3-none-any.whl"
    info = "%(name)s-%(version)s.dist-info"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("%(name)s.py", "answer = 42\\n")
        wheel.writestr(info + "/METADATA",
            "Metadata-Version: 2.1\\nName: %(name)s\\nVersion: %(version)s\\n")
        wheel.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n"
            "Generator: test\\nTag: py3-none-any\\n")
        wheel.writestr(info + "/RECORD", "")
    return name
"""

_SETUP = """
from setuptools import Extension, setup
setup(name="%(name)s", version="%(version)s", ext_modules=[Extension("%(name)s", ["ext.c"])])
"""

_EXTENSION = """
#include <Python.h>
%(head)s
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "%(name)s", NULL, -1, NULL};
PyMODINIT_FUNC PyInit_%(name)s(void) { return PyModule_Create(&module); }
"""


def archive(name: str, files: dict[str, str], version: str = "1.0") -> bytes:
    """A .tar.gz of files below `<name>-<version>/`."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for path, text in files.items():
            data = text.encode()
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return content.getvalue()


def doing(name: str, deed: str = "pass", *, requires: str = "") -> bytes:
    """An sdist of a pure project whose build does `deed`, some lines of Python."""
    words = {"name": name, "version": "1.0", "deed": textwrap.indent(textwrap.dedent(deed), "    ")}
    return archive(name, {"pyproject.toml": _IN_TREE % requires, "backend.py": _BACKEND % words})


def extension(name: str, head: str = "") -> bytes:
    """An sdist of a C extension that setuptools builds, without a pyproject.toml."""
    words = {"name": name, "version": "1.0", "head": head}
    return archive(name, {"setup.py": _SETUP % words, "ext.c": _EXTENSION % words})


def job(index: FakeIndex, name: str, content: bytes, *, build: int = 1) -> Job:
    """Put an sdist into an index, and make a job of it."""
    entry: dict[str, Any] = index.add(name, f"{name}-1.0.tar.gz", content)
    sdist = Sdist(
        filename=entry["filename"], url=index.address(entry), sha256=entry["hashes"]["sha256"]
    )
    return Job(
        build=build, project=name, version="1.0", target="test", sdist=sdist, released_at=RELEASED
    )
