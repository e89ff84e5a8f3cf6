"""What the simulated farm consists of: boards, targets, projects, failures."""

from typing import NamedTuple

BOARDS = (
    "Raspberry Pi 3 Model B Plus Rev 1.3",
    "Raspberry Pi 4 Model B Rev 1.4",
    "Raspberry Pi 5 Model B Rev 1.0",
    "Raspberry Pi Compute Module 4 Rev 1.1",
)


class SimTarget(NamedTuple):
    """A target: its ABI, its distribution and its machine."""

    abi: str
    os: str
    arch: str

    @property
    def target(self) -> str:
        """The target's name: `cp313-trixie-aarch64`."""
        return f"{self.abi}-{self.os}-{self.arch}"

    @property
    def platform(self) -> str:
        """What consoles show of it: `trixie aarch64`."""
        return f"{self.os} {self.arch}"


SIM_TARGETS = (
    SimTarget("cp39", "bullseye", "armv7l"),
    SimTarget("cp311", "bookworm", "armv7l"),
    SimTarget("cp311", "bookworm", "aarch64"),
    SimTarget("cp313", "trixie", "armv7l"),
    SimTarget("cp313", "trixie", "aarch64"),
    SimTarget("cp314", "forky", "aarch64"),
)
#: Jobs wait for it, and no builder serves it.
UNSERVED_TARGET = SimTarget("cp315", "forky", "armv7l")

PROJECTS = (
    ("numpy", "2.3.5"), ("scipy", "1.16.3"), ("pandas", "2.3.3"), ("pillow", "12.0.0"),
    ("lxml", "6.0.2"), ("cryptography", "46.0.3"), ("cffi", "2.0.0"), ("markupsafe", "3.0.3"),
    ("pyyaml", "6.0.3"), ("grpcio", "1.76.0"), ("protobuf", "6.33.1"), ("pygobject", "3.54.5"),
    ("matplotlib", "3.10.7"), ("scikit-learn", "1.7.2"), ("aiohttp", "3.13.2"), ("av", "16.0.1"),
    ("psutil", "7.1.3"), ("pyzmq", "27.1.0"), ("regex", "2025.11.3"), ("rpds-py", "0.29.0"),
    ("tokenizers", "0.22.1"), ("orjson", "3.11.4"), ("uvloop", "0.22.1"), ("shapely", "2.1.2"),
    ("h5py", "3.15.1"), ("pygame", "2.6.1"), ("rpi-gpio", "0.7.1"), ("spidev", "3.8"),
)  # fmt: skip

#: Outcomes other than "built", and the line that the console shows.
FAILURES = (
    ("failed", "error: command 'arm-linux-gnueabihf-gcc' failed with exit code 1"),
    ("failed", "fatal error: openssl/opensslv.h: No such file or directory"),
    ("failed", "error: can't find Rust compiler"),
    ("failed", "ModuleNotFoundError: No module named 'numpy'"),
    ("out-of-memory", "cc1plus: out of memory allocating 65536 bytes"),
    ("timed-out", "the build took longer than 3 h"),
    ("fetch-failed", "the sdist did not arrive: connection reset"),
    ("failed", "\x1b[31merror\x1b[0m: [red]markup[/red] \u202egnorw\u202c and a 日本語 path\x07"),
)
ARCHITECTURES = ("armv7l", "aarch64", "armv6l", "x86_64")
PYTHONS = ("3.11", "3.13", "3.9", "3.12", "3.14")
INSTALLERS = ("pip", "uv", "poetry")
OPERATORS = ("ada@console", "grace@laptop")
