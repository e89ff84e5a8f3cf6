"""Runs programs of a root in the sandbox, outside of builds."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from piwheels.builder.bubblewrap import Bubblewrap
from piwheels.builder.process_runner import Limits, OnOutput
from piwheels.builder.sandbox import SandboxCommand
from piwheels.errors import ConfigError
from piwheels.formatting import exit_status_text
from piwheels.roots.mount import RootMount

_TIMEOUT_S = 1800.0  # enough to compile the standard library, emulated


def run_inside(
    sandbox: Bubblewrap,
    mount: RootMount,
    command: Sequence[str],
    output: str = "",
    on_output: OnOutput | None = None,
) -> bytes:
    """Run a program of a root in a thread without an event loop, as `roots.maker.RunInside`.

    Raises:
        ConfigError: it failed; the message has the last line that it printed.
    """
    return asyncio.run(run_program(sandbox, mount, command, output, on_output=on_output))


async def run_program(
    sandbox: Bubblewrap,
    mount: RootMount,
    command: Sequence[str],
    output: str = "",
    *,
    files: dict[str, str] | None = None,
    on_output: OnOutput | None = None,
) -> bytes:
    """As `run_inside`, on an event loop.

    Args:
        sandbox: the sandbox.
        mount: the root.
        command: the program and its arguments.
        output: the name of a file that it writes into /build, to return; "" for its output.
        files: files for it to read in /build, by name.
        on_output: receives what it prints, as it is printed; what it raises ends the program.
    """
    printed = bytearray()

    def receive(data: bytes) -> None:
        printed.extend(data)
        if on_output is not None:
            on_output(data)

    with tempfile.TemporaryDirectory(prefix="piwheels-root-") as folder:
        work_dir = Path(folder) / "work"
        sandbox.prepare(work_dir)
        for name, text in (files or {}).items():
            (work_dir / name).write_text(text, encoding="utf-8")
        result = await sandbox.run(
            SandboxCommand(
                command=tuple(command),
                environment={"PATH": "/usr/bin:/bin", "HOME": "/build/home", "LC_ALL": "C.UTF-8"},
                work_dir=work_dir,
                limits=Limits(timeout_s=_TIMEOUT_S, disk_reserve_bytes=0),
                mount=mount,
            ),
            receive,
        )
        if result.status != 0:
            lines = printed.decode(errors="replace").strip().splitlines()
            reason = lines[-1] if lines else exit_status_text(result.status)
            raise ConfigError(
                f"{command[0]} does not run in {mount.root}: {reason} (`piw root check` says what "
                "this machine lacks)"
            )
        return (work_dir / output).read_bytes() if output else bytes(printed)
