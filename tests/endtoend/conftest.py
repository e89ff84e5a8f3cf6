"""A whole farm, started as a user starts it, on an upstream that the test fills."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.builder.conftest import tools, upstream
from tests.builder.sdists import sdist_running
from tests.fake_index import FakeIndex
from tests.local.processes import descendants
from tests.timeouts import WAIT_S

__all__ = ["tools", "upstream"]


def add_release(index: FakeIndex, name: str, body: str = "pass", **how: str) -> None:
    """Put a release with an sdist, whose build does `body`, into an index."""
    version = how.get("version", "1.0")
    index.add(name, f"{name}-{version}.tar.gz", sdist_running(name, body, **how))


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 300.0) -> Any:
    """Wait for a condition, and return its value."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {timeout_s:.0f} s")


@dataclass
class Farm:
    """One folder, and the `piw up` that runs in it."""

    folder: Path
    upstream: str
    process: subprocess.Popen[bytes] | None = None
    runs: int = 0
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.folder / "piwheels.toml"

    @property
    def output(self) -> str:
        return (self.folder.parent / f"out-{self.runs}").read_text()

    def start(self, *arguments: str, prefix: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        self.runs += 1
        command = [
            *prefix,
            *(sys.executable, "-m", "piwheels", "up", "--dir", str(self.folder), "--port", "0"),
            *("--upstream", self.upstream, *arguments),
        ]
        with (self.folder.parent / f"out-{self.runs}").open("wb") as out:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **self.environ}
            )
        return self.process

    def run(self, *arguments: str, timeout_s: float = 300.0) -> int:
        code = self.start(*arguments).wait(timeout_s)
        self.process = None
        return code

    def piw(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        verb, *rest = arguments
        done = subprocess.run(
            [sys.executable, "-m", "piwheels", *verb.split(), "--config", str(self.config), *rest],
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * WAIT_S,
        )
        assert done.returncode == 0 or not check, done.stderr
        return done

    def wait_until_ready(self) -> None:
        wait_until(lambda: "pip install" in self.output, "the farm is up")

    def index(self) -> str:
        self.wait_until_ready()
        line = next(line for line in self.output.splitlines() if line.startswith("index:"))
        return line.split()[-1]

    def pages(self) -> dict[str, Any]:
        """The JSON page of every project in the web root."""
        return {
            page.parent.name: json.loads(page.read_text())
            for page in self.folder.glob("www/simple/*/index.v1_json")
        }

    def check_web_root(self) -> list[str]:
        """Every file that a page names is there, and its metadata; gives their names."""
        names = []
        for project, page in self.pages().items():
            for file in page["files"]:
                place = self.folder / "www" / "simple" / project / file["url"]
                assert place.is_file(), f"{project} names {file['filename']}, which is missing"
                assert Path(f"{place}.metadata").is_file()
                assert Path(f"{place}.provenance.json").is_file()
                names.append(file["filename"])
        return sorted(names)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                for pid in [*descendants(self.process.pid), self.process.pid]:
                    os.kill(pid, signal.SIGKILL)
                raise


@pytest.fixture
def farm(tmp_path: Path, upstream: FakeIndex) -> Iterator[Farm]:
    farm = Farm(tmp_path / "farm", upstream.simple)
    yield farm
    farm.stop()
