"""Installs or imports a wheel inside the sandbox: a script that the target's Python runs.

Like sandbox_entry, which lies beside it, it needs Python 3.9 and its standard library. Its argument
is the path of a JSON file:

    step       "install" or "import"
    pip        pip's runner script
    wheel      the wheel
    venv       the virtual environment, which "install" creates
    socket     the Unix socket of the index proxy, for "install"

The last line that a failed import prints says which module failed, and why.
"""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING or __name__ != "__main__":
    from piwheels.builder import sandbox_entry
else:  # piwheels is not there inside the sandbox
    sys.path.insert(0, str(Path(__file__).parent))
    import sandbox_entry

_MAX_MODULES = 20
_MODULE_SUFFIXES = (".py", ".so")
#: Top-level modules that releases contain by mistake, and that no program imports.
_IGNORED = frozenset(
    ("benchmark", "benchmarks", "conftest", "doc", "docs", "example", "examples", "setup", "test",
     "tests")
)  # fmt: skip


def top_level_modules(names: "list[str]") -> "list[str]":
    """The modules that the files of a wheel make importable, without namespace packages."""
    found = {}
    for name in names:
        parts = name.split("/")
        if parts[0].endswith(".data") and parts[1:2] in (["purelib"], ["platlib"]):
            parts = parts[2:]
        is_package = len(parts) == 2 and parts[1].split(".")[0] == "__init__"
        if (is_package or len(parts) == 1) and parts[-1].endswith(_MODULE_SUFFIXES):
            found[parts[0].split(".")[0]] = True
    return [name for name in found if name.isidentifier() and name not in _IGNORED]


def _install(task: "dict[str, str]") -> int:
    """Install the wheel with what it requires, of which nothing is built from source."""
    port = sandbox_entry.forward_port(Path(task["socket"]))
    if sandbox_entry.run([sys.executable, "-I", "-m", "venv", "--without-pip", task["venv"]]) != 0:
        return sandbox_entry.VENV_FAILED
    return sandbox_entry.run(
        [
            f"{task['venv']}/bin/python", task["pip"], "install", "--no-cache-dir",
            "--only-binary", ":all:", "--index-url", f"http://127.0.0.1:{port}/simple/",
            task["wheel"],
        ]
    )  # fmt: skip


def _import(task: "dict[str, str]") -> int:
    """Import each top-level module in a process of its own; returns the first failure."""
    with zipfile.ZipFile(task["wheel"]) as wheel:
        modules = top_level_modules(wheel.namelist())
    for name in modules[:_MAX_MODULES]:
        done = subprocess.run(
            [f"{task['venv']}/bin/python", "-I", "-c", f"import {name}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode != 0:
            lines = done.stdout.decode(errors="replace").split("\n")
            told = [line.strip() for line in lines if line.strip()]
            print("\n".join(told))
            print(f"import {name}: {told[-1] if told else f'exit status {done.returncode}'}")
            return sandbox_entry.FAILED
    return 0


def main(task: "dict[str, str]") -> int:
    """Do one step; returns the exit status."""
    return _install(task) if task["step"] == "install" else _import(task)


if __name__ == "__main__":
    sys.exit(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
