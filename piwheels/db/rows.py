"""Rows of queries as structs of the model."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

_S = TypeVar("_S", bound=msgspec.Struct)


def from_row(kind: type[_S], row: Mapping[str, Any], **fields: Any) -> _S:
    """A struct of the columns named like its fields: arrays become tuples, texts become enums.

    Raises:
        msgspec.ValidationError: a column is missing, or has a value that the field cannot have.
    """
    values = {**row, **fields}
    names = zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True)
    return msgspec.convert({key: values[name] for name, key in names if name in values}, kind)
