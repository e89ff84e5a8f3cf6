"""Byte code of a root's standard library, which its packages' scripts would compile.

Without it every Python process of every build compiles what it imports.
"""

import io
import re
import tarfile
from pathlib import Path

#: Run by the root's Python in the sandbox: it leaves the byte code in a tar file.
COMPILE_SCRIPT = """
import compileall, os, py_compile, re, sys, sysconfig, tarfile
sys.pycache_prefix = "/build/bytecode"
library = sysconfig.get_path("stdlib")
compileall.compile_dir(
    library, quiet=2, rx=re.compile("/(tests?|idlelib|lib2to3|turtledemo)/"),
    invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
)
with tarfile.open("/build/bytecode.tar", "w") as tar:
    for folder, _, names in os.walk(sys.pycache_prefix + library):
        place = folder[len(sys.pycache_prefix):].lstrip("/")
        for name in names:
            tar.add(f"{folder}/{name}", f"{place}/__pycache__/{name}")
"""
COMPILE_OUTPUT = "bytecode.tar"

_MEMBER = re.compile(r"usr/lib/python3[A-Za-z0-9_./-]*/__pycache__/[A-Za-z0-9_.-]+\.pyc")


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
