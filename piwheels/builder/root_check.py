"""What roots need on this machine, tried one by one."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from piwheels.builder.kernel_features import KERNEL_FEATURES, USER_NAMESPACES
from piwheels.builder.root_systems import Roots, describe_interpreter
from piwheels.errors import ConfigError
from piwheels.formatting import format_size
from piwheels.model import Struct
from piwheels.roots.architectures import ARCHITECTURES, is_native
from piwheels.roots.emulator import installed_emulator, registered_by_system

_SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


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
    for feature in KERNEL_FEATURES:
        problem = feature.problem()
        found = f"Linux {release}" + (f": {problem}" if problem else "")
        yield Check(what=feature.what, ok=not problem, found=found, remedy=feature.remedy)
        if problem and feature is USER_NAMESPACES:
            return  # the others need them


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
