"""What a root is made of: presets, and the settings in `[root.NAME]`."""

import functools
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from piwheels.config import Archive, BuilderSection, RootSection
from piwheels.errors import ConfigError
from piwheels.model import Struct

_RASPBERRY_PI_OS = "rpios-"

#: What every root has: a compiler, Python with headers, and what builds call by name.
BASE_PACKAGES = (
    "?essential", "python3-dev", "python3-venv", "build-essential", "pkg-config",
    "ca-certificates",
)  # fmt: skip


class RootDefinition(Struct, frozen=True, kw_only=True):
    """A root, before it is made."""

    name: str
    title: str = ""
    arch: str = ""  # Debian's name of it: "arm64"
    archives: tuple[Archive, ...] = ()
    packages: tuple[str, ...] = ()  # besides BASE_PACKAGES
    interpreters: tuple[str, ...] = ("python3",)
    cpu: str = ""  # that qemu emulates; "": the usual one of the architecture
    machine: str = ""  # of wheel tags, if not the interpreter's own
    folder: Path | None = None  # of a root that was made otherwise


def preset_names() -> tuple[str, ...]:
    """The names of all presets."""
    return tuple(_presets(""))


def find_definition(
    name: str, sections: Mapping[str, RootSection], config: BuilderSection
) -> RootDefinition:
    """The definition of a root: its preset, changed by its settings.

    Raises:
        ConfigError: there is neither a preset nor a `[root.NAME]`, or it is incomplete.
    """
    section = sections.get(name, RootSection())
    preset = section.preset or name
    found = _presets(config.debian_mirror_url.rstrip("/")).get(preset)
    if found is None and (name not in sections or section.preset):
        raise ConfigError(
            f"there is no root {preset}: name one of {', '.join(preset_names())}, or describe it "
            f"in [root.{name}]"
        )
    base = found or RootDefinition(name=name)
    defined = RootDefinition(
        name=name,
        title=base.title,
        arch=section.arch or base.arch,
        archives=section.archives or base.archives,
        packages=section.packages or base.packages,
        interpreters=section.interpreters or base.interpreters,
        cpu=section.cpu or base.cpu,
        machine=section.machine or base.machine,
        folder=section.folder,
    )
    if not defined.arch:
        raise ConfigError(f"[root.{name}] needs an arch, such as arm64")
    if not defined.archives and defined.folder is None:
        raise ConfigError(f"[root.{name}] needs archives, a preset or a folder")
    return defined


@functools.cache
def _presets(mirror: str) -> dict[str, RootDefinition]:
    data = tomllib.loads((files(__package__) / "presets.toml").read_text(encoding="utf-8"))
    found = {}
    for release, entry in data["releases"].items():
        debian = tuple(
            _archive(archive, data["keyrings"], mirror, release) for archive in data["archives"]
        )
        for arch in entry["architectures"]:
            name = f"{release}-{arch}"
            found[name] = RootDefinition(
                name=name, title=f"{entry['title']}, {arch}", arch=arch, archives=debian
            )
        found |= _raspberry_pi_os(data, release, debian)
    return found


def _raspberry_pi_os(
    data: Mapping[str, Any], release: str, debian: tuple[Archive, ...]
) -> dict[str, RootDefinition]:
    number = data["releases"][release]["title"].rpartition(" ")[2]
    title = f"Raspberry Pi OS {number}"
    own, raspbian = (
        _archive({**data[name], "suites": ["{release}"]}, data["keyrings"], "", release)
        for name in ("raspberrypi", "raspbian")
    )
    wide, narrow = f"{_RASPBERRY_PI_OS}{release}-arm64", f"{_RASPBERRY_PI_OS}{release}-armv6"
    return {
        wide: RootDefinition(
            name=wide, title=f"{title}, 64-bit (untried)", arch="arm64", archives=(*debian, own)
        ),
        narrow: RootDefinition(
            name=narrow,
            title=f"{title}, 32-bit (untried)",
            arch="armhf",
            archives=(raspbian, own),
            cpu="arm1176",
            machine="armv6l",
        ),
    }


def _archive(
    entry: Mapping[str, Any], keyrings: Mapping[str, str], mirror: str, release: str
) -> Archive:
    return Archive(
        url=entry["url"].format(mirror=mirror),
        suites=tuple(suite.format(release=release) for suite in entry["suites"]),
        components=tuple(entry["components"]),
        keyring=Path(keyrings[entry["keyring"]]),
    )
