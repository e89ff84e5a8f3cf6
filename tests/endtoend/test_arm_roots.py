"""Wheels for two kinds of Raspberry Pi, built by emulation, and installed by each platform's pip."""

import io
import json
import os
import platform
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from piwheels.builder.bubblewrap import Bubblewrap, find_bubblewrap
from piwheels.builder.root_programs import run_inside
from piwheels.builder.sandbox import SandboxCommand
from piwheels.wheel import elf
from tests import requires
from tests.builder import sdists
from tests.endtoend.conftest import Farm, add_release, wait_until
from tests.fake_index import FakeIndex
from tests.roots.real_roots import root_system, roots_dir, shared_roots

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="it tests emulation on a PC"),
    requires.requires_program("apt-get"),
    requires.requires_sandbox(),
]


@dataclass(frozen=True)
class Platform:
    """A root, and the wheels that are built on it."""

    root: str
    abi: str
    arch: str
    elf_machine: str
    glibc: tuple[int, int]


_KNOWN = (
    Platform("bookworm-armhf", "cp311", "armv7l", "arm", (2, 36)),
    Platform("bookworm-arm64", "cp311", "aarch64", "aarch64", (2, 36)),
    Platform("trixie-armhf", "cp313", "armv7l", "arm", (2, 41)),
    Platform("trixie-arm64", "cp313", "aarch64", "aarch64", (2, 41)),
)
#: Other platforms are tried with the names of their roots in TEST_ROOTS.
_ROOTS = os.environ.get("TEST_ROOTS", "trixie-armhf bookworm-arm64").split()
PLATFORMS = [known for known in _KNOWN if known.root in _ROOTS]
#: Its header and its library are in no root; it needs glibc, too.
_NEEDY = sdists.compiler_sdist(
    "needy",
    "#include <string.h>\n#include <yaml.h>\n"
    "char *v(void) { return strdup(yaml_get_version_string()); }",
    libraries=("yaml",),
)
#: Runs the pip of Debian's own package, then the script on what it installed.
_INSTALL_AND_RUN = """
cd /build && PYTHONPATH=$(echo /usr/share/python-wheels/pip-*.whl) python3 -m pip --isolated \\
  install --no-cache-dir --disable-pip-version-check --quiet --only-binary :all: \\
  --index-url {index} --target site {projects} && PYTHONPATH=site python3 -c '{script}'
"""


class SharedNetwork(Bubblewrap):
    """A sandbox that reaches this machine's servers, as a platform's pip reaches the index."""

    def bwrap_command(
        self, command: SandboxCommand, *, via_drop_root: bool, with_seccomp: bool = False
    ) -> list[str]:
        words = super().bwrap_command(
            command, via_drop_root=via_drop_root, with_seccomp=with_seccomp
        )
        at = words.index("--unshare-all") + 1
        return [*words[:at], "--share-net", *words[at:]]


def test_each_platform_installs_its_own_wheels(farm: Farm, upstream: FakeIndex) -> None:
    upstream.add("needy", "needy-1.0.tar.gz", _NEEDY)
    add_release(upstream, "plain")
    _build(farm, {"needy": len(PLATFORMS), "plain": 1})
    assert "building, emulated" in farm.output
    assert "adding libyaml-dev, emulated" in farm.output
    assert "plain-1.0-py3-none-any.whl" in farm.check_web_root()
    for wanted in PLATFORMS:
        assert _glibc(farm, "needy", wanted) <= wanted.glibc
        script = "import needy, plain; print(needy.__name__, plain.answer)"
        printed = _install_and_run(farm, wanted, ["needy", "plain"], script, ["libyaml-0-2"])
        assert printed == "needy 42"


def _build(farm: Farm, count: dict[str, int]) -> None:
    """Build as many wheels of each project, in the roots of all platforms."""
    for wanted in PLATFORMS:
        root_system(wanted.root)
    farm.environ["PIWHEELS_BUILDER_ROOTS_DIR"] = str(roots_dir())
    farm.environ["PIWHEELS_BUILDER_IMPORT_CHECK"] = "off"  # each platform imports them later
    farm.start(*count, *(word for wanted in PLATFORMS for word in ("--root", wanted.root)))
    wait_until(lambda: _settled(farm, count), "all wheels are published", timeout_s=1500)


def _settled(farm: Farm, count: dict[str, int]) -> bool:
    """Whether every wheel is there."""
    assert farm.process is not None
    assert farm.process.poll() is None, farm.output
    assert "failed in" not in farm.output, farm.output
    return count == {project: len(page["files"]) for project, page in farm.pages().items()}


def _glibc(farm: Farm, project: str, wanted: Platform) -> tuple[int, ...]:
    """What the extension of a platform's wheel needs, after checks of its tags and its machine."""
    (file,) = [
        file
        for file in farm.pages()[project]["files"]
        if f"-{wanted.abi}-{wanted.abi}-" in file["filename"]
        and file["filename"].endswith(f"_{wanted.arch}.whl")
    ]
    path = farm.folder / "www" / "simple" / project / file["url"]
    with zipfile.ZipFile(path) as wheel:
        (member,) = [name for name in wheel.namelist() if name.endswith(".so")]
        facts = elf.read(io.BytesIO(wheel.read(member)))
    assert facts is not None
    assert facts.machine == wanted.elf_machine
    return tuple(map(int, facts.glibc.split(".")))


def _install_and_run(
    farm: Farm, wanted: Platform, projects: Sequence[str], script: str, packages: Sequence[str]
) -> str:
    """What a script prints after a platform's own pip installed projects from the farm.

    Its root has `packages` besides, those that the page of the first project names.
    """
    page = json.loads((farm.folder / f"www/project/{projects[0]}/v1.json").read_text())
    for file in page["releases"][0]["files"]:
        assert file["debian_packages"] == packages
    system = root_system(wanted.root)
    layer = shared_roots().layer(system, packages) if packages else None
    words = _INSTALL_AND_RUN.format(index=farm.index(), projects=" ".join(projects), script=script)
    printed = run_inside(
        SharedNetwork(find_bubblewrap()),
        system.mount.with_layers((layer.folder,) if layer else ()),
        ("sh", "-c", words),
    )
    return printed.decode().splitlines()[-1]
