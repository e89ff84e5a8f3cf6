"""Looks which steps are done, and carries out the others."""

import enum
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

from piwheels.setup.errors import SetupError
from piwheels.setup.steps import SECRETS, Command, Step, secrets_of

_NAMES_ERROR = re.compile(r"^E: |\b(error|fail|cannot|could not|denied)", re.IGNORECASE)
_IS_WARNING = re.compile(r"^(W|\S*warning):|to suppress this message", re.IGNORECASE)


class State(enum.StrEnum):
    """How the machine stands to a step."""

    DONE = "done"
    TO_DO = "to do"
    DIFFERS = "differs"


def state_of(step: Step) -> State:
    """Whether a step is done; the tests of steps change nothing."""
    if _succeeds(step.done):
        return State.DONE
    return State.DIFFERS if _succeeds(step.differs) else State.TO_DO


def run_steps(
    steps: Sequence[Step],
    show: Callable[[int, Step, State], None],
    show_output: Callable[[str], None],
    secrets: Mapping[str, str] | None = None,
) -> int:
    """Carry out the steps that are not done, in order; returns how many that were.

    Args:
        steps: all steps.
        show: called with number, step and state before each step.
        show_output: called with each line that a command prints.
        secrets: what commands read, by the variables that the steps name.

    Raises:
        SetupError: a step failed, or its commands succeeded and it is still not done.
    """
    carried_out = 0
    for number, step in enumerate(steps, 1):
        state = state_of(step)
        show(number, step, state)
        if state is State.DONE:
            continue
        _run_one(step, show_output, secrets or {})
        carried_out += 1
    return carried_out


def _run_one(step: Step, show_output: Callable[[str], None], secrets: Mapping[str, str]) -> None:
    needed = {name: secrets[name] for name in secrets_of([step]) if name in secrets}
    for command in step.commands:
        # By itself: what an earlier one printed, and went on from, is not why this one failed.
        began = time.time()
        code, lines = _run_shell(command.shell, {**_environment(), **needed}, show_output)
        if code != 0:
            if logged := _logged_by_unit(command, began):
                lines = logged
                for line in logged:
                    show_output(line)
            raise _failure(step, f"failed with code {code}: {cause(lines)}")
    if state_of(step) is not State.DONE:
        raise _failure(step, f"is not done after its commands: {step.done}")


def _logged_by_unit(command: Command, since: float) -> list[str]:
    """What a service has logged that systemctl could not start, which does not say why."""
    if command.argv[0] != "systemctl":
        return []
    query = ("-q", "--no-pager", "-o", "cat", "-n", "20", f"--since=@{int(since)}")
    unit = command.argv[-1].removesuffix(".service")
    try:
        done = subprocess.run(
            ["journalctl", *query, f"_SYSTEMD_UNIT={unit}.service"],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _run_shell(
    shell: str, environment: Mapping[str, str], show_output: Callable[[str], None]
) -> tuple[int, list[str]]:
    """The exit code of a command, and the lines that it printed."""
    lines: list[str] = []
    with subprocess.Popen(
        ["/bin/sh", "-euc", shell],
        cwd="/",  # the account may not enter the caller's
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            lines.append(line.strip())
            show_output(line.rstrip())
    return process.returncode, lines


def cause(lines: Sequence[str]) -> str:
    """The line that says most in what a failed command printed."""
    said = [line for line in lines if line]
    named = [line for line in said if _NAMES_ERROR.search(line) and not _IS_WARNING.search(line)]
    return (named or said[-1:] or ["it printed nothing"])[0].rstrip(".")


def _failure(step: Step, what: str) -> SetupError:
    return SetupError(
        f"the step `{step.title}` {what}. When that is repaired, the same command goes on from it"
    )


def _environment() -> dict[str, str]:
    """The environment without secrets: those that a step needs are added to its own."""
    return {name: value for name, value in os.environ.items() if name not in SECRETS}


def _succeeds(test: str) -> bool:
    done = subprocess.run(
        ["/bin/sh", "-c", test],
        cwd="/",
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode == 0
