"""The base of every struct of the model.

A struct holds facts and does no I/O. Times are timezone-aware, sizes are bytes, durations are
seconds; project names are normalized (PEP 503) and versions canonical (PEP 440).
"""

from typing import Any, TypeVar

import msgspec


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every noun: immutable, compared by value, unknown fields are rejected."""


_S = TypeVar("_S", bound=msgspec.Struct)
_MISSING = object()


def projection(kind: type[_S], *sources: object, **fields: Any) -> _S:
    """A struct of this kind: the given fields, and the others as the first source has them.

    So a view of a noun is never filled field by field, which would miss a new one.

    Raises:
        TypeError: a field that has no default is missing.
    """
    for name in kind.__struct_fields__:
        if name not in fields:
            for source in sources:
                value = getattr(source, name, _MISSING)
                if value is not _MISSING:
                    fields[name] = value
                    break
    return kind(**fields)
