"""Real builders that lack a package or the compiler: no release fails for it, and none is quarantined."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from piwheels.protocol.keys import MASTER, KeyStore, Role
from tests import requires
from tests.builder import sdists
from tests.endtoend.conftest import Farm, add_release, wait_until
from tests.fake_index import FakeIndex
from tests.timeouts import WAIT_S

pytestmark = [pytest.mark.slow, requires.requires_program("dpkg-query")]

_DPKG_STATUS = Path("/var/lib/dpkg/status")
#: Several builds on a busy machine.
_LONG_S = 900.0
_HEADER = "portaudio.h"
_COMPILER = re.compile(r"(?:.*-)?(?:gcc|g\+\+|cc|c\+\+|clang|c89|c99)(?:-\d+)?")
_COMPILER_PACKAGES = re.compile(r"(?:gcc|g\+\+|cpp|clang|build-essential)\b.*")
_INSTALLED = """
Package: portaudio19-dev
Status: install ok installed
Maintainer: nobody <nobody@example.org>
Architecture: all
Version: 1
Description: a package
"""


def in_namespace(script: str) -> list[str]:
    """A prefix that runs a command where a script has changed what is mounted."""
    unshare = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--map-root-user"])]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        requires.skip_or_fail("this account may not mount anything, not even in a namespace")
    return [*unshare, "sh", "-c", f'set -e; {script}; exec "$@"', "sh"]


def with_package(folder: Path) -> list[str]:
    """As on a machine with a portaudio19-dev that is one header."""
    include = folder / "include"
    include.mkdir()
    (include / _HEADER).write_text("#define PORT_ANSWER 42\n")
    status = folder / "status-with"
    status.write_text(_DPKG_STATUS.read_text() + _INSTALLED)
    return in_namespace(
        f"mount -t overlay overlay -o lowerdir={include}:/usr/include /usr/include; "
        f"mount --bind {status} {_DPKG_STATUS}"
    )


def without_compiler(folder: Path) -> list[str]:
    """As on a machine without a C compiler."""
    stanzas = _DPKG_STATUS.read_text().split("\n\n")
    kept = [
        text for text in stanzas if not _COMPILER_PACKAGES.match(text.removeprefix("Package: "))
    ]
    status = folder / "status-without"
    status.write_text("\n\n".join(kept))
    names = [path.name for path in Path("/usr/bin").iterdir() if _COMPILER.fullmatch(path.name)]
    assert names
    hidden = folder / "hidden"  # a device 0, 0 is a whiteout of overlayfs
    make = "; ".join(f"mknod {hidden / name} c 0 0" for name in names)
    return in_namespace(
        f"mkdir {hidden}; {make}; "
        f"mount -t overlay overlay -o lowerdir={hidden}:/usr/bin /usr/bin; "
        f"mount --bind {status} {_DPKG_STATUS}"
    )


@contextmanager
def second_builder(farm: Farm, prefix: Sequence[str] = ()) -> Iterator[None]:
    """Another builder of the farm, as its own process."""
    keys = KeyStore(farm.folder / "keys")
    keys.authorize(Role.BUILDER, "builder-2", keys.load_or_generate("builder-2").public)
    environ = {
        "PIWHEELS_BUILDER_KEY_NAME": "builder-2",
        "PIWHEELS_BUILDER_MASTER_KEY": keys.require(MASTER).public,
        "PIWHEELS_BUILDER_WORK_DIR": str(farm.folder.parent / "builder-2"),
    }
    piw = [sys.executable, "-m", "piwheels", "builder", "run", "--config", str(farm.config)]
    with (farm.folder.parent / "builder-2.log").open("wb") as log:
        process = subprocess.Popen(
            [*prefix, *piw], stdout=log, stderr=log, env={**os.environ, **environ}
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def ask(farm: Farm, *words: str) -> Any:
    return json.loads(farm.piw(*words, "--json").stdout)


def check_nobody_is_blamed(farm: Farm) -> None:
    builds = ask(farm, "builds")["builds"]
    assert not [
        build for build in builds if build["outcome"] != "built" and not build["will_retry"]
    ], builds
    assert "quarantined" not in farm.piw("events").stdout
    assert "quarantined" not in {each["state"] for each in ask(farm, "status")["builders"]}


def test_a_release_is_parked_until_a_builder_has_the_package_that_it_lacks(
    farm: Farm, upstream: FakeIndex, tmp_path: Path
) -> None:
    assert not Path("/usr/include", _HEADER).exists(), "this machine has portaudio19-dev"
    content = sdists.extension_sdist("needy", f"#include <{_HEADER}>\nint answer = PORT_ANSWER;")
    upstream.add("needy", "needy-1.0.tar.gz", content)
    farm.start("needy", "--no-tui")
    farm.wait_until_ready()
    awaited = [{"package": "portaudio19-dev", "releases": 1}]
    wait_until(lambda: ask(farm, "status")["awaited_packages"] == awaited, "it is parked", _LONG_S)
    assert "portaudio19-dev: 1 release waits" in farm.piw("status").stdout
    add_release(upstream, "plain")
    farm.piw("add", "plain")
    wait_until(lambda: "plain" in farm.pages(), "other releases are built meanwhile")
    with second_builder(farm, with_package(tmp_path)):
        wait_until(lambda: "needy" in farm.pages(), "the other builder built it", _LONG_S)
        check_nobody_is_blamed(farm)
        farm.stop()


def test_a_builder_without_a_compiler_fails_no_release(
    farm: Farm, upstream: FakeIndex, tmp_path: Path
) -> None:
    compiled = ("compiled0", "compiled1")
    for name in compiled:
        upstream.add(name, f"{name}-1.0.tar.gz", sdists.extension_sdist(name))
    add_release(upstream, "plain")
    names = (*compiled, "plain")
    farm.environ["PIWHEELS_MASTER_QUARANTINE_AFTER"] = str(len(compiled))
    farm.start(*names, "--no-tui", prefix=without_compiler(tmp_path))
    farm.wait_until_ready()
    wait_until(lambda: "plain" in farm.pages(), "what needs no compiler is built", _LONG_S)
    wait_until(
        lambda: len(ask(farm, "builds")["builds"]) == len(names), "each was tried once", _LONG_S
    )
    check_nobody_is_blamed(farm)
    assert set(farm.pages()) == {"plain"}
    with second_builder(farm):
        wait_until(lambda: set(farm.pages()) == set(names), "they are built there", _LONG_S)
        check_nobody_is_blamed(farm)
        farm.stop()
