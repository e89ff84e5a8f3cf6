"""Byte code of an unpacked pip: without it every pip process of every build compiles pip again.

It is compiled once for each ABI in the sandbox, by the target's Python, or if that is emulated by
this process's: byte code is the same for all processors. The sandbox mounts pip read-only, so that
no build can change it.
"""

import asyncio
import io
import logging
import re
import sys
import tarfile
import tempfile
from pathlib import Path

from piwheels.builder.build_system import BuildSystem, HostSystem
from piwheels.builder.pip_provider import Pip
from piwheels.builder.process_runner import Limits
from piwheels.builder.sandbox import Sandbox, SandboxCommand
from piwheels.model import Interpreter
from piwheels.system.interpreters import probe_interpreter
from piwheels.webroot import sync_tree

log = logging.getLogger(__name__)

_TIMEOUT_S = 900.0  # enough under emulation
_OUTPUT = "bytecode.tar"
_SCRIPT = """
import compileall, os, py_compile, sys, tarfile
pip, prefix, output = sys.argv[1:]
sys.pycache_prefix = prefix
compileall.compile_dir(
    pip + "/pip", quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
)
with tarfile.open(output, "w") as tar:
    for folder, _, names in os.walk(prefix + pip):
        place = os.path.relpath(folder, prefix + pip)
        for name in names:
            tar.add(f"{folder}/{name}", f"{place}/__pycache__/{name}")
"""
_MEMBER = re.compile(r"pip(/\w+)*/__pycache__/[\w.-]+\.pyc")


async def compile_pip(
    pip: Pip, interpreter: Interpreter, system: BuildSystem, sandbox: Sandbox
) -> None:
    """Compile a pip for an interpreter, unless that was done; a failure is logged."""
    done = pip.folder / f".compiled-{interpreter.abi}"
    if done.exists():
        return
    interpreter, system = await asyncio.to_thread(_compiler, interpreter, system)
    with tempfile.TemporaryDirectory(prefix=".bytecode-", dir=pip.folder.parent) as folder:
        work_dir = Path(folder) / "work"
        printed = bytearray()
        command = _command(pip, interpreter, system, sandbox, work_dir)
        result = await sandbox.run(command, printed.extend)
        if result.status != 0:
            text = printed.decode(errors="replace").strip()[-200:]
            log.warning("pip cannot be compiled for %s: %s", interpreter.abi, text)
            return
        archive = (work_dir / _OUTPUT).read_bytes()
    await asyncio.to_thread(_install, archive, pip.folder)
    done.touch()


def _compiler(target: Interpreter, system: BuildSystem) -> tuple[Interpreter, BuildSystem]:
    """The interpreter that compiles for a target, and the system that it runs on."""
    if system.mount is not None and system.mount.emulated:
        here = probe_interpreter(Path(sys.executable))
        if here.abi == target.abi:
            return here, HostSystem()
    return target, system


def _command(
    pip: Pip, interpreter: Interpreter, system: BuildSystem, sandbox: Sandbox, work_dir: Path
) -> SandboxCommand:
    sandbox.prepare(work_dir)
    python = interpreter.executable
    inside = [sandbox.path_inside(work_dir, work_dir / name) for name in ("cache", _OUTPUT)]
    own = (interpreter.base_prefix, python) if system.mount is None else ()
    return SandboxCommand(
        command=(str(python), "-I", "-c", _SCRIPT, str(pip.folder), *inside),
        environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        work_dir=work_dir,
        limits=Limits(timeout_s=_TIMEOUT_S, disk_reserve_bytes=0),
        readable_paths=(*own, pip.folder),
        mount=system.mount,
    )


def _install(archive: bytes, folder: Path) -> None:
    """Put the byte code beside its sources; builds may be reading them."""
    written: list[tuple[Path, Path]] = []
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is None or not _MEMBER.fullmatch(member.name):
                continue
            target = folder / member.name
            target.parent.mkdir(exist_ok=True)
            target.parent.chmod(0o755)
            temporary = target.with_suffix(".tmp")
            temporary.write_bytes(content.read())
            temporary.chmod(0o644)
            written.append((temporary, target))
    sync_tree(folder)  # after a loss of power, half a file would end every build
    for temporary, target in written:
        temporary.replace(target)
