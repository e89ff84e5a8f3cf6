"""Debian architectures: which run here, and what emulates the others."""

import platform

from piwheels.model import Struct

#: The cost of emulation, as measured: 8 to 12 times the processor time of a native build.
EMULATION_FACTOR = 10.0


class Architecture(Struct, frozen=True, kw_only=True):
    """An architecture of Debian, and how binfmt_misc recognizes its programs."""

    name: str  # "arm64"
    triplet: str  # of its library folders
    machines: tuple[str, ...]  # of uname(2), whose kernels run it
    qemu: str = ""  # "qemu-aarch64"; "" if it is never emulated
    qemu_cpu: str = ""  # the emulated processor, unless a root names one
    elf_class: int = 2  # 1 is 32-bit
    elf_machine: int = 0  # e_machine, from <elf.h>


_KNOWN = (
    Architecture(name="amd64", triplet="x86_64-linux-gnu", machines=("x86_64",), elf_machine=62,
                 qemu="qemu-x86_64"),
    # The default processor has pointer authentication, whose emulation costs 16 times as much.
    Architecture(name="arm64", triplet="aarch64-linux-gnu", machines=("aarch64",),
                 elf_machine=183, qemu="qemu-aarch64", qemu_cpu="cortex-a72"),
    Architecture(name="armhf", triplet="arm-linux-gnueabihf",
                 machines=("armv6l", "armv7l", "armv8l", "aarch64"), elf_class=1, elf_machine=40,
                 qemu="qemu-arm", qemu_cpu="cortex-a7"),
    Architecture(name="riscv64", triplet="riscv64-linux-gnu", machines=("riscv64",),
                 elf_machine=243, qemu="qemu-riscv64"),
)  # fmt: skip
ARCHITECTURES = {item.name: item for item in _KNOWN}


def is_native(arch: str, machine: str = "") -> bool:
    """Whether the kernel of this machine (or of another, by uname(2)) runs an architecture."""
    return (machine or platform.machine()) in ARCHITECTURES[arch].machines


def host_architecture(machine: str = "") -> str:
    """Debian's name of this machine's architecture; "" for one that is unknown here."""
    machine = machine or platform.machine()
    return next((item.name for item in _KNOWN if machine in item.machines), "")


def needs_linux32(arch: str, machine: str = "") -> bool:
    """Whether its programs must see a 32-bit machine name (setarch(8)) on a 64-bit kernel."""
    return arch == "armhf" and (machine or platform.machine()) == "aarch64"


def binfmt_registration(architecture: Architecture, interpreter: str) -> str:
    """The line that registers an emulator at binfmt_misc (Linux, binfmt-misc.rst).

    It matches the ELF header; with the flags F (the emulator is opened now, so that programs in
    any root find it) and P (it receives argv[0]).
    """
    machine = architecture.elf_machine.to_bytes(2, "little")
    magic = b"\x7fELF" + bytes((architecture.elf_class, 1, 1)) + bytes(9) + b"\x02\x00" + machine
    # EI_OSABI may have any value, and the type is ET_EXEC or ET_DYN.
    mask = b"\xff" * 7 + b"\x00" * 9 + b"\xfe\xff\xff\xff"
    escaped = ["".join(f"\\x{byte:02x}" for byte in part) for part in (magic, mask)]
    return f":{architecture.qemu}:M:0:{escaped[0]}:{escaped[1]}:{interpreter}:FP"
