"""Starts a build with a new session keyring and passes on its seccomp filter: run as a script.

Processes of one login share a session keyring (session-keyring(7)): a build could read keys of
other programs of this account, and leave keys for the next build.

    sandbox_launch.py FILTER COMMAND...

FILTER is a seccomp program in base64, or "-" for none. COMMAND can read it from descriptor 9.
"""

import base64
import ctypes
import errno
import os
import sys

FILTER_DESCRIPTOR = 9
_JOIN_SESSION_KEYRING = 1  # KEYCTL_JOIN_SESSION_KEYRING of <linux/keyctl.h>


def _keyctl_syscall_number() -> "int | None":
    """The system call number of keyctl(2) for this interpreter, or None if unknown."""
    machine, wide = os.uname().machine, sys.maxsize > 2**32
    if machine == "aarch64" or machine.startswith("arm"):
        return 219 if wide else 311
    if machine == "x86_64" and wide:
        return 250
    return {"i686": 288, "x86_64": 288, "riscv64": 219}.get(machine)


def join_new_session_keyring() -> None:
    """Replace the session keyring of this login by a new, empty one.

    Without kernel support for keys, or in a container that denies them, nothing is done: the
    build has no access to keys either.

    Raises:
        OSError: no new keyring can be created.
    """
    number = _keyctl_syscall_number()
    if number is None:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, _JOIN_SESSION_KEYRING, None) < 0:
        code = ctypes.get_errno()
        if code not in (errno.ENOSYS, errno.EPERM):
            raise OSError(code, os.strerror(code))


def _store_filter(program: bytes) -> None:
    """Store a filter in a memory file at FILTER_DESCRIPTOR."""
    descriptor = os.memfd_create("filter", 0)
    os.write(descriptor, program)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.dup2(descriptor, FILTER_DESCRIPTOR, inheritable=True)
    if descriptor != FILTER_DESCRIPTOR:
        os.close(descriptor)


def main(arguments: "list[str]") -> None:
    """Join a new keyring, store the filter, and execute the command."""
    program, *command = arguments
    try:
        join_new_session_keyring()
    except OSError as error:
        sys.exit(f"cannot create a session keyring: {error.strerror}")
    if program != "-":
        _store_filter(base64.b64decode(program))
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
