"""Makes the namespaces in which bubblewrap starts: a script.

    namespaces.py PLAN COMMAND...

PLAN is a JSON object:

    uid        run by root: become this user. A build that root's bubblewrap runs as user 1000 is
               still root for the kernel outside its namespace: it could write to /proc/sys (and so
               run anything as root), and has no limit of processes. null: stay the same user.
    sources    paths that this user may be unable to reach, such as an interpreter below /root:
               COMMAND sees number N as /tmp/N
    overlays   the options of each overlay to mount; COMMAND sees number N as /tmp/overlay-N
    binfmt     lines to register at binfmt_misc, in a user namespace of its own (Linux 6.7)
"""

import ctypes
import json
import os
import sys

# From <sched.h> and <sys/mount.h>.
CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18

MOUNT_DIR = "/tmp"  # noqa: S108 - it exists everywhere, and is a private mount here
_BINFMT_DIR = "/proc/sys/fs/binfmt_misc"


def _exit_on_failure(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        sys.exit(f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    texts = [text.encode() if text else None for text in (source, target, kind, options)]
    _exit_on_failure(
        libc.mount(texts[0], texts[1], texts[2], flags, texts[3]), f"mounting {kind} on {target}"
    )


def _unshare(flags: int, what: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    _exit_on_failure(libc.unshare(flags), what)


def _mount_sources(sources: "list[str]") -> None:
    _unshare(CLONE_NEWNS, "a mount namespace")
    _mount("", "/", "", MS_REC | MS_PRIVATE)
    # Opened before /tmp is mounted over, because a source may be there.
    opened = [(os.open(source, os.O_PATH), os.path.isdir(source)) for source in sources]  # noqa: PTH112
    _mount("tmpfs", MOUNT_DIR, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0777,size=256k")
    for number, (descriptor, is_folder) in enumerate(opened):
        place = f"{MOUNT_DIR}/{number}"
        if is_folder:
            os.mkdir(place)  # noqa: PTH102
        else:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY))
        _mount(f"/proc/self/fd/{descriptor}", place, "", MS_BIND | MS_REC)
        os.close(descriptor)


def _become(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _write(path: str, line: str) -> None:
    # In bytes: a codec would be imported, and this user may be unable to read Python's library.
    with open(path, "wb", buffering=0) as file:  # noqa: PTH123
        file.write(line.encode())


def _enter_user_namespace() -> None:
    """Become able to mount; outside, this is the same user without any other permission.

    It is user 0 inside, because binfmt_misc can be written to by its owner alone.
    """
    uid, gid = os.geteuid(), os.getegid()
    # A process that changed its user may not write its own maps until it is dumpable again.
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE
    _unshare(CLONE_NEWUSER | CLONE_NEWNS, "a user namespace")
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"0 {uid} 1"),
        ("gid_map", f"0 {gid} 1"),
    ):
        _write(f"/proc/self/{name}", line)
    _mount("", "/", "", MS_REC | MS_PRIVATE)


def _register(lines: "list[str]") -> None:
    _mount("binfmt_misc", _BINFMT_DIR, "binfmt_misc", 0)
    for line in lines:
        _write(f"{_BINFMT_DIR}/register", line)


def main(
    command: "list[str]",
    *,
    uid: "int | None",
    sources: "list[str]",
    overlays: "list[str]",
    binfmt: "list[str]",
) -> None:
    """Make the namespaces, and execute the command."""
    if uid is None:
        _enter_user_namespace()
    _mount_sources(sources)
    if uid is not None:
        _become(uid)
    if uid is not None and (overlays or binfmt):
        _enter_user_namespace()
    for number, options in enumerate(overlays):
        folder = f"{MOUNT_DIR}/overlay-{number}"
        os.mkdir(folder)  # noqa: PTH102
        _mount("overlay", folder, "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV, options)
    if binfmt:
        _register(binfmt)
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    try:
        main(sys.argv[2:], **json.loads(sys.argv[1]))
    except OSError as error:
        sys.exit(f"the sandbox's namespaces: {error}")
