"""Random messages: bytes, and structures that a type allows or just does not."""

import random
from typing import Any

import msgspec
from msgspec import inspect

_TEXTS = ["", "a", "demo", "1.0", "\x1b[2J", "\u202e", "1" * 60, "x" * 250, "cp311-cp311-any", "🎡"]
_NUMBERS = [-(2**63), -1, 0, 1, 7, 200, 2**31, 2**62, 2**63 - 1]
_FIGURES = [-1e12, -1.0, 0.0, 0.5, 1e9, 1e12]


class MessageGenerator:
    """Makes messages; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def random_bytes(self, longest: int = 2000) -> bytes:
        """Bytes of any length and content."""
        return self.random.randbytes(self.random.randrange(longest))

    def frames(self) -> list[bytes]:
        """Further frames of a message: mostly none, sometimes too many."""
        return [self.random_bytes()] * self.random.choice([0, 0, 0, 1, 9])

    def corrupt(self, data: bytes) -> bytes:
        """A message with one byte changed, cut or added."""
        place = self.random.randrange(len(data) + 1)
        return data[:place] + self.random_bytes(3) + data[place + self.random.randrange(2) :]

    def message(self, kind: Any) -> Any:
        """Built-in values that a type allows, in form; lengths and sizes may be wrong."""
        return self._make(inspect.type_info(kind))

    def encoded(self, kind: Any) -> bytes:
        """A message on the wire: mostly whole, sometimes damaged or nothing like one."""
        if self.random.random() < 0.2:
            return self.random_bytes()
        data = msgspec.msgpack.encode(self.message(kind))
        return self.corrupt(data) if self.random.random() < 0.2 else data

    def _make(self, kind: inspect.Type) -> Any:  # noqa: C901 - one case a type
        choice = self.random.choice
        match kind:
            case inspect.UnionType():
                return self._make(choice(kind.types))
            case inspect.StructType():
                fields = {
                    field.encode_name: self._make(field.type)
                    for field in kind.fields
                    if field.required or self.random.random() < 0.5
                }
                return {"type": kind.tag, **fields} if kind.tag else fields
            case inspect.EnumType():
                return choice(list(kind.cls)).value
            case inspect.IntType():
                return choice(_NUMBERS)
            case inspect.FloatType():
                return choice(_FIGURES)
            case inspect.StrType():
                return choice(_TEXTS)
            case inspect.BytesType():
                return self.random_bytes()
            case inspect.BoolType():
                return choice([True, False])
            case inspect.NoneType():
                return None
            case inspect.DateTimeType():
                return "2026-01-01T00:00:00Z"
            case inspect.VarTupleType() | inspect.ListType():
                return [self._make(kind.item_type) for _ in range(choice([0, 1, 2, 5]))]
            case inspect.TupleType():
                return [self._make(item) for item in kind.item_types]
            case inspect.DictType():
                return {self._make(kind.key_type): self._make(kind.value_type)}
        raise AssertionError(kind)
