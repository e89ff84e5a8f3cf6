"""The base of every struct of the model.

A struct holds facts and does no I/O. Times are timezone-aware, sizes are bytes, durations are
seconds; project names are normalized (PEP 503) and versions canonical (PEP 440).
"""

import msgspec


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every noun: immutable, compared by value, unknown fields refused."""
