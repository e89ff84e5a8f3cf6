"""Byte code of a root's standard library, which its packages' scripts would compile.

Without it every Python process of every build compiles what it imports.
"""

import io
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

#: Run by the root's Python in the sandbox: it leaves the byte code in a tar file. It prints the
#: number of files, and a dot for each that is done.
COMPILE_SCRIPT = """
import os, py_compile, re, sys, sysconfig, tarfile
sys.pycache_prefix = "/build/bytecode"
library = sysconfig.get_path("stdlib")
skipped = re.compile("/(tests?|idlelib|lib2to3|turtledemo|__pycache__)/")
files = [
    f"{folder}/{name}" for folder, _, names in os.walk(library) for name in names
    if name.endswith(".py") and not skipped.search(f"{folder}/")
]
print(len(files), flush=True)
workers = min(len(os.sched_getaffinity(0)), 8)
def compile_share(number):
    for file in files[number::workers]:
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(file, quiet=2, invalidation_mode=mode)
        os.write(1, b".")
started = []
for number in range(workers):
    started.append(os.fork())
    if not started[-1]:
        compile_share(number)
        os._exit(0)
if any([os.waitpid(process, 0)[1] for process in started]):
    sys.exit("its standard library cannot be compiled")
with tarfile.open("/build/bytecode.tar", "w") as tar:
    for folder, _, names in os.walk(sys.pycache_prefix + library):
        place = folder[len(sys.pycache_prefix):].lstrip("/")
        for name in names:
            tar.add(f"{folder}/{name}", f"{place}/__pycache__/{name}")
"""
COMPILE_OUTPUT = "bytecode.tar"

_MEMBER = re.compile(r"usr/lib/python3[A-Za-z0-9_./-]*/__pycache__/[A-Za-z0-9_.-]+\.pyc")


class CompileProgress:
    """Reads what COMPILE_SCRIPT prints, and reports the fraction of files that are done."""

    def __init__(self, on_fraction: Callable[[float], None]) -> None:
        self._on_fraction = on_fraction
        self._printed = b""

    def __call__(self, output: bytes) -> None:
        """Take a part of the output."""
        self._printed += output
        total, _, done = self._printed.partition(b"\n")
        if done and total.isdigit():
            self._on_fraction(min(len(done) / int(total), 1.0))


def install_bytecode(root: Path, archive: bytes) -> int:
    """Write the byte code of COMPILE_SCRIPT into a root; returns the number of files."""
    count = 0
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            if not _MEMBER.fullmatch(member.name) or ".." in member.name:
                continue
            content = tar.extractfile(member)
            target = root / member.name
            if content is not None and target.parents[1].is_dir():
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(content.read())
                count += 1
    return count
