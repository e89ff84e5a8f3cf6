"""A root that `piw up` makes is shown, and an interruption ends the work on it."""

import asyncio
import io
import threading
from typing import Any

import pytest

from piwheels.local import roots as module
from piwheels.roots.progress import RootProgress
from tests.timeouts import WAIT_S


class SlowRoots:
    """Makes a root until it is told to stop."""

    def __init__(self) -> None:
        self.began, self.ended = threading.Event(), threading.Event()

    def make(self, _: str, on_progress: Any) -> None:
        try:
            while True:
                on_progress("unpacking gcc", 0.5)
                self.began.set()
        finally:
            self.ended.set()


async def test_an_interruption_ends_what_makes_the_root() -> None:
    roots: Any = SlowRoots()
    making = asyncio.create_task(module._make(roots, "trixie-arm64"))
    async with asyncio.timeout(WAIT_S):
        await asyncio.to_thread(roots.began.wait)
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making
    assert roots.ended.is_set()


def test_lines_name_the_kind_of_step_once() -> None:
    stream = io.StringIO()
    with RootProgress("trixie-arm64", stream=stream) as progress:
        for step in ("reading package lists", "unpacking gcc", "unpacking make"):
            progress(step, 0.0)
    lines = stream.getvalue().splitlines()
    assert lines[:2] == ["trixie-arm64: reading package lists", "trixie-arm64: unpacking"]
    assert lines[2].startswith("trixie-arm64: made in ")
