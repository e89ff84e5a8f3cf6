"""Which account can change a path, and work in root's process with that account's rights."""

import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MAX_LINKS = 40  # as many as the kernel follows


def controlling_account(path: Path) -> int:
    """The user id of the first account other than root that can replace a part of a path.

    Whoever owns a folder can put a link in place of whatever is in it, so that the owner of what
    is there now says nothing. Links are followed as far as root made them.

    Returns:
        0 if root alone controls the path, also where it does not exist.

    Raises:
        OSError: the path cannot be looked at.
    """
    current, parts, links = Path("/"), [*path.absolute().parts[1:]], 0
    while parts:
        part = parts.pop(0)
        if part == "..":
            current = current.parent
            continue
        try:
            found = (current / part).lstat()
        except FileNotFoundError:
            return 0
        if found.st_uid != 0:
            return found.st_uid
        if not stat.S_ISLNK(found.st_mode) or (links := links + 1) > _MAX_LINKS:
            current /= part
            continue
        target = (current / part).readlink()
        current = Path("/") if target.is_absolute() else current
        parts = [*target.parts[1 if target.is_absolute() else 0 :], *parts]
    return 0


@contextmanager
def as_owner(path: Path) -> Iterator[None]:
    """Work below a path with the rights of the account that controls it, if root runs this.

    Root must not follow links that such an account has made, and what it writes there belongs to
    that account. The rights are those of the whole process, with all its threads.

    Raises:
        OSError: the path cannot be looked at.
    """
    account = controlling_account(path) if os.geteuid() == 0 else 0
    if account == 0:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    try:
        entry = pwd.getpwuid(account)
        own_group, own_groups = entry.pw_gid, os.getgrouplist(entry.pw_name, entry.pw_gid)
    except KeyError:  # an account of another machine
        own_group, own_groups = account, [account]
    os.setgroups(own_groups)
    os.setegid(own_group)
    os.seteuid(account)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)
