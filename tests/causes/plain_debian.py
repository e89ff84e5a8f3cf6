"""The sandbox, with no more programs than a Debian with build-essential and Python has."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from piwheels.builder.bubblewrap import Bubblewrap, find_bubblewrap
from piwheels.builder.process_runner import OnOutput, ProcessResult
from piwheels.builder.sandbox import SandboxCommand
from tests.causes.spec import Variant

#: Hidden where the machine has them.
_EXTRA_PROGRAMS = frozenset(
    [
        "autoconf",
        "automake",
        "autoreconf",
        "bison",
        "cargo",
        "clang",
        "cmake",
        "curl",
        "flex",
        "gdb",
        "gfortran",
        "git",
        "go",
        "java",
        "javac",
        "meson",
        "mysql_config",
        "ninja",
        "node",
        "npm",
        "pg_config",
        "pkg-config",
        "pkgconf",
        "rustc",
        "strace",
        "swig",
        "wget",
        "x86_64-linux-gnu-pkg-config",
        "x86_64-linux-gnu-pkgconf",
        "xml2-config",
        "xslt-config",
    ]
)
_PROGRAMS = Path("/usr/bin")
_VISIBLE_AT = "/programs"  # where the links to the visible programs lead


class PlainDebian(Bubblewrap):
    """Bubblewrap in which /usr/bin has links to the visible programs; it keeps what it measured."""

    def __init__(self, variant: Variant, programs: Path) -> None:
        super().__init__(find_bubblewrap())
        self._variant = variant
        self._programs = programs
        self.last_result: ProcessResult | None = None
        self.disk_free = (0, 0)  # before and after, in bytes
        self.wheels: tuple[str, ...] = ()

    def bwrap_command(
        self, command: SandboxCommand, *, via_drop_root: bool, with_seccomp: bool = False
    ) -> list[str]:
        words = super().bwrap_command(
            command, via_drop_root=via_drop_root, with_seccomp=with_seccomp
        )
        at = words.index("--proc")
        shown = ["--ro-bind", str(_PROGRAMS), _VISIBLE_AT]
        replaced = ["--ro-bind", str(self._programs), str(_PROGRAMS)]
        return [*words[:at], *shown, *replaced, *words[at:]]

    async def run(self, command: SandboxCommand, on_output: OnOutput) -> ProcessResult:
        wheels = command.work_dir / "wheels"
        if not wheels.is_dir():  # not the build: pip is compiled before
            return await super().run(command, on_output)
        if self._variant.rust:
            command = _with_rust(command)
        before = _free_bytes(command.work_dir)
        self.last_result = await super().run(command, on_output)
        self.disk_free = (before, _free_bytes(command.work_dir))
        self.wheels = tuple(sorted(path.name for path in wheels.iterdir()))
        return self.last_result


@contextmanager
def plain_debian(variant: Variant) -> Iterator[PlainDebian]:
    """The sandbox of a variant."""
    hidden = _EXTRA_PROGRAMS.difference(variant.programs) | set(variant.hidden)
    # Not below /tmp, which is mounted over where root privileges are dropped.
    programs = Path(tempfile.mkdtemp(prefix="programs-", dir="/var/tmp"))
    try:
        programs.chmod(0o755)
        for path in _PROGRAMS.iterdir():
            if path.name not in hidden:
                (programs / path.name).symlink_to(f"{_VISIBLE_AT}/{path.name}")
        yield PlainDebian(variant, programs)
    finally:
        shutil.rmtree(programs)


def rust_toolchain() -> Path:
    """The folder of the machine's Rust toolchain."""
    shown = subprocess.run(
        ["rustc", "--print", "sysroot"], check=True, capture_output=True, text=True
    )
    return Path(shown.stdout.strip())


def _free_bytes(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def _with_rust(command: SandboxCommand) -> SandboxCommand:
    toolchain = rust_toolchain()
    path = f"{toolchain}/bin:{command.environment['PATH']}"
    return msgspec.structs.replace(
        command,
        readable_paths=(*command.readable_paths, toolchain),
        environment={**command.environment, "PATH": path},
    )
