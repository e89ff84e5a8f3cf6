"""Drops root privileges before bubblewrap starts: a script that root runs.

A build that root's bubblewrap runs as user 1000 is still root for the kernel outside its
namespace: it could write to /proc/sys (and so run anything as root), and has no limit of
processes. So an unprivileged user starts the sandbox. Paths that this user cannot reach, such as
an interpreter below /root, are first mounted elsewhere in a new mount namespace.

    drop_root.py UID SOURCE... -- COMMAND...

COMMAND sees SOURCE number N as /tmp/N.
"""

import ctypes
import os
import sys

# From <sched.h> and <sys/mount.h>.
CLONE_NEWNS = 0x00020000
MS_NOSUID = 2
MS_NODEV = 4
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18

MOUNT_DIR = "/tmp"  # noqa: S108 - it exists everywhere, and is a private mount here


def _exit_on_failure(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        sys.exit(f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    texts = [text.encode() if text else None for text in (source, target, kind, options)]
    _exit_on_failure(
        libc.mount(texts[0], texts[1], texts[2], flags, texts[3]), f"mounting {target}"
    )


def _mount_sources(sources: list[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    _exit_on_failure(libc.unshare(CLONE_NEWNS), "a mount namespace")
    _mount("", "/", "", MS_REC | MS_PRIVATE)
    # Opened before /tmp is mounted over, because a source may be there.
    opened = [(os.open(source, os.O_PATH), os.path.isdir(source)) for source in sources]  # noqa: PTH112
    _mount("tmpfs", MOUNT_DIR, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=256k")
    for number, (descriptor, is_folder) in enumerate(opened):
        place = f"{MOUNT_DIR}/{number}"
        if is_folder:
            os.mkdir(place)  # noqa: PTH102
        else:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY))
        _mount(f"/proc/self/fd/{descriptor}", place, "", MS_BIND | MS_REC)
        os.close(descriptor)


def main(arguments: list[str]) -> None:
    """Mount the sources, switch to the user, and execute the command."""
    end = arguments.index("--")
    uid = int(arguments[0])
    _mount_sources(arguments[1:end])
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    command = arguments[end + 1 :]
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:
        sys.exit(f"cannot drop root privileges: {error}")
