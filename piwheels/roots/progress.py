"""The progress of making a root, as lines or as one line that changes."""

import sys
import time
from types import TracebackType
from typing import Self, TextIO

_INTERVAL_S = 0.2  # between two changes of the line on a terminal


class RootProgress:
    """Prints steps: on a terminal in one line, elsewhere a line for each kind of step."""

    def __init__(self, name: str, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._name = name
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._kind = ""
        self._changed_at = 0.0
        self._began = time.monotonic()

    def __call__(self, step: str, fraction: float) -> None:
        """Report a step and how much of it is done."""
        if self._quiet:
            return
        kind = step.partition(" ")[0]
        if self._stream.isatty():
            self._change_line(step, fraction, now=kind != self._kind)
        elif kind != self._kind:
            text = kind if kind == "unpacking" else step
            self._stream.write(f"{self._name}: {text}\n")
        self._kind = kind

    def _change_line(self, step: str, fraction: float, *, now: bool) -> None:
        moment = time.monotonic()
        if now or moment - self._changed_at >= _INTERVAL_S:
            percent = f" {fraction:.0%}" if fraction else ""
            self._stream.write(f"\r\x1b[K{self._name}: {step}{percent}")
            self._stream.flush()
            self._changed_at = moment

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._quiet:
            return
        if self._stream.isatty():
            self._stream.write("\r\x1b[K")
        if error is None:
            self._stream.write(f"{self._name}: made in {time.monotonic() - self._began:.0f} s\n")
        self._stream.flush()
