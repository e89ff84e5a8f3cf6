"""This machine: its state, its name and system, its interpreters, and its service manager."""

import os
import platform
import re
import resource
import shutil
import socket
import subprocess
from pathlib import Path

import msgspec

from piwheels.errors import ConfigError

_PROBE_S = 30.0
_NOTIFY_TIMEOUT_S = 1.0

_THERMAL = Path("/sys/class/thermal")
_MEMINFO = Path("/proc/meminfo")
_BOARD_FILES = (Path("/proc/device-tree/model"), Path("/sys/class/dmi/id/product_name"))

#: A 32-bit interpreter on a 64-bit kernel is told the kernel's machine; pip knows better.
_MACHINE_OF_32_BIT = {"aarch64": "armv7l", "armv8l": "armv7l", "x86_64": "i686"}
_IMPLEMENTATIONS = {"cpython": "cp", "pypy": "pp"}

_PROBE_SCRIPT = """
import json, os, platform, struct, sys, sysconfig
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION")
except (AttributeError, OSError, ValueError):
    libc = ""
print(json.dumps({
    "version": ".".join(map(str, sys.version_info[:3])),
    "implementation": platform.python_implementation().lower(),
    "soabi": sysconfig.get_config_var("SOABI") or "",
    "platform": sysconfig.get_platform(),
    "bits": struct.calcsize("P") * 8,
    "libc": libc or "",
    "executable": os.path.realpath(sys.executable),
    "prefix": sys.prefix,
    "base_prefix": sys.base_prefix,
    "compiler": sysconfig.get_config_var("CC") or "cc",
    "headers": os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")),
}))
"""


class HostMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """How the machine is: sizes in bytes, temperature in degrees Celsius."""

    load: float  # one minute's average
    memory_total: int
    memory_free: int  # available without swapping
    swap_total: int
    swap_free: int
    disk_total: int
    disk_free: int  # to an ordinary user
    temperature: float | None  # None where there is no sensor


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """A Python interpreter, as it describes itself."""

    path: Path  # as it was named, absolute
    executable: Path  # with symbolic links resolved
    prefix: Path
    base_prefix: Path  # of the installation that a virtual environment stands on
    version: str  # "3.13.0"
    implementation: str  # PEP 425 abbreviation: "cp", "pp"
    abi: str  # PEP 425 ABI tag: "cp313", "cp313t"
    arch: str  # machine part of PEP 425 platform tags: "aarch64", "armv7l"
    os: str  # code name of the distribution: "trixie"
    glibc: str  # "2.41"; "" with another C library
    compiler: str  # the C compiler that it builds extensions with: "x86_64-linux-gnu-gcc"
    headers: bool  # whether its C headers are installed


class _ProbeOutput(msgspec.Struct):
    version: str
    implementation: str
    soabi: str
    platform: str
    bits: int
    libc: str
    executable: str
    prefix: str
    base_prefix: str
    compiler: str
    headers: bool


# --- its state ---


def read_metrics(path: Path) -> HostMetrics:
    """The machine's state now; the disk is the one that holds path, or would hold it."""
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
    """The processor's temperature in degrees Celsius, or None where nothing measures it."""
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
    sizes = {}
    for line in _MEMINFO.read_text().splitlines():
        key, _, value = line.partition(":")
        if value.endswith(" kB"):
            sizes[key] = int(value.removesuffix(" kB")) * 1024
    return sizes


def _nearest_existing(path: Path) -> Path:
    absolute = path.absolute()
    return next(place for place in (absolute, *absolute.parents) if place.exists())


# --- its name and system ---


def board_model() -> str:
    """The model of the machine as its firmware says it, else its processor family."""
    for file in _BOARD_FILES:
        try:
            name = file.read_text(errors="replace").strip("\0 \n")
        except OSError:
            continue
        if name:
            return name
    return platform.machine()


def os_name() -> str:
    """The system's name for people: `Debian GNU/Linux 12 (bookworm)`."""
    release = _os_release()
    return release.get("PRETTY_NAME") or f"{platform.system()} {platform.release()}"


def os_codename() -> str:
    """The distribution's code name, else its name and version: `bookworm`, `fedora43`."""
    release = _os_release()
    name = release.get("VERSION_CODENAME") or (
        release.get("ID", "") + release.get("VERSION_ID", "")
    )
    return re.sub(r"[^a-z0-9_.]+", "", name.lower()).strip("._") or "linux"


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


# --- its interpreters ---


def probe_interpreter(path: str | Path) -> Interpreter:
    """Ask an interpreter what it is; a name without a slash is looked for on $PATH.

    Raises:
        ConfigError: there is none, or it does not run.
    """
    place = _find_executable(str(path))
    probed = _run_probe(place)
    return Interpreter(
        path=place,
        executable=Path(probed.executable),
        prefix=Path(probed.prefix),
        base_prefix=Path(probed.base_prefix),
        version=probed.version,
        implementation=_IMPLEMENTATIONS.get(probed.implementation, probed.implementation),
        abi=_abi(probed),
        arch=_arch(probed),
        os=os_codename(),
        glibc=probed.libc.removeprefix("glibc ") if probed.libc.startswith("glibc ") else "",
        compiler=(probed.compiler.split() or ["cc"])[0],
        headers=probed.headers,
    )


def missing_toolchain(found: Interpreter, path: str) -> str:
    """What an interpreter lacks to build C extensions, in one line with the way out, or "".

    Args:
        found: the interpreter.
        path: the $PATH on which its compiler is looked for.
    """
    compiler = shutil.which(found.compiler, path=path) or shutil.which("cc", path=path)
    lacking = [] if compiler else ["no C compiler"]
    if not found.headers:
        lacking.append(f"no C headers of {found.executable}")
    if not lacking:
        return ""
    return (
        f"this machine has {' and '.join(lacking)}: C extensions fail, or are left out where a "
        "project can do without; `apt install build-essential python3-dev` brings both for "
        "Debian's own Python"
    )


def _find_executable(path: str) -> Path:
    found = shutil.which(path)
    if found is None:
        where = "is no executable file" if "/" in path else "is not on $PATH"
        raise ConfigError(f"the interpreter {path} {where}; name one with --python")
    return Path(found).absolute()


def _run_probe(place: Path) -> _ProbeOutput:
    environ = {key: value for key, value in os.environ.items() if "PYTHON" not in key}
    try:
        done = subprocess.run(
            [place, "-I", "-"],
            env=environ,
            input=_PROBE_SCRIPT.encode(),
            capture_output=True,
            timeout=_PROBE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"the interpreter {place} did not answer in {_PROBE_S:.0f} s") from error
    except OSError as error:
        raise ConfigError(f"the interpreter {place} does not run: {error.strerror}") from error
    try:
        return msgspec.json.decode(done.stdout, type=_ProbeOutput)
    except msgspec.DecodeError as error:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().rpartition("\n")[2]
        reason = said[:200] or f"it ended with {done.returncode}"
        raise ConfigError(f"{place} does not run as a Python 3 interpreter: {reason}") from error


def _abi(probed: _ProbeOutput) -> str:
    """The ABI tag by SOABI: `cpython-313t-x86_64-linux-gnu` or `pypy310-pp73-x86_64-...`."""
    words = probed.soabi.split("-")
    if words[0] == "cpython" and len(words) > 1:
        return f"cp{words[1]}"
    if words[0].startswith("pypy") and len(words) > 1:
        return "_".join(words[:2])
    raise ConfigError(f"{probed.executable} has no ABI tag that is known here: {probed.soabi!r}")


def _arch(probed: _ProbeOutput) -> str:
    machine = probed.platform.partition("-")[2].replace("-", "_").replace(".", "_")
    return _MACHINE_OF_32_BIT.get(machine, machine) if probed.bits == 32 else machine


# --- its service manager ---


#: More connections than a farm has builders and consoles; systemd's units allow as many.
MAX_OPEN_FILES = 65_536


def raise_open_file_limit() -> int:
    """Let this process open as many files and sockets as its account may, within reason.

    The usual limit of 1024 is for programs that call select(2), which this one does not.

    Returns:
        How many it may open now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def sd_notify(state: str) -> bool:
    """Send the service's state to systemd (sd_notify(3)), such as `READY=1` or `STATUS=...`.

    Returns:
        Whether it was told; without systemd, or when it does not listen, nothing happens.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(_NOTIFY_TIMEOUT_S)
        try:
            # Only of a connected socket does the kernel tell when the other end has room again.
            channel.connect(address)
            channel.send(state.encode())
        except OSError:
            return False
    return True


def watchdog_interval_s() -> float | None:
    """How often systemd wants to hear WATCHDOG=1: half its limit; None without a watchdog."""
    limit, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not limit.isdigit() or int(limit) == 0 or (process and process != str(os.getpid())):
        return None
    return int(limit) / 2_000_000
