"""The clock of some processes, which a test sets: libfaketime reads it from a file each time."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tests import requires

#: Where Debian's package `libfaketime` puts it.
_LIBRARIES = "/usr/lib/*/faketime/libfaketimeMT.so.1"


@dataclass
class FakedClock:
    """A clock that is the machine's until it is set; clocks that nobody can set go on."""

    file: Path

    def __post_init__(self) -> None:
        self.set(timedelta(0))

    def set(self, ahead: timedelta) -> None:
        """Set it ahead of the machine's clock, or behind."""
        part = self.file.with_name("next-time")
        part.write_text(f"{int(ahead.total_seconds()):+d}\n")
        part.replace(self.file)

    def environment(self) -> dict[str, str]:
        """The environment of a process that has this clock; the test skips without libfaketime."""
        found = sorted(Path("/").glob(_LIBRARIES.lstrip("/")))
        if not found:
            requires.skip_or_fail("libfaketime is not installed")
        return {
            "LD_PRELOAD": str(found[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }
