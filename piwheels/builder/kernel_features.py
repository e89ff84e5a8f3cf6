"""What roots need of the kernel, tried in a namespace of its own."""

import os
import subprocess
import sys

from piwheels.errors import ConfigError
from piwheels.model import Struct

_TIMEOUT_S = 30.0
_NAMESPACES_REMEDY = (
    "builds need them for the sandbox too: `sysctl -w "
    "kernel.apparmor_restrict_unprivileged_userns=0` on Ubuntu, `sysctl -w "
    "user.max_user_namespaces=10000` elsewhere, or a container with --privileged; a chroot has none"
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


class KernelFeature(Struct, frozen=True, kw_only=True):
    """A feature of the kernel."""

    mount: str  # the kind of file system that is mounted to try it; "" is none
    what: str
    remedy: str

    def problem(self) -> str:
        """The reason why it is not there; "" if it is."""
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-c", _TRY_MOUNT, self.mount],
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "it did not end in time"
        lines = done.stderr.strip().splitlines()
        return "" if done.returncode == 0 else (lines[-1] if lines else "it failed")


USER_NAMESPACES = KernelFeature(mount="", what="user namespaces", remedy=_NAMESPACES_REMEDY)
BINFMT_MISC = KernelFeature(
    mount="binfmt_misc",
    what="binfmt_misc in a user namespace, for emulation",
    remedy="Linux 6.7 or later, or `apt install qemu-user-static` (its entries serve every root)",
)
KERNEL_FEATURES = (
    USER_NAMESPACES,
    KernelFeature(
        mount="overlay",
        what="overlays, for package layers",
        remedy="Linux 5.11 or later; without it, name packages in [root.NAME] packages",
    ),
    BINFMT_MISC,
)


def require_kernel(name: str, *features: KernelFeature) -> None:
    """Check that the kernel has what a root cannot do without.

    Raises:
        ConfigError: it lacks one; the message says what helps.
    """
    for feature in features:
        if problem := feature.problem():
            raise ConfigError(
                f"the root {name} needs {feature.what}; Linux {os.uname().release}: {problem}: "
                f"{feature.remedy}"
            )
