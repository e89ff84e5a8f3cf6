"""Starts a build with a session keyring of its own, and hands its filter on: run as a script.

Processes of one login share a session keyring (session-keyring(7)): a build could read what
another program of this account keeps there, and leave something for the next build.

    launch.py FILTER COMMAND...

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
    """The number of keyctl(2) for this interpreter, or None where it is not known."""
    machine, wide = os.uname().machine, sys.maxsize > 2**32
    if machine == "aarch64" or machine.startswith("arm"):
        return 219 if wide else 311
    if machine == "x86_64" and wide:
        return 250
    return {"i686": 288, "x86_64": 288, "riscv64": 219}.get(machine)


def join_new_session_keyring() -> None:
    """Leave the session keyring of this login for a new and empty one.

    A kernel without keys, or a container that denies them, denies them to the build as well.

    Raises:
        OSError: there can be no new one.
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
    """Put a filter where the command finds it."""
    descriptor = os.memfd_create("filter", 0)
    os.write(descriptor, program)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.dup2(descriptor, FILTER_DESCRIPTOR, inheritable=True)
    if descriptor != FILTER_DESCRIPTOR:
        os.close(descriptor)


def main(arguments: "list[str]") -> None:
    """Join the keyring, keep the filter, and turn into the command."""
    program, *command = arguments
    try:
        join_new_session_keyring()
    except OSError as error:
        sys.exit(f"a session keyring of the build's own: {error.strerror}")
    if program != "-":
        _store_filter(base64.b64decode(program))
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
