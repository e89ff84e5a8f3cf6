"""Builds one wheel from one sdist inside the sandbox: a script that the target's Python runs.

It needs Python 3.9 and its standard library, and imports nothing of piwheels. Its argument is the
path of a JSON file:

    pip        pip's runner script (pip/__pip-runner__.py of an unpacked pip wheel)
    sdist      the source distribution
    venv       where to create a new virtual environment
    wheels     where pip writes wheels
    socket     the Unix socket of the index proxy
    source     where to unpack the sdist if it is changed
    patches    the paths of patches to apply, one a line
    requirements    projects to add to its build requirements, one a line
    crates     "yes" if the proxy is a cargo registry, too

A loopback port is forwarded to that socket, because pip supports HTTP over TCP only. Lines that
begin with PHASE_PREFIX report the phase to the builder; the exit status is the result.
"""

import importlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import zipfile
import zlib
from pathlib import Path
from typing import Any

PHASE_PREFIX = "--- piwheels: "
FAILED = 1
BAD_SDIST = 90
VENV_FAILED = 91
PATCH_FAILED = 92

_CHUNK_BYTES = 65536
_CARGO_CONFIG = """[source.crates-io]
replace-with = "farm"
[source.farm]
registry = "sparse+http://127.0.0.1:{}/crates/"
"""
#: The start of the list of build requirements (PEP 518).
_REQUIRES = re.compile(
    r"(?ms)^\s*\[\s*build-system\s*\][^\n]*\n(?:(?!^\s*\[\s*[\w\"]).)*?^\s*requires\s*=\s*\["
)
#: What pip assumes for a project without one.
_DEFAULT_BUILD_SYSTEM = """[build-system]
requires = [{}"setuptools>=40.8.0"]
build-backend = "setuptools.build_meta:__legacy__"
"""
_READ_ERRORS = (tarfile.TarError, zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError)


def _connect(path: Path) -> socket.socket:
    """Connect to a Unix socket whose path may be longer than sun_path (108 bytes)."""
    connection = socket.socket(socket.AF_UNIX)
    folder = os.open(path.parent, os.O_PATH)
    try:
        connection.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
    return connection


def _copy_stream(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(_CHUNK_BYTES):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        sink.close()


def _accept_connections(listener: socket.socket, path: Path) -> None:
    while True:
        client = listener.accept()[0]
        try:
            proxy = _connect(path)
        except OSError:
            client.close()
            continue
        for ends in ((client, proxy), (proxy, client)):
            threading.Thread(target=_copy_stream, args=ends, daemon=True).start()


def forward_port(path: Path) -> int:
    """Forward a new loopback port to a Unix socket; returns the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept_connections, args=(listener, path), daemon=True).start()
    return int(listener.getsockname()[1])


def run(command: "list[str]") -> int:
    """Run a program to its end; returns its exit status, -N for signal N."""
    return subprocess.call(command, stdin=subprocess.DEVNULL)


def _print_phase(phase: str) -> None:
    print(f"{PHASE_PREFIX}{phase} ---", flush=True)


def _is_readable_sdist(path: str) -> bool:
    """Whether an sdist can be read completely; prints the error as the last line if not."""
    try:
        if path.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                fault = archive.testzip()
        else:
            with tarfile.open(path) as tar:
                fault = None
                for _ in tar:
                    pass
    except _READ_ERRORS as error:
        fault = str(error)
    if fault:
        print(f"the sdist cannot be read: {' '.join(fault.split())}", flush=True)
    return not fault


def _unpack(sdist: str, folder: Path) -> Path:
    """Unpack an sdist; returns its only folder, or the one it was unpacked to."""
    shutil.unpack_archive(sdist, folder)
    entries = list(folder.iterdir())
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


def _parse_toml(text: str, pip: str) -> "dict[str, Any]":
    """Parse TOML; Python 3.10 and older have no parser, so it is pip's own."""
    try:
        toml = importlib.import_module("tomllib")
    except ImportError:
        sys.path.append(str(Path(pip).parents[1]))
        toml = importlib.import_module("pip._vendor.tomli")
    return dict(toml.loads(text))


def _with_requirements(text: str, projects: "list[str]", pip: str) -> str:
    """A pyproject.toml whose build requirements have further projects.

    Raises ValueError if it is invalid, or written in a way that is not understood.
    """
    listed = "".join(f'"{project}", ' for project in projects)
    before = _parse_toml(text, pip)
    if "build-system" not in before:
        return f"{text}\n{_DEFAULT_BUILD_SYSTEM.format(listed)}"
    changed = _REQUIRES.sub(lambda found: found[0] + listed, text, count=1)
    before["build-system"]["requires"] = [*projects, *before["build-system"].get("requires", ())]
    if _parse_toml(changed, pip) != before:
        raise ValueError("its list of build requirements is not found")
    return changed


def _add_requirements(folder: Path, projects: "list[str]", pip: str) -> None:
    """Add projects to the build requirements of a source tree; prints why it cannot."""
    file = folder / "pyproject.toml"
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        file.write_text(_with_requirements(text, projects, pip), encoding="utf-8")
    except (OSError, TypeError, ValueError, AttributeError) as error:
        print(f"{', '.join(projects)} cannot be required in pyproject.toml: {error}", flush=True)


def _change_source(task: "dict[str, str]") -> "str | None":
    """The folder of the changed sdist; None if a patch does not apply."""
    try:
        folder = _unpack(task["sdist"], Path(task["source"]))
        for patch in task["patches"].splitlines():
            command = ["patch", "-p1", "--batch", "--forward", "--fuzz=0", f"--input={patch}"]
            if subprocess.call(command, cwd=folder, stdin=subprocess.DEVNULL) != 0:
                print(f"the patch {Path(patch).name} does not apply", flush=True)
                return None
        if task["requirements"]:
            _add_requirements(folder, task["requirements"].splitlines(), task["pip"])
    except (shutil.ReadError, *_READ_ERRORS) as error:
        print(f"the sdist cannot be patched: {' '.join(str(error).split())}", flush=True)
        return None
    return str(folder)


def _build_wheel(task: "dict[str, str]", source: str, port: int) -> int:
    """Run `pip wheel`.

    The environment has no setuptools, so that pip builds an sdist without a pyproject.toml by
    PEP 517 too, with the build dependencies from the index. Without --verbose pip would print
    the output of a build only at its end.
    """
    programs = Path(task["venv"]) / "bin"
    os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
    os.environ["VIRTUAL_ENV"] = task["venv"]
    os.environ["PIP_INDEX_URL"] = f"http://127.0.0.1:{port}/simple/"
    return run(
        [
            str(programs / "python"), task["pip"], "wheel", "--verbose", "--no-deps",
            "--no-cache-dir", "--prefer-binary", "--wheel-dir", task["wheels"], source,
        ]
    )  # fmt: skip


def _configure_cargo(port: int) -> None:
    """Lead cargo to the index proxy; a project with vendored crates overrides it."""
    folder = Path.home() / ".cargo"
    folder.mkdir()
    (folder / "config.toml").write_text(_CARGO_CONFIG.format(port), encoding="utf-8")


def main(task: "dict[str, str]") -> int:
    """Create the environment, then the wheel; returns the exit status, 128 + N for signal N."""
    _print_phase("preparing")
    port = forward_port(Path(task["socket"]))
    if task["crates"]:
        _configure_cargo(port)
    if run([sys.executable, "-I", "-m", "venv", "--without-pip", task["venv"]]) != 0:
        return VENV_FAILED
    is_changed = task["patches"] or task["requirements"]
    source = _change_source(task) if is_changed else task["sdist"]
    if source is None:
        return PATCH_FAILED
    _print_phase("building")
    status = _build_wheel(task, source, port)
    if status <= 0:
        return 128 - status if status else 0
    return FAILED if _is_readable_sdist(task["sdist"]) else BAD_SDIST


if __name__ == "__main__":
    sys.exit(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
