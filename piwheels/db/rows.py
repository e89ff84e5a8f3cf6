"""Structs of the model from rows, and as parameters of statements."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

import msgspec

_S = TypeVar("_S", bound=msgspec.Struct)


def from_row(kind: type[_S], row: Mapping[str, Any], **fields: Any) -> _S:
    """A struct of the columns named like its fields: arrays become tuples, texts become enums.

    Raises:
        msgspec.ValidationError: a column is missing, or has a value that the field cannot have.
    """
    values = {**row, **fields}
    names = _encoded_names(kind)
    return msgspec.convert({key: values[name] for name, key in names if name in values}, kind)


@cache
def _encoded_names(kind: type[msgspec.Struct]) -> tuple[tuple[str, str], ...]:
    """The fields of a struct, and how each is named in an encoded one."""
    return tuple(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))


def to_parameters(*nouns: msgspec.Struct) -> dict[str, Any]:
    """The fields of structs as parameters: tuples become arrays, enums texts."""
    fields = {name: getattr(noun, name) for noun in nouns for name in noun.__struct_fields__}
    return {name: _to_parameter(value) for name, value in fields.items()}


def integer_array(values: Iterable[int]) -> str:
    """An array of integers as PostgreSQL reads it; psycopg takes ten times as long for a list."""
    return f"{{{','.join(map(str, values))}}}"


def _to_parameter(value: object) -> object:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, StrEnum) else value
