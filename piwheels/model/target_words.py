"""Targets in words: `Raspberry Pi OS 13 (trixie), 64-bit, Python 3.13`."""

import re
from functools import lru_cache

from piwheels.model.base import Struct

_RASPBERRY_PI_OS = "Raspberry Pi OS"
#: The numbers of releases by code name.
_DEBIAN = {
    "stretch": "9",
    "buster": "10",
    "bullseye": "11",
    "bookworm": "12",
    "trixie": "13",
    "forky": "14",
}
_UBUNTU = {"focal": "20.04", "jammy": "22.04", "noble": "24.04", "resolute": "26.04"}
#: Machines that Raspberry Pi OS is made for, as it names them.
_RASPBERRY_PI = {"aarch64": "64-bit", "armv7l": "32-bit", "armv6l": "32-bit (ARMv6)"}
_MACHINES = {
    "aarch64": "64-bit ARM",
    "armv7l": "32-bit ARM",
    "armv6l": "32-bit ARMv6",
    "x86_64": "64-bit x86",
    "i686": "32-bit x86",
    "riscv64": "64-bit RISC-V",
}
_CPYTHON = re.compile(r"cp(\d)(\d+)(t?)[dmu]*")
_PYPY = re.compile(r"pypy(\d)(\d+)_.*")


class TargetWords(Struct, frozen=True, kw_only=True):
    """A target's platform and Python as people name them."""

    platform: str  # "Raspberry Pi OS 13 (trixie), 64-bit"
    python: str  # "Python 3.13"

    def __str__(self) -> str:
        return f"{self.platform}, {self.python}" if self.platform else self.python


@lru_cache(maxsize=1000)
def target_words(target: str) -> TargetWords:
    """A target's name (`<abi>-<os>-<arch>`) in words; parts that are unknown stay as they are."""
    abi, _, platform = target.partition("-")
    return TargetWords(platform=platform_words(platform), python=_python_words(abi))


def platform_words(platform: str) -> str:
    """The part of a target's name after its ABI, `trixie-aarch64`, in words.

    The systems of ARM machines that have Debian's code names are called Raspberry Pi OS, for which
    most of them are built; its wheels install on Debian as well.
    """
    os, hyphen, arch = platform.partition("-")
    if not hyphen:
        return platform
    if os in _DEBIAN and arch in _RASPBERRY_PI:
        return f"{_RASPBERRY_PI_OS} {_DEBIAN[os]} ({os}), {_RASPBERRY_PI[arch]}"
    return f"{_system_words(os)}, {_MACHINES.get(arch, arch)}"


def machine_words(arch: str) -> str:
    """The machine part of a platform tag in words; "" if it is unknown."""
    return _MACHINES.get(arch, "")


def _system_words(os: str) -> str:
    if os in _DEBIAN:
        return f"Debian {_DEBIAN[os]} ({os})"
    if os in _UBUNTU:
        return f"Ubuntu {_UBUNTU[os]} ({os})"
    return os


def _python_words(abi: str) -> str:
    if found := _CPYTHON.fullmatch(abi):
        free_threaded = " (free-threaded)" if found[3] else ""
        return f"Python {found[1]}.{found[2]}{free_threaded}"
    if found := _PYPY.fullmatch(abi):
        return f"PyPy {found[1]}.{found[2]}"
    return abi
