"""The situations in which builds fail."""

from tests.causes.situations import (
    archives,
    build_tools,
    compilers,
    headers,
    indexes,
    limits,
    packages,
    pythons,
    rust_and_network,
)
from tests.causes.spec import Situation

_MODULES = (
    archives,
    build_tools,
    compilers,
    headers,
    indexes,
    limits,
    packages,
    pythons,
    rust_and_network,
)

SITUATIONS: tuple[Situation, ...] = tuple(
    sorted(
        (situation for module in _MODULES for situation in module.SITUATIONS),
        key=lambda situation: situation.number,
    )
)
