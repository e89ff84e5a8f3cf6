"""Real roots, made from Debian's archive by the first test that needs one, and kept between runs."""

import fcntl
import functools
import platform
from pathlib import Path

from piwheels.builder.build_system import RootSystem
from piwheels.builder.root_systems import Roots
from piwheels.config import BuilderSection
from tests.session_cache import persistent_cache

#: A root of this machine's architecture, and one that is emulated.
NATIVE, FOREIGN = {
    "x86_64": ("trixie-amd64", "trixie-arm64"),
    "aarch64": ("trixie-arm64", "trixie-riscv64"),
}.get(platform.machine(), ("trixie-armhf", "trixie-arm64"))


@functools.cache
def shared_roots() -> Roots:
    """The roots of all tests."""
    return Roots(BuilderSection(roots_dir=roots_dir()), {})


def roots_dir() -> Path:
    """Where they are."""
    return persistent_cache("roots", "1", lambda _: None)


def root_system(name: str) -> RootSystem:
    """A root, made by the first process that needs it."""
    roots = shared_roots()
    with (roots_dir() / f"{name}.test-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if roots.store.find(name) is None:
            roots.make(name, lambda *_: None)
    return roots.system(name)
