"""Load, memory, swap, disk and temperature of this machine."""

import os
import shutil
from pathlib import Path

from piwheels.model import HostMetrics

_THERMAL = Path("/sys/class/thermal")
_MEMINFO = Path("/proc/meminfo")


def read_metrics(path: Path) -> HostMetrics:
    """The machine's metrics now; the disk is the one that holds path, or would hold it."""
    memory = _read_meminfo()
    disk = shutil.disk_usage(_nearest_existing(path))
    return HostMetrics(
        load=os.getloadavg()[0],
        memory_total=memory.get("MemTotal", 0),
        memory_free=memory.get("MemAvailable", 0),
        swap_total=memory.get("SwapTotal", 0),
        swap_free=memory.get("SwapFree", 0),
        disk_total=disk.total,
        disk_free=disk.free,
        temperature=cpu_temperature(),
    )


def cpu_temperature() -> float | None:
    """The processor's temperature in degrees Celsius, or None without a sensor."""
    found = []
    for zone in sorted(_THERMAL.glob("thermal_zone*")):
        try:
            kind = (zone / "type").read_text().strip()
            degrees = int((zone / "temp").read_text()) / 1000
        except (OSError, ValueError):
            continue
        found.append((not any(word in kind for word in ("cpu", "soc", "pkg")), degrees))
    return min(found, key=lambda item: item[0])[1] if found else None


def _read_meminfo() -> dict[str, int]:
    """The sizes of /proc/meminfo in bytes."""
    sizes = {}
    for line in _MEMINFO.read_text().splitlines():
        key, _, value = line.partition(":")
        if value.endswith(" kB"):
            sizes[key] = int(value.removesuffix(" kB")) * 1024
    return sizes


def _nearest_existing(path: Path) -> Path:
    absolute = path.absolute()
    return next(place for place in (absolute, *absolute.parents) if place.exists())
