"""The render process exits with its parent."""

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
from piwheels.rendering.render_pool import RenderPool
if __name__ == "__main__":
    print(RenderPool().submit(os.getpid).result(), flush=True)
    time.sleep(600)
"""


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.farm
def test_the_render_process_exits_with_a_killed_master() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        renderer = int(parent.stdout.readline())
        assert _runs(renderer)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not _runs(renderer), "the renderer ends")


def test_missing_shared_memory_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr("multiprocessing.synchronize.SemLock.__init__", none)
    with pytest.raises(ConfigError, match=r"shared memory in /dev/shm.*mount -t tmpfs"):
        RenderPool()
