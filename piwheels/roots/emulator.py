"""qemu-user: the emulator of programs for another architecture."""

import os
import shutil
from pathlib import Path

from piwheels.errors import ConfigError
from piwheels.roots.apt import Apt
from piwheels.roots.architectures import ARCHITECTURES, is_native, needs_linux32
from piwheels.roots.deb_file import unpack
from piwheels.roots.mount import RootMount
from piwheels.roots.store import RootStore, remove_tree

_SYSTEM_ENTRIES = Path("/proc/sys/fs/binfmt_misc")
_PATH = "/usr/local/bin:/usr/bin:/bin"
#: Packages with static emulators: bookworm's, and from trixie on.
_PACKAGES = ("qemu-user-static", "qemu-user")


def find_emulator(store: RootStore, arch: str, apt: Apt) -> Path | None:
    """The emulator for an architecture: installed, fetched before, or fetched now.

    None if this machine needs none, or if the system registered one for every root.

    Raises:
        ConfigError: there is none for this machine.
    """
    if is_native(arch) or registered_by_system(arch):
        return None
    return installed_emulator(store, arch) or _fetch(store, arch, apt)


def installed_emulator(store: RootStore, arch: str) -> Path | None:
    """A static emulator that is on this machine."""
    name = ARCHITECTURES[arch].qemu
    fetched = store.emulators_dir / name
    if os.access(fetched, os.X_OK):
        return fetched
    for program in (f"{name}-static", name):
        found = shutil.which(program, path=_PATH)
        if found and _is_static(Path(found)):
            return Path(found).resolve()
    return None


def registered_by_system(arch: str, entries: Path = _SYSTEM_ENTRIES) -> bool:
    """Whether the system runs this architecture in every root: an entry with the flag F.

    An entry that is made in a namespace hides those of the system, so they are used alone.
    """
    for name in (ARCHITECTURES[arch].qemu, f"{ARCHITECTURES[arch].qemu}-static"):
        try:
            lines = (entries / name).read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        if "enabled" in lines and any(
            line.startswith("flags:") and "F" in line.partition(":")[2] for line in lines
        ):
            return True
    return False


def mount_of(
    system: Path, arch: str, emulator: Path | None, *, cpu: str = "", layers: tuple[Path, ...] = ()
) -> RootMount:
    """How a root is mounted and run on this machine."""
    emulated = not is_native(arch)
    cpu = cpu or ARCHITECTURES[arch].qemu_cpu
    return RootMount(
        root=system.resolve(),
        layers=layers,
        arch=arch,
        emulator=emulator,
        environment=(("QEMU_CPU", cpu),) if emulated and cpu else (),
        prefix=("setarch", "linux32", "--") if needs_linux32(arch) else (),
        emulated=emulated,
    )


def _fetch(store: RootStore, arch: str, apt: Apt) -> Path:
    name = ARCHITECTURES[arch].qemu
    apt.update()
    folder = store.emulators_dir / f".{name}.making"
    for package in _PACKAGES:
        try:
            deb = apt.download_single(package)
        except ConfigError:
            continue
        remove_tree(folder)
        folder.mkdir(parents=True)
        try:
            unpack(deb, folder)
            _keep_emulators(folder / "usr/bin", store.emulators_dir)
        finally:
            remove_tree(folder)
        if os.access(store.emulators_dir / name, os.X_OK):
            return store.emulators_dir / name
    raise ConfigError(
        f"programs for {arch} need an emulator, and the root's archives have none for this "
        f"machine: `apt install qemu-user-static`"
    )


def _keep_emulators(programs: Path, target: Path) -> None:
    """Keep the static emulators of a package, of every architecture that roots can have."""
    for architecture in ARCHITECTURES.values():
        for suffix in ("-static", ""):
            found = programs / f"{architecture.qemu}{suffix}"
            if found.is_file() and _is_static(found):
                found.resolve().replace(target / architecture.qemu)
                break


def _is_static(program: Path) -> bool:
    """Whether an ELF file has no interpreter (PT_INTERP), so that it runs in every root."""
    with program.open("rb") as file:
        head = file.read(64)
        if head[:4] != b"\x7fELF":
            return False
        wide = head[4] == 2
        at, size, count = (
            (int.from_bytes(head[32:40], "little"), *_words(head, 54, 56))
            if wide
            else (int.from_bytes(head[28:32], "little"), *_words(head, 42, 44))
        )
        file.seek(at)
        headers = file.read(size * count)
    return all(
        int.from_bytes(headers[start : start + 4], "little") != 3
        for start in range(0, len(headers), size)
    )


def _words(head: bytes, *places: int) -> tuple[int, ...]:
    return tuple(int.from_bytes(head[at : at + 2], "little") for at in places)
