"""ARMv6: the emulated processor of its roots runs ARMv6 code, and ends later ARM code."""

import platform
import signal
import subprocess
from pathlib import Path

import pytest

from piwheels.config import BuilderSection
from piwheels.roots.definition import find_definition, preset_names
from piwheels.roots.emulator import installed_emulator, mount_of
from piwheels.roots.store import RootStore
from piwheels.wheel import elf
from tests.requires import find_program, requires_program, skip_or_fail

_PRESETS = [name for name in preset_names() if name.endswith("-armv6")]
#: A library that can also be run: its entry point computes something, and calls exit(2).
_SOURCE = """
static int quotient(int a, int b) { volatile double x = a, y = b; return (int)(x / y); }
__attribute__((used)) void start(void) {
  register int status __asm__("r0") = quotient(126, 3) - 42;
  register int number __asm__("r7") = 1;
  __asm__ volatile("svc 0" : : "r"(status), "r"(number));
}
"""


def _library(folder: Path, flags: str) -> Path:
    """What a wheel could hold."""
    source, library = folder / "demo.c", folder / "demo.so"
    source.write_text(_SOURCE)
    compiler = [find_program("arm-linux-gnueabihf-gcc"), "-O1", "-fPIC", "-shared", "-nostdlib"]
    # Without the start files: those of Debian are for ARMv7.
    options = ["-Wl,-e,start", "-mfloat-abi=hard", *flags.split()]
    subprocess.run([*compiler, *options, "-o", str(library), str(source)], check=True)
    return library


def _run(library: Path, preset: str, folder: Path) -> int:
    """Its exit status on the processor of a root, as subprocess gives it."""
    emulator = installed_emulator(RootStore(folder, max_bytes=0), "armhf")
    if emulator is None:
        skip_or_fail("qemu-user-static is not installed")
    definition = find_definition(preset, {}, BuilderSection())
    mount = mount_of(folder, definition.arch, emulator, cpu=definition.cpu)
    command = [str(emulator), str(library)]
    return subprocess.run(
        command, env=dict(mount.environment), stderr=subprocess.DEVNULL, check=False
    ).returncode


@pytest.mark.skipif(platform.machine() in {"armv6l", "armv7l", "aarch64"}, reason="not emulated")
@requires_program("arm-linux-gnueabihf-gcc")
@pytest.mark.parametrize("preset", _PRESETS)
@pytest.mark.parametrize(
    ("flags", "runs"),
    [
        ("-march=armv6 -mfpu=vfp -marm", True),
        ("-march=armv7-a -mfpu=vfpv3-d16 -marm", False),
        ("-march=armv7-a -mfpu=vfpv3-d16 -mthumb", False),
    ],
)
def test_only_armv6_code_runs(tmp_path: Path, preset: str, flags: str, runs: bool) -> None:
    library = _library(tmp_path, flags)
    expected = 0 if runs else -signal.SIGILL
    assert _run(library, preset, tmp_path) == expected
    assert _run(library, "trixie-armhf", tmp_path) == 0
    with library.open("rb") as file:
        facts = elf.read(file)
    assert facts is not None
    assert facts.runs_on("armv6l") is runs, "the wheel's check, which runs nothing, agrees"
