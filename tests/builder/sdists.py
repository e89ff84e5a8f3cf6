"""Source distributions for tests, with a build backend that runs given code."""

import gzip
import io
import tarfile
import textwrap
from datetime import UTC, datetime
from typing import Any

from piwheels.model import Job, Sdist
from tests.fake_index import FakeIndex

RELEASED = datetime(2026, 1, 28, 18, 14, 54, tzinfo=UTC)

_IN_TREE = """
[build-system]
requires = [%s]
build-backend = "backend"
backend-path = ["."]
"""

#: A PEP 517 backend that runs `body`, then makes a wheel that contains its return value: a dict of
#: files by name, or a note.
_BACKEND = """
import base64, hashlib, os, sys, sysconfig, time, socket, subprocess, zipfile

def body():
%(body)s

def build_wheel(folder, config_settings=None, metadata_directory=None):
    note = body()
    tag = "%(tag)s".replace("cpXY", "cp%%d%%d" %% sys.version_info[:2])
    tag = tag.replace("PLATFORM", sysconfig.get_platform().replace("-", "_"))
    info = "%(name)s-%(version)s.dist-info/"
    module = {"%(name)s.py": "answer, note = 42, %%r\\n" %% (note,)}
    members = {
        **(note if isinstance(note, dict) else module),
        info + "METADATA": "Metadata-Version: 2.1\\nName: %(name)s\\nVersion: %(version)s\\n",
        info + "WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: %%s\\n"
            "Tag: %%s\\n" %% (str(tag.endswith("-any")).lower(), tag),
    }
    record = ""
    for path, text in members.items():
        content = text if isinstance(text, bytes) else text.encode()
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
        record += "%%s,sha256=%%s,%%d\\n" %% (path, digest.decode(), len(content))
    members[info + "RECORD"] = record + info + "RECORD,,\\n"
    filename = "%(name)s-%(version)s-%%s.whl" %% tag
    with zipfile.ZipFile(os.path.join(folder, filename), "w") as wheel:
        for path, text in members.items():
            wheel.writestr(zipfile.ZipInfo(path), text)
    return filename
"""

_SETUP = """
from setuptools import Extension, setup
setup(name="%(name)s", version="%(version)s", ext_modules=[
    Extension("%(name)s", ["ext.c"], libraries=%(libraries)s)])
"""

#: The body of a build that needs no build tools but the C compiler.
_COMPILE = """
module = "%(name)s" + sysconfig.get_config_var("EXT_SUFFIX")
include = "-I" + sysconfig.get_path("include")
command = ["cc", "-shared", "-fPIC", include, "ext.c", *%(options)s, "-o", module]
subprocess.run(command, check=True)
with open(module, "rb") as file:
    return {module: file.read()}
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


def hostile_archive(name: str, *entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A .tar.gz of any members, below no folder unless they say so; sizes may lie."""
    blocks = [
        entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape") + data + bytes(-len(data) % 512)
        for entry, data in entries
    ]
    return gzip.compress(b"".join(blocks) + bytes(1024))


def member(
    name: str, kind: bytes = tarfile.REGTYPE, *, link: str = "", size: int = 0
) -> tarfile.TarInfo:
    """A member's header."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, link, size
    return entry


def sdist_running(
    name: str,
    script: str = "pass",
    *,
    requires: str = "",
    version: str = "1.0",
    tag: str = "py3-none-any",
) -> bytes:
    """An sdist whose build runs `script`; cpXY in the tag becomes the builder's."""
    files = backend_files(name, script, requires=requires, version=version, tag=tag)
    return archive(name, files, version)


def backend_files(
    name: str,
    script: str,
    *,
    requires: str = "",
    version: str = "1.0",
    tag: str = "py3-none-any",
) -> dict[str, str]:
    """The files of `sdist_running`."""
    words = {
        "name": name,
        "version": version,
        "tag": tag,
        "body": textwrap.indent(textwrap.dedent(script), "    "),
    }
    return {"pyproject.toml": _IN_TREE % requires, "backend.py": _BACKEND % words}


def extension_sdist(name: str, head: str = "", *, libraries: tuple[str, ...] = ()) -> bytes:
    """An sdist of a C extension that setuptools builds, without a pyproject.toml."""
    words = {"name": name, "version": "1.0", "head": head, "libraries": list(libraries)}
    return archive(name, {"setup.py": _SETUP % words, "ext.c": _EXTENSION % words})


def compiler_sdist(name: str, head: str = "", *, libraries: tuple[str, ...] = ()) -> bytes:
    """An sdist of a C extension that is built by the compiler alone, which is faster."""
    words = {"name": name, "head": head, "options": [f"-l{library}" for library in libraries]}
    files = backend_files(name, _COMPILE % words, tag="cpXY-cpXY-PLATFORM")
    return archive(name, {**files, "ext.c": _EXTENSION % words})


def make_job(index: FakeIndex, name: str, content: bytes, *, build: int = 1) -> Job:
    """Put an sdist into an index, and make a job of it."""
    entry: dict[str, Any] = index.add(name, f"{name}-1.0.tar.gz", content)
    sdist = Sdist(
        filename=entry["filename"], url=index.file_url(entry), sha256=entry["hashes"]["sha256"]
    )
    return Job(
        build_id=build,
        project=name,
        version="1.0",
        target="test",
        sdist=sdist,
        released_at=RELEASED,
    )
