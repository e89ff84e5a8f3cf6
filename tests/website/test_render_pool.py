"""The process that renders: that it never outlives its parent."""

import os
import signal
import subprocess
import sys

import pytest

from piwheels.errors import ConfigError
from piwheels.rendering.render_pool import RenderPool
from tests.endtoend.conftest import wait_until

_PARENT = """
import os, time
from piwheels.rendering.render_pool import Renderer
if __name__ == "__main__":
    print(Renderer().submit(os.getpid).result(), flush=True)
    time.sleep(600)
"""


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_master_leaves_no_renderer_behind() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        renderer = int(parent.stdout.readline())
        assert _runs(renderer)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not _runs(renderer), "the renderer ends")


def test_a_system_without_shared_memory_is_told_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr("multiprocessing.synchronize.SemLock.__init__", none)
    with pytest.raises(ConfigError, match=r"shared memory in /dev/shm.*mount -t tmpfs"):
        RenderPool()
