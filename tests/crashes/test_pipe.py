"""A process that spools the access log of a web server is killed: each line is stored once."""

import random
import subprocess
import sys
import time
from pathlib import Path

from piwheels.accesslog.spool import Segments
from tests.accesslog.helpers import wait_until
from tests.crashes.web_server import PipedWebServer

_KILLS = 10
_LINES = 3000
#: Small segments, so that many are cut.
_CODE = """
import sys, threading
from pathlib import Path
from piwheels.accesslog import spool
spool._SEGMENT_BYTES = 100_000
spool.Spool(Path(sys.argv[1]), 2**40).start(0)
threading.Event().wait()
"""


def spool(server: PipedWebServer, folder: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", _CODE, str(folder)], stdin=server.reader)


def stored_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*"))


def stored(folder: Path) -> bytes:
    content = b""
    for name in sorted(path.stem for path in folder.glob("*.lock")):
        segments = Segments(folder, name)
        while data := segments.read(1 << 20):
            content += data
    return content


def test_a_killed_spool_loses_no_line_and_stores_none_twice(tmp_path: Path) -> None:
    server, chance, written = PipedWebServer(), random.Random(1), b""
    for _ in range(_KILLS):
        written += server.write(_LINES)
        before = stored_bytes(tmp_path)
        with spool(server, tmp_path) as process:
            wait_until(lambda: stored_bytes(tmp_path) > before, "it reads")  # noqa: B023
            time.sleep(chance.uniform(0.0, 0.02))
            process.kill()
    with spool(server, tmp_path) as process:
        wait_until(lambda: server.is_read, "all is stored")
        process.kill()
    assert stored(tmp_path) == written
    server.end()


def test_a_segment_that_was_copied_when_a_process_was_killed_counts_once(tmp_path: Path) -> None:
    (tmp_path / "abc-1.00000000000000000000").write_bytes(b"first\nsecond\n")
    (tmp_path / "abc-1.00000000000000000006").write_bytes(b"sec")
    segments = Segments(tmp_path, "abc-1")
    assert segments.read(100) == b"first\nsecond\n"
    assert not segments.read(100)
    assert segments.end == 13
