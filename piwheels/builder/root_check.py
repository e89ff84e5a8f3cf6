"""What roots need on this machine, tried one by one."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from piwheels.builder.root_systems import Roots, describe_interpreter
from piwheels.errors import ConfigError
from piwheels.formatting import format_size
from piwheels.model import Struct
from piwheels.roots.architectures import ARCHITECTURES, is_native
from piwheels.roots.emulator import installed_emulator, registered_by_system

_TIMEOUT_S = 30.0
_SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_NAMESPACES_REMEDY = (
    "builds need them for the sandbox too: `sysctl -w "
    "kernel.apparmor_restrict_unprivileged_userns=0` on Ubuntu, `sysctl -w "
    "user.max_user_namespaces=10000` elsewhere, or a container with --privileged"
)
#: Mounts in a user namespace of its own: its argument is a kind of file system.
_TRY_MOUNT = """
import ctypes, os, sys, tempfile
libc = ctypes.CDLL(None, use_errno=True)
uid, gid, kind = os.geteuid(), os.getegid(), sys.argv[1]
def check(result):
    if result:
        sys.exit(os.strerror(ctypes.get_errno()))
check(libc.unshare(0x10020000))
for name, line in ("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1"):
    with open(f"/proc/self/{name}", "w") as file:
        file.write(line)
check(libc.mount(None, b"/", None, 0x44000, None))
if kind == "overlay":
    check(libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None))
    for name in "abc":
        os.mkdir(f"/tmp/{name}")
    check(libc.mount(b"overlay", b"/tmp/c", b"overlay", 1, b"lowerdir=/tmp/a:/tmp/b"))
elif kind:
    check(libc.mount(kind.encode(), b"/proc/sys/fs/binfmt_misc", kind.encode(), 0, None))
"""


class Check(Struct, frozen=True, kw_only=True):
    """One thing that roots need."""

    what: str
    ok: bool
    found: str
    remedy: str = ""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"what": self.what, "ok": self.ok, "found": self.found, "remedy": self.remedy}


def check_machine(roots: Roots) -> list[Check]:
    """Try everything that roots need here."""
    return [
        *_programs(),
        *_kernel(),
        *_emulators(roots),
        _storage(roots),
        *(_made_root(roots, item.record.name) for item in roots.store.roots()),
    ]


def _programs() -> Iterator[Check]:
    for program, package in (("apt-get", "apt"), ("dpkg-deb", "dpkg")):
        path = shutil.which(program, path=_SYSTEM_PATH)
        yield Check(
            what=f"{package}, which makes roots",
            ok=path is not None,
            found=path or "not installed",
            remedy="roots are made on Debian, Ubuntu or Raspberry Pi OS; a root that was made "
            "there is used here by its folder ([root.NAME] folder)",
        )
    readable = os.access(_DEBIAN_KEYRING, os.R_OK)
    yield Check(
        what="Debian's keyring",
        ok=readable,
        found=str(_DEBIAN_KEYRING) if readable else "not installed",
        remedy="`apt install debian-archive-keyring`",
    )


def _kernel() -> Iterator[Check]:
    release = os.uname().release
    for kind, what, remedy in (
        (
            "",
            "user namespaces",
            _NAMESPACES_REMEDY,
        ),
        (
            "overlay",
            "overlays, for package layers",
            "Linux 5.11 or later; without it, name packages in [root.NAME] packages",
        ),
        (
            "binfmt_misc",
            "binfmt_misc in a user namespace, for emulation",
            "Linux 6.7 or later, or `apt install qemu-user-static` (its entries serve every root)",
        ),
    ):
        problem = _try_mount(kind)
        found = f"Linux {release}" + (f": {problem}" if problem else "")
        yield Check(what=what, ok=not problem, found=found, remedy=remedy)


def _try_mount(kind: str) -> str:
    """The reason why a mount fails; "" if it works."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _TRY_MOUNT, kind],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "it did not end in time"
    lines = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else (lines[-1] if lines else "it failed")


def _emulators(roots: Roots) -> Iterator[Check]:
    for name, architecture in ARCHITECTURES.items():
        if is_native(name):
            found = "this machine's own"
        elif registered_by_system(name):
            found = "emulated by the system's qemu"
        elif emulator := installed_emulator(roots.store, name):
            found = f"emulated by {emulator}"
        else:
            found = f"emulated; `piw root add` fetches {architecture.qemu}"
        yield Check(what=name, ok=True, found=found)


def _storage(roots: Roots) -> Check:
    store = roots.store
    try:
        store.prepare()
    except ConfigError as error:
        return Check(
            what="disk space", ok=False, found=str(error), remedy="set builder.roots_dir to another"
        )
    used, free = store.used_bytes(), shutil.disk_usage(store.folder).free
    enough = free > 1 << 30 and store.max_bytes - used > 1 << 30
    return Check(
        what="disk space",
        ok=enough,
        found=f"{store.folder} has {format_size(used)} of {format_size(store.max_bytes)} in use, "
        f"{format_size(free)} free on its disk",
        remedy="a root takes 0.5 GiB and its packages 0.1: raise builder.max_roots_mb, or name "
        "another builder.roots_dir",
    )


def _made_root(roots: Roots, name: str) -> Check:
    what = f"the root {name}"
    try:
        found = asyncio.run(roots.interpreters(name))
    except ConfigError as error:
        return Check(what=what, ok=False, found=str(error), remedy=f"`piw root update {name}`")
    texts = [describe_interpreter(interpreter, system) for interpreter, system in found]
    return Check(what=what, ok=True, found="; ".join(texts))
