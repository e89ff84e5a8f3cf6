"""The model of this machine."""

import platform
from pathlib import Path

_BOARD_FILES = (Path("/proc/device-tree/model"), Path("/sys/class/dmi/id/product_name"))


def board_model() -> str:
    """The model that the firmware reports, for example `Raspberry Pi 4 Model B Rev 1.4`.

    Without one, the machine name of uname(2).
    """
    for file in _BOARD_FILES:
        try:
            name = file.read_text(errors="replace").strip("\0 \n")
        except OSError:
            continue
        if name:
            return name
    return platform.machine()
