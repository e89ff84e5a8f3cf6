"""What is fuzzed: a function of bytes, and what it may do with any of them."""

import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

CASES = Path(__file__).with_name("cases")

#: Input is cut to this length: what takes more time than proportional shows with less.
MAX_INPUT_BYTES = 1 << 18
#: Processor time of one call. Most take less than a millisecond; on a loaded machine ten.
_MAX_CPU_S = 5.0
#: Address space that one call may add to the process.
_MAX_MEMORY_BYTES = 1 << 30


@dataclass(frozen=True)
class Target:
    """A parser; `parse` returns, or raises one of `errors`, whatever it is called with."""

    name: str
    parse: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    seeds: Callable[[], Sequence[bytes]]

    def check(self, data: bytes, max_cpu_s: float = _MAX_CPU_S) -> None:
        """Call it; AssertionError if it takes too long, else what it raises besides its errors."""
        with _limited_time(max_cpu_s), _limited_memory(), suppress(*self.errors):
            self.parse(data[:MAX_INPUT_BYTES])

    @property
    def case_folder(self) -> Path:
        """Where inputs are kept on which it once failed."""
        return CASES / self.name

    def cases(self) -> list[Path]:
        """The kept inputs on which it once failed."""
        return sorted(self.case_folder.glob("*"))


class _OutOfTimeError(BaseException):
    """Not an Exception, so that no parser takes it for a fault of its input."""


def _end_call(_: int, frame: FrameType | None) -> None:
    raise _OutOfTimeError


@contextmanager
def _limited_time(max_cpu_s: float) -> Iterator[None]:
    before = signal.signal(signal.SIGVTALRM, _end_call)
    began = time.process_time()
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, max_cpu_s)
        yield
    except _OutOfTimeError:
        took_s = time.process_time() - began
        raise AssertionError(f"it takes more than {took_s:.0f} s of processor time") from None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def _limited_memory() -> Iterator[None]:
    """More memory than the limit raises MemoryError in the call."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + _MAX_MEMORY_BYTES
    if before[1] != resource.RLIM_INFINITY:
        limit = min(limit, before[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
