"""The filter of system calls: what it decides, and that its numbers are the kernel's."""

import ctypes
import ctypes.util
import errno
import struct

import pytest

from piwheels.builder.seccomp import (
    SYSCALL_NUMBERS,
    Architecture,
    filter_program,
    supported_architectures,
)
from tests import requires

ALLOWED = 0x7FFF0000
_OTHER = {  # calls that every build makes
    Architecture.X86_64: {"read": 0, "execve": 59, "mmap": 9, "memfd_create": 319},
    Architecture.AARCH64: {"read": 63, "execve": 221, "mmap": 222, "memfd_create": 279},
    Architecture.ARM: {"read": 3, "execve": 11, "mmap2": 192, "memfd_create": 385},
}
MACHINES = [("x86_64", Architecture.X86_64), ("aarch64", Architecture.AARCH64),
            ("aarch64", Architecture.ARM), ("armv7l", Architecture.ARM)]  # fmt: skip


def decided(code: bytes, architecture: int, number: int, argument: int = 0) -> int:
    """What a program returns for a call: an interpreter of the instructions that it uses."""
    data = struct.pack("=IIQQ", number, architecture, 0, argument)
    instructions = list(struct.iter_unpack("=HBBI", code))
    place = value = 0
    while True:
        kind, when_true, when_false, operand = instructions[place]
        place += 1
        if kind == 0x06:
            return int(operand)
        if kind == 0x20:
            (value,) = struct.unpack_from("=I", data, operand)
            continue
        holds = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}
        place += when_true if holds[kind] else when_false


def denied(error: int) -> int:
    return 0x00050000 | error


def filter_of(machine: str) -> bytes:
    code = filter_program(machine)
    assert code is not None
    return code


@pytest.mark.parametrize(("machine", "architecture"), MACHINES)
def test_unneeded_calls_are_denied_and_others_allowed(
    machine: str, architecture: Architecture
) -> None:
    code = filter_of(machine)
    for name, number in SYSCALL_NUMBERS[architecture].items():
        if name not in {"clone", "unshare", "socket"}:
            assert decided(code, architecture, number) in {
                denied(errno.EPERM),
                denied(errno.ENOSYS),
            }
    for number in _OTHER[architecture].values():
        assert decided(code, architecture, number) == ALLOWED


@pytest.mark.parametrize(("machine", "architecture"), MACHINES)
def test_processes_and_threads_are_allowed_and_namespaces_are_not(
    machine: str, architecture: Architecture
) -> None:
    code, numbers = filter_of(machine), SYSCALL_NUMBERS[architecture]
    thread, child, user, network = 0x003D0F00, 0x01200011, 0x10000000, 0x40000000
    for flags in (thread, child):
        assert decided(code, architecture, numbers["clone"], flags) == ALLOWED
    for name in ("clone", "unshare"):
        for flags in (user, network | child):
            assert decided(code, architecture, numbers[name], flags) == denied(errno.EPERM)
    assert decided(code, architecture, numbers["unshare"], 0x200) == ALLOWED  # CLONE_FS


@pytest.mark.parametrize(("machine", "architecture"), MACHINES)
def test_only_some_socket_families_are_allowed(machine: str, architecture: Architecture) -> None:
    code, number = filter_of(machine), SYSCALL_NUMBERS[architecture]["socket"]
    for family in (1, 2, 10, 16):
        assert decided(code, architecture, number, family) == ALLOWED
    for family in (0, 17, 31, 38, 40, 44):  # packet, bluetooth, alg, vsock, xdp
        assert decided(code, architecture, number, family) == denied(errno.EAFNOSUPPORT)


def test_calls_of_another_architecture_are_denied() -> None:
    x32, i386 = 0x40000000, 0x40000003
    assert decided(filter_of("x86_64"), Architecture.X86_64, x32) == denied(errno.ENOSYS)
    assert decided(filter_of("x86_64"), i386, 3) == denied(errno.ENOSYS)
    assert decided(filter_of("aarch64"), Architecture.X86_64, 0) == denied(errno.ENOSYS)


def test_an_unknown_machine_has_no_filter() -> None:
    assert supported_architectures("riscv64") == ()
    assert filter_program("riscv64") is None


@pytest.mark.parametrize("architecture", list(Architecture))
def test_syscall_numbers_match_libseccomp(architecture: Architecture) -> None:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        requires.skip_or_fail("libseccomp2 is not installed")
    for name, number in SYSCALL_NUMBERS[architecture].items():
        found = library.seccomp_syscall_resolve_name_arch(
            ctypes.c_uint32(architecture), name.encode()
        )
        assert found in {number, -1}, name  # -1: newer than the library
