"""`piw root` on the command line: what bad input and a lacking machine get, and real roots."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from piwheels.errors import ConfigError
from piwheels.roots.deb_file import unpack
from piwheels.roots.store import RootStore
from tests import requires
from tests.full_disk import file_size_limit
from tests.roots.debs import make_deb, regular
from tests.roots.real_roots import NATIVE, root_system, roots_dir, shared_roots
from tests.timeouts import WAIT_S

pytestmark = pytest.mark.farm  # each starts `piw`

_NO_USER_NAMESPACES = (
    "unshare", "--user", "--map-root-user", "sh", "-c",
    'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"', "sh",
)  # fmt: skip


class CommandLine:
    """`piw root` and `piw builder` with settings and a roots folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.roots_dir = folder / "roots"
        self.config = folder / "piwheels.toml"
        self.config.touch()

    def start(self, *arguments: str, prefix: Sequence[str] = ()) -> subprocess.Popen[str]:
        verb, *rest = arguments
        words = ["builder"] if verb == "builder" else ["root", verb]
        command = [sys.executable, "-m", "piwheels", *words, "--config", str(self.config), *rest]
        return subprocess.Popen(
            [*prefix, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PIWHEELS_BUILDER_ROOTS_DIR": str(self.roots_dir)},
        )

    def run(
        self, *arguments: str, prefix: Sequence[str] = (), timeout_s: float = WAIT_S
    ) -> tuple[str, str]:
        """Its output and its errors."""
        output, errors = self.start(*arguments, prefix=prefix).communicate(timeout=timeout_s)
        return output, errors


@pytest.fixture
def piw_root(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("add", "potato-arm64"), "there is no root potato-arm64: name one of bookworm-amd64, "),
        (("update", NATIVE), f"there is no root {NATIVE}; `piw root list` prints all roots"),
        (("remove", "--yes", NATIVE), f"there is no root {NATIVE}; `piw root list` prints "),
    ],
)
@requires.requires_sandbox()
def test_a_root_that_is_not_there_is_one_line(
    piw_root: CommandLine, arguments: tuple[str, ...], error: str
) -> None:
    output, errors = piw_root.run(*arguments)
    assert error in errors.splitlines()[-1]
    assert output == ""
    assert not piw_root.roots_dir.exists()


@requires.requires_sandbox()
def test_a_builder_whose_root_is_not_made_says_how_to_make_it(
    piw_root: CommandLine, tmp_path: Path
) -> None:
    settings = {"key_dir": tmp_path / "keys", "work_dir": tmp_path / "work"}
    lines = "".join(f'{name} = "{folder}"\n' for name, folder in settings.items())
    piw_root.config.write_text(f'[builder]\nroots = ["host", "{NATIVE}"]\n{lines}')
    output, errors = piw_root.run("builder")
    expected = f"piw: the root {NATIVE} is not made yet: `piw root add {NATIVE}`, as the account of"
    assert errors.startswith(expected)
    assert len(errors.splitlines()) == 1
    assert output == ""


@requires.requires_sandbox()
def test_a_kernel_without_user_namespaces_is_told_before_anything_is_made(
    piw_root: CommandLine,
) -> None:
    output, errors = piw_root.run("add", NATIVE, prefix=_NO_USER_NAMESPACES)
    (line,) = errors.splitlines()
    assert f"the root {NATIVE} needs user namespaces; Linux " in line
    assert "user.max_user_namespaces" in line
    assert output == ""
    assert not piw_root.roots_dir.exists()
    output, _ = piw_root.run("check", prefix=_NO_USER_NAMESPACES)
    (lacking,) = [line for line in output.splitlines() if line.startswith("--  user")]
    assert "No space left on device" in lacking, "the kernel's word for that limit"
    assert "overlays" not in output, "it was not tried, because it needs user namespaces"


def test_a_disk_that_is_full_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    store = RootStore(tmp_path / "roots", 1 << 30)
    deb = make_deb(tmp_path / "a.deb", [regular("./usr")])

    def fill() -> None:
        with store.making("full") as folder, file_size_limit(2):
            (folder / "system").mkdir()
            unpack(deb, folder / "system")

    with pytest.raises(
        ConfigError, match=r"the root full cannot be written to .*\(builder\.roots_dir\): File"
    ):
        fill()
    assert not list(store.folder.glob(".full.making"))
    assert store.roots() == []


@pytest.mark.slow
@requires.requires_program("apt-get")
@requires.requires_sandbox()
def test_an_update_that_is_killed_changes_nothing_and_the_next_one_succeeds(
    piw_root: CommandLine,
) -> None:
    former = root_system(NATIVE).root
    piw_root.roots_dir = roots_dir()
    killed = piw_root.start("update", NATIVE)
    assert killed.stderr is not None
    assert any("unpacking" in line for line in killed.stderr), "it ended before"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert shared_roots().store.find(NATIVE) == former
    output, errors = piw_root.run("update", "--json", NATIVE, timeout_s=1800)
    (row,) = json.loads(output)
    assert row["made_at"] > former.record.made_at.isoformat(), errors
    assert not list(roots_dir().glob(".*making*"))
    assert former.system.is_dir(), "this process uses it"


@pytest.mark.slow
@requires.requires_program("apt-get")
@requires.requires_sandbox()
def test_a_root_made_otherwise_is_added_checked_listed_and_removed(piw_root: CommandLine) -> None:
    folder = root_system(NATIVE).root.system
    arch = NATIVE.rpartition("-")[2]
    piw_root.config.write_text(f'[root.found]\nfolder = "{folder}"\narch = "{arch}"\n')
    output, errors = piw_root.run("add", "found")
    assert output.startswith("found "), errors
    output, _ = piw_root.run("check")
    assert "ok  the root found: Python 3.13" in output
    rows: list[dict[str, Any]] = json.loads(piw_root.run("list", "--json")[0])
    assert [row["name"] for row in rows if row["made"]] == ["found"]
    assert piw_root.run("remove", "--yes", "found")[0] == "found is deleted\n"
    assert folder.is_dir()
    assert not (piw_root.roots_dir / "found").exists()
