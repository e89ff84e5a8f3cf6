"""Builds without a sandbox."""

import sys
from pathlib import Path

from piwheels.builder import process_reaper
from piwheels.builder.process_runner import OnOutput, ProcessResult, run_process
from piwheels.builder.sandbox import (
    SandboxCommand,
    launcher_command,
    make_work_dir,
    prlimit_command,
)


class NoSandbox:
    """No confinement: builds run as the builder itself, with its files and its network."""

    warning = (
        "*** no sandbox: this build runs with all permissions of the builder, its files and "
        "its network ***"
    )

    def prepare(self, work_dir: Path) -> None:
        """Create a new work folder with `home` and `tmp` in it."""
        make_work_dir(work_dir)

    def path_inside(self, work_dir: Path, path: Path) -> str:  # noqa: ARG002 - the interface's
        """The path itself."""
        return str(path)

    async def run(self, command: SandboxCommand, on_output: OnOutput) -> ProcessResult:
        """Run a program to its end; none of its processes is left, also after a cancellation."""
        # nproc counts all processes of a user, which without a namespace includes other programs.
        limited = prlimit_command(command.limits, processes=False)
        return await run_process(
            [
                *launcher_command("-"),
                *(sys.executable, "-I", process_reaper.__file__),
                *limited,
                *command.command,
            ],
            environment=command.environment,
            limits=command.limits,
            folder=command.work_dir,
            on_output=on_output,
            cwd=command.work_dir,
        )
