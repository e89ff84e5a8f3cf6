"""The roots of a private farm: made before its builders start."""

import asyncio
import threading
from collections.abc import Mapping

import click

from piwheels.builder.root_systems import HOST, Roots, describe_interpreter
from piwheels.config import Config
from piwheels.model import Interpreter, Target
from piwheels.roots.progress import RootProgress
from piwheels.roots.store import MadeRoot
from piwheels.wheel.tags import target_of

__all__ = ["HOST", "serve_roots"]


async def serve_roots(
    config: Config, host: Mapping[Target, Interpreter]
) -> dict[Target, Interpreter | None]:
    """The targets of a farm's builders; those of roots, which are made if need be, have None.

    Args:
        config: the farm's settings; `builder.roots` names its roots.
        host: the targets of this machine's interpreters.

    Raises:
        PiwheelsError: a root cannot be made or used.
    """
    names = config.builder.roots
    found: dict[Target, Interpreter | None] = {}
    if not names or HOST in names:
        found |= host
    others = [name for name in names if name != HOST]
    if not others:
        return found
    roots = Roots(config.builder, config.root)
    for name in others:
        roots.definition(name)
    for name in others:
        root = roots.store.find(name) or await _make(roots, name)
        for interpreter, system in await roots.interpreters(name):
            found[target_of(interpreter)] = None
            click.echo(f"root:   {name}, {describe_interpreter(interpreter, system)}")
        if notice := root.record.notice:
            click.secho(f"note:   {notice}", fg="yellow")
    return found


class _StoppedError(Exception):
    """A root is not needed any more: `piw up` was interrupted."""


async def _make(roots: Roots, name: str) -> MadeRoot:
    """Make a root in a thread; a cancellation ends what runs there."""
    stopped = threading.Event()
    with RootProgress(name) as progress:

        def report(step: str, fraction: float) -> None:
            if stopped.is_set():
                raise _StoppedError
            progress(step, fraction)

        making = asyncio.create_task(asyncio.to_thread(roots.make, name, report))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            stopped.set()
            await asyncio.gather(making, return_exceptions=True)
            raise
