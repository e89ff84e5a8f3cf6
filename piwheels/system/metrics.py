"""Load, memory, swap, disk, temperature, processor and clock of this machine."""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from piwheels.model import HostMetrics

_THERMAL = Path("/sys/class/thermal")
_MEMINFO = Path("/proc/meminfo")
_UPTIME = Path("/proc/uptime")
_CPUFREQ = Path("/sys/devices/system/cpu/cpufreq")


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
        cores=os.cpu_count(),
        # What the hardware says comes first, if it can be read: a firmware's cap shows only there.
        cpu_hz=_frequency(("cpuinfo_cur_freq", "scaling_cur_freq")),
        max_cpu_hz=_frequency(("cpuinfo_max_freq",)),
        uptime_s=_uptime_s(),
        clock_s=time.time(),
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


def _frequency(names: Sequence[str]) -> float | None:
    """The highest frequency of all cores in Hz, by the first of these files that can be read."""
    found = []
    for policy in _CPUFREQ.glob("policy*"):
        for name in names:
            try:
                found.append(int((policy / name).read_text()) * 1000.0)
            except (OSError, ValueError):
                continue
            break
    return max(found, default=None)


def _uptime_s() -> float | None:
    try:
        return float(_UPTIME.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


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
