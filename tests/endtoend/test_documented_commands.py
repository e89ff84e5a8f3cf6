"""The commands of the README and of the operations page, run on a private farm."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from piwheels.cli import cli
from piwheels.scheduler.reasons import NOT_CONNECTED
from tests.documented_commands import typed_commands
from tests.endtoend.conftest import Farm, add_release, wait_until
from tests.fake_index import FakeIndex
from tests.timeouts import WAIT_S

#: What is not run here, and why.
NOT_RUN = {
    "up": "it is what runs the farm",
    "setup": "it changes the whole machine; test_setup.py does that in a system of its own",
    "upgrade": "no units are installed; tests/setup checks it",
    "builder join": "the farm's builder has joined; tests/control/test_joining.py joins others",
    "builder authorize": "no builder waits",
    "db restore": "it needs an empty database",
    "root add": "it downloads whole systems; tests/roots makes one",
    "config set": "the builder would make those systems at its restart",
    "tui": "it needs a terminal or another machine; its snapshot is run",
    "builder drain": "it ends the farm's only builder",
}
#: These are rejected, with exit code 1, if no build is failed, queued or running.
DEPEND_ON_BUILDS = {"retry", "prioritize", "builder cancel"}


@pytest.fixture
def farm(tmp_path: Path, upstream: FakeIndex) -> Farm:
    """A farm that built the README's projects, in the README's directory."""
    for project in ("markupsafe", "wrapt"):
        add_release(upstream, project)
    return Farm(tmp_path / "piwheels-farm", upstream.simple)


@pytest.mark.slow
def test_documented_commands_work(farm: Farm, repository: Path) -> None:
    commands = [
        *typed_commands(repository / "README.md"),
        *typed_commands(repository / "docs" / "operations.md"),
    ]
    farm.start("markupsafe", "wrapt")
    try:
        wait_until(lambda: len(farm.pages()) == 2, "both projects have a page")
        (farm.folder.parent / "history.csv").write_text("day,downloads\n2020-01-01,7\n")
        ran = [_run(farm, words) for words in commands if _is_run(words)]
    finally:
        farm.stop()
    assert len(ran) > 40


def _is_run(words: list[str]) -> bool:
    return "--snapshot" in words or not any(
        words[: len(name.split())] == name.split() for name in NOT_RUN
    )


def _run(farm: Farm, words: list[str]) -> list[str]:
    command = [_as_here(farm, word) for word in words]
    if words[:2] == ["key", "generate"]:  # the page says to remove the old key first
        (farm.folder / "keys" / f"{words[2]}.secret").unlink(missing_ok=True)
    if words[:2] == ["key", "revoke"]:  # the page has a builder of that name
        farm.piw(f"key authorize {words[2]} {os.urandom(32).hex()}")
    if words[0] != "key" and words[:2] != ["builder", "invite"]:
        command = ["builder-1" if word == "pi4-kitchen" else word for word in command]
    name = next(name for name in (" ".join(words[:2]), words[0]) if _is_command(name))
    if "yes" in _parameters(name):
        command.append("--yes")
    done = wait_until(lambda: _run_if_connected(farm, command), "the builder is connected")
    rejected = name in DEPEND_ON_BUILDS and done.returncode == 1
    assert done.returncode == 0 or rejected, (command, done.stderr)
    assert "Traceback" not in done.stderr
    return command


def _as_here(farm: Farm, word: str) -> str:
    """A documented word, for this farm's names and directories."""
    word = word.replace("numpy", "markupsafe").replace("pandas", "wrapt")
    word = re.sub(r"^(/var/lib/piwheels|/backup)(?=/|$)", str(farm.folder.parent), word)
    if word == "cp39-bullseye-armv7l":
        return str(wait_until(lambda: _target(farm), "the builder's target is known"))
    return os.urandom(32).hex() if word == "KEY" else {"17": "1"}.get(word, word)


def _run_if_connected(farm: Farm, command: list[str]) -> subprocess.CompletedProcess[str] | None:
    """Run a command; None if its builder is away, as an earlier command restarted it."""
    done = subprocess.run(
        [sys.executable, "-m", "piwheels", *command],
        cwd=farm.folder.parent,
        env={**os.environ, "PIWHEELS_CONFIG": str(farm.config)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * WAIT_S,
    )
    return None if NOT_CONNECTED in done.stderr else done


def _target(farm: Farm) -> str:
    return farm.piw("status", "--json").stdout.partition('"target": "')[2].partition('"')[0]


def _is_command(name: str) -> bool:
    command = cli.commands.get(name.partition(" ")[0])
    sub = name.partition(" ")[2]
    return command is not None and (not sub or sub in getattr(command, "commands", {}))


def _parameters(name: str) -> set[str]:
    command = cli.commands[name.partition(" ")[0]]
    if sub := name.partition(" ")[2]:
        command = command.commands[sub]  # type: ignore[attr-defined]
    return {str(parameter.name) for parameter in command.params}
