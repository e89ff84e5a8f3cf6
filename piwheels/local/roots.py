"""The roots of a private farm: made before its builders start."""

import asyncio
from collections.abc import Mapping

from piwheels.builder.root_systems import HOST, Roots
from piwheels.config import Config
from piwheels.model import Interpreter, Target
from piwheels.roots.progress import RootProgress
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
        if roots.store.find(name) is None:
            with RootProgress(name) as progress:
                await asyncio.to_thread(roots.make, name, progress)
        for interpreter, _ in await roots.interpreters(name):
            found[target_of(interpreter)] = None
    return found
