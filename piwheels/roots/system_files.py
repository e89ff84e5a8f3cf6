"""What maintainer scripts would write into a root: links, certificates, accounts."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from piwheels.roots.alternatives import choose_links, read_alternatives
from piwheels.roots.deb_file import Package

#: The links of a merged /usr (usrmerge); lib64 is on amd64 alone.
_USR_LINKS = ("bin", "sbin", "lib")
_CERTIFICATES = "usr/share/ca-certificates"
_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
#: Files that the sandbox mounts its own ones over.
_MOUNT_POINTS = ("passwd", "group", "nsswitch.conf", "hosts")
#: Alternatives whose scripts compute their paths: link to target, as patterns of Path.glob.
_COMPUTED = {
    "usr/lib/{triplet}/pkgconfig/hdf5.pc": "usr/lib/{triplet}/pkgconfig/hdf5-serial.pc",
    "usr/bin/h5cc": "usr/bin/h5cc.serial",
    "usr/lib/{triplet}/libhdf5.so": "usr/lib/{triplet}/hdf5/serial/libhdf5.so",
}
_COMPUTED_DIRS = {
    "usr/lib/jvm/default-java/bin": "usr/bin",
}


def prepare(root: Path, arch: str) -> None:
    """Make the folders and links that packages are unpacked into."""
    link_merged_usr(root, arch)
    for name in ("etc", "var/lib/dpkg/info", "tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)


def link_merged_usr(folder: Path, arch: str) -> None:
    """Make the links from the top of a root or a layer into its usr."""
    for name in (*_USR_LINKS, *(("lib64",) if arch == "amd64" else ())):
        (folder / "usr" / name).mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(f"usr/{name}")


def complete(root: Path) -> None:
    """Write what a new root needs besides the files of its packages."""
    for name in _MOUNT_POINTS:
        (root / "etc" / name).touch()
    bundle = root / _BUNDLE
    bundle.parent.mkdir(parents=True, exist_ok=True)
    certificates = sorted((root / _CERTIFICATES).rglob("*.crt"))
    bundle.write_bytes(b"".join(file.read_bytes() for file in certificates))


def missing_parts(root: Path) -> list[str]:
    """The folders and mount points that a root that was made otherwise lacks."""
    parts = ("usr", *(f"etc/{name}" for name in _MOUNT_POINTS))
    return [part for part in parts if not (root / part).exists()]


def link_alternatives(
    folder: Path, packages: Iterable[Package], triplet: str, below: Sequence[Path] = ()
) -> None:
    """Make the links of these packages' alternatives, relative, without /etc/alternatives.

    Args:
        folder: a root or a layer.
        packages: those unpacked in it.
        triplet: of the architecture's library folders.
        below: roots whose files are visible beneath it, which no link replaces.
    """
    places = (folder, *below)
    found = [item for package in packages for item in read_alternatives(package.postinst)]
    for link, targets in choose_links(found).items():
        _link(link.lstrip("/"), (target.lstrip("/") for target in targets), places)
    for link, target in _computed_links(folder, triplet).items():
        _link(link, (target,), places)


def _computed_links(folder: Path, triplet: str) -> Mapping[str, str]:
    found = {
        link.format(triplet=triplet): target.format(triplet=triplet)
        for link, target in _COMPUTED.items()
    }
    for source, place in _COMPUTED_DIRS.items():
        for program in (folder / source).glob("*"):
            found[f"{place}/{program.name}"] = f"{source}/{program.name}"
    return found


def _link(link: str, targets: Iterable[str], places: Sequence[Path]) -> None:
    if any(os.path.lexists(place / link) for place in places):
        return
    for target in targets:
        if any((place / target).exists() for place in places):
            path = places[0] / link
            if not path.parent.is_dir():
                path.parent.mkdir(parents=True)
            path.symlink_to(os.path.relpath(f"/{target}", f"/{Path(link).parent}"))
            return


def os_release(root: Path) -> dict[str, str]:
    """The fields of a root's os-release(5)."""
    for name in ("etc/os-release", "usr/lib/os-release"):
        try:
            text = (root / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        return {
            key: value.strip("\"'")
            for key, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)
        }
    return {}
