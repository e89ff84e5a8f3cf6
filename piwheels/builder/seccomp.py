"""The system call filter of a build: a seccomp program (seccomp(2)) for `bwrap --seccomp`.

It denies calls that no build needs and that expose much of the kernel to untrusted code: keys,
mounts, namespaces, io_uring, bpf, perf, userfaultfd, kexec, modules, System V shared memory (which
no limit counts), and sockets of families other than internet, Unix and netlink. Denied calls
fail with an error, as on a kernel without them; no process is killed.

The program is assembled here, for x86-64, aarch64 and 32-bit ARM. Calls of another architecture
(x32, i386) are denied as a whole.
"""

import errno
import struct
from collections.abc import Iterator
from enum import IntEnum

# From <linux/filter.h>, <linux/bpf_common.h> and <linux/seccomp.h>.
_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_ALLOW = 0x7FFF0000  # SECCOMP_RET_ALLOW
_ERROR = 0x00050000  # SECCOMP_RET_ERRNO
# struct seccomp_data, on little-endian machines.
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16

_X32 = 0x40000000
#: Every CLONE_NEW* flag of <linux/sched.h> that clone(2) and unshare(2) share.
_NEW_NAMESPACES = 0x7E020000
_ALLOWED_SOCKET_FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK


class Architecture(IntEnum):
    """AUDIT_ARCH_* of <linux/audit.h>."""

    X86_64 = 0xC000003E
    AARCH64 = 0xC00000B7
    ARM = 0x40000028


#: Calls with one number on every architecture (those that are newer than Linux 5.0).
_COMMON_NUMBERS = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "clone3": 435, "mount_setattr": 442, "quotactl_fd": 443,
}  # fmt: skip

SYSCALL_NUMBERS: dict[Architecture, dict[str, int]] = {
    Architecture.X86_64: {
        "acct": 163, "add_key": 248, "bpf": 321, "clock_settime": 227, "clone": 56,
        "delete_module": 176, "fanotify_init": 300, "finit_module": 313, "init_module": 175,
        "ioperm": 173, "iopl": 172, "kexec_file_load": 320, "kexec_load": 246, "keyctl": 250,
        "lookup_dcookie": 212, "mount": 165, "msgget": 68, "open_by_handle_at": 304,
        "perf_event_open": 298, "pivot_root": 155, "quotactl": 179, "reboot": 169,
        "request_key": 249, "semget": 64, "setns": 308, "settimeofday": 164, "shmget": 29,
        "socket": 41, "swapoff": 168, "swapon": 167, "syslog": 103, "umount2": 166,
        "unshare": 272, "userfaultfd": 323, "vhangup": 153, **_COMMON_NUMBERS,
    },
    Architecture.AARCH64: {
        "acct": 89, "add_key": 217, "bpf": 280, "clock_settime": 112, "clone": 220,
        "delete_module": 106, "fanotify_init": 262, "finit_module": 273, "init_module": 105,
        "kexec_file_load": 294, "kexec_load": 104, "keyctl": 219, "lookup_dcookie": 18,
        "mount": 40, "msgget": 186, "open_by_handle_at": 265, "perf_event_open": 241,
        "pivot_root": 41, "quotactl": 60, "reboot": 142, "request_key": 218, "semget": 190,
        "setns": 268, "settimeofday": 170, "shmget": 194, "socket": 198, "swapoff": 225,
        "swapon": 224, "syslog": 116, "umount2": 39, "unshare": 97, "userfaultfd": 282,
        "vhangup": 58, **_COMMON_NUMBERS,
    },
    Architecture.ARM: {
        "acct": 51, "add_key": 309, "bpf": 386, "clock_settime": 262, "clock_settime64": 404,
        "clone": 120, "delete_module": 129, "fanotify_init": 367, "finit_module": 379,
        "init_module": 128, "kexec_file_load": 401, "kexec_load": 347, "keyctl": 311,
        "lookup_dcookie": 249, "mount": 21, "msgget": 303, "open_by_handle_at": 371,
        "perf_event_open": 364, "pivot_root": 218, "quotactl": 131, "reboot": 88,
        "request_key": 310, "semget": 299, "setns": 375, "settimeofday": 79, "shmget": 307,
        "socket": 281, "swapoff": 115, "swapon": 87, "syslog": 103, "umount2": 52,
        "unshare": 337, "userfaultfd": 388, "vhangup": 111, **_COMMON_NUMBERS,
    },
}  # fmt: skip

#: Calls that are denied depending on an argument; all others of SYSCALL_NUMBERS always.
_BY_ARGUMENT = ("clone", "unshare", "socket")
#: Denied with ENOSYS, as on a kernel without them: programs then use an alternative.
_REPORTED_AS_MISSING = (
    "clone3",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "userfaultfd",
)


def supported_architectures(machine: str) -> tuple[Architecture, ...]:
    """The architectures whose programs run on a machine (uname(2)); none for unknown machines."""
    if machine == "x86_64":
        return (Architecture.X86_64,)
    if machine == "aarch64" or machine.startswith("armv"):
        return (Architecture.AARCH64, Architecture.ARM)
    return ()


def filter_program(machine: str) -> bytes | None:
    """The filter for a machine as an array of `struct sock_filter`; None for unknown machines."""
    known = supported_architectures(machine)
    if not known:
        return None
    instructions = [_instruction(_LOAD, _ARCHITECTURE_AT)]
    for architecture in known:
        block = list(_block(architecture))
        instructions += [_instruction(_EQUAL, architecture, 0, len(block)), *block]
    return b"".join([*instructions, _deny(errno.ENOSYS)])


def _block(architecture: Architecture) -> Iterator[bytes]:
    """The instructions for calls of one architecture; each path ends with a return."""
    numbers = SYSCALL_NUMBERS[architecture]
    yield _instruction(_LOAD, _NUMBER_AT)
    if architecture is Architecture.X86_64:
        yield from _if(_AT_LEAST, _X32, _deny(errno.ENOSYS))
    for name in numbers.keys() - set(_BY_ARGUMENT):
        error = errno.ENOSYS if name in _REPORTED_AS_MISSING else errno.EPERM
        yield from _if(_EQUAL, numbers[name], _deny(error))
    for name in ("clone", "unshare"):
        namespaces = _if(_ANY_BIT, _NEW_NAMESPACES, _deny(errno.EPERM))
        yield from _if(_EQUAL, numbers[name], _first_argument(), *namespaces, _allow())
    families = [
        part for family in _ALLOWED_SOCKET_FAMILIES for part in _if(_EQUAL, family, _allow())
    ]
    denied = _deny(errno.EAFNOSUPPORT)
    yield from _if(_EQUAL, numbers["socket"], _first_argument(), *families, denied)
    yield _allow()


def _if(test: int, value: int, *then: bytes) -> list[bytes]:
    """Instructions that run only if the value that was loaded last passes a test."""
    return [_instruction(test, value, 0, len(then)), *then]


def _first_argument() -> bytes:
    return _instruction(_LOAD, _FIRST_ARGUMENT_AT)


def _allow() -> bytes:
    return _instruction(_RETURN, _ALLOW)


def _deny(error: int) -> bytes:
    return _instruction(_RETURN, _ERROR | error)


def _instruction(code: int, value: int, when_true: int = 0, when_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, when_true, when_false, value)
