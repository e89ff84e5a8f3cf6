"""Tells this machine from others that run a copy of its disk."""

import hashlib
from pathlib import Path

#: systemd writes the first at the first start of an image. A card that was copied whole has the
#: same in another board, whose serial number differs.
_FILES = (Path("/etc/machine-id"), Path("/proc/device-tree/serial-number"))
_DIGITS = 32


def machine_identity(files: tuple[Path, ...] = _FILES) -> str:
    """A name of this machine, 32 hexadecimal digits; "" where nothing identifies it.

    machine-id(5) asks not to show its content to others, so it is a hash.
    """
    found = [text for file in files if (text := _read(file))]
    if not found:
        return ""
    return hashlib.sha256("\n".join(["piwheels", *found]).encode()).hexdigest()[:_DIGITS]


def _read(file: Path) -> str:
    try:
        text = file.read_text(errors="replace").strip("\0 \n")
    except OSError:
        return ""
    return "" if text == "uninitialized" else text
