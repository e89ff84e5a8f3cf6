"""Adds the Debian packages that a build on a root lacked, so that it can be built again."""

import asyncio
from collections.abc import Callable, Iterable

from piwheels.builder.build_system import RootSystem
from piwheels.errors import PiwheelsError, TransientError
from piwheels.roots.layers import Layer

#: How often packages are added within one job.
MAX_ROUNDS = 5

#: The layer with packages over a root; None if the root has them all. It runs in a thread.
MakeLayer = Callable[[RootSystem, Iterable[str]], Layer | None]


async def add_packages(
    system: RootSystem, found: Iterable[str], make_layer: MakeLayer
) -> tuple[RootSystem, str]:
    """The system with these packages too, in one layer, and a line for the log.

    It is the same system if it has them already, or if they cannot be had.

    Raises:
        TransientError: an archive cannot be reached now.
    """
    new = [package for package in found if package not in system.requested]
    if not new:
        return system, "what it lacks was added before, and did not help"
    requested = (*system.requested, *new)
    try:
        layer = await asyncio.to_thread(make_layer, system, requested)
    except TransientError:
        raise
    except PiwheelsError as error:
        return system, f"{', '.join(new)} cannot be added: {error}"
    if layer is None or layer.folder in system.mount.layers:
        return system, f"the root has {', '.join(new)} already"
    return system.with_layer(layer, requested), f"{', '.join(new)} added"
