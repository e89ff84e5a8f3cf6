"""The log of a running build: forwarded as it grows, with its tail and its phase."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from piwheels.builder.sandbox_entry import PHASE_PREFIX
from piwheels.model import MAX_PHASES, BuildPhase
from piwheels.sanitize import truncate_line

OnLog = Callable[[bytes], None]
OnPhase = Callable[[str], None]

_TAIL_BYTES = 256 * 1024
_MAX_MARKER_BYTES = 200
_MAX_PHASE_CHARS = 100
#: The phase in which packages are added before a further round.
ADDING_PACKAGES = "adding packages"
#: The phase between two tries.
TRYING_AGAIN = "trying again"
#: The phases before anything runs in the sandbox.
BEFORE_SANDBOX = ("fetching", ADDING_PACKAGES, TRYING_AGAIN)
_NEXT_PHASE = {**dict.fromkeys(BEFORE_SANDBOX, "preparing"), "preparing": "building"}


@dataclass(slots=True)
class BuildLog:
    """Forwards a log to `on_log` and phases to `on_phase`; keeps the log's tail.

    `tail_line` is how many lines of the log precede the tail.
    """

    on_log: OnLog
    on_phase: OnPhase
    tail: bytearray = field(default_factory=bytearray)
    phase: str = ""
    tail_line: int = 0
    clock: Callable[[], float] = time.monotonic
    _partial_line: bytes = b""
    _phases: list[tuple[str, float]] = field(default_factory=list)  # with when they began

    def write(self, data: bytes) -> None:
        """Forward the output of the build."""
        self.on_log(data)
        self.tail += data
        self.tail_line += self.tail.count(b"\n", 0, max(0, len(self.tail) - _TAIL_BYTES))
        del self.tail[:-_TAIL_BYTES]
        *lines, rest = (self._partial_line + data).split(b"\n")
        self._partial_line = rest[-_MAX_MARKER_BYTES:]
        for line in lines:
            self._check_phase(line)

    def _check_phase(self, line: bytes) -> None:
        # The build may print such a line itself, so only the next phase is accepted.
        following = _NEXT_PHASE.get(self.phase)
        if following and line.strip() == f"{PHASE_PREFIX}{following} ---".encode():
            self.enter_phase(following)

    def start_round(self) -> None:
        """Forget the output of the round before, which would explain the failure of the next."""
        self.tail_line += self.tail.count(b"\n")
        self.tail.clear()
        self._partial_line = b""

    def enter_phase(self, phase: str, text: str = "") -> None:
        """Report a new phase, in other words if there is a text."""
        self.phase = phase
        name = truncate_line(text or phase, _MAX_PHASE_CHARS)
        if len(self._phases) < MAX_PHASES:
            self._phases.append((name, self.clock()))
        self.on_phase(name)

    @property
    def phases(self) -> tuple[BuildPhase, ...]:
        """The phases so far; the last one has lasted until now."""
        ends = [*(begin for _, begin in self._phases[1:]), self.clock()]
        return tuple(
            BuildPhase(name=name, duration_s=max(0.0, end - begin))
            for (name, begin), end in zip(self._phases, ends, strict=False)
        )

    def write_marker(self, text: str) -> None:
        """Add a line of the builder itself, in the form of a phase."""
        self.write_line(f"{PHASE_PREFIX}{text} ---")

    def write_line(self, text: str) -> None:
        """Add a line of the builder itself; none is written between the lines of the tail."""
        self.tail_line += text.count("\n") + 1
        self.on_log(f"{text}\n".encode(errors="replace"))
