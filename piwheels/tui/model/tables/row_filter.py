"""Filters of rows: words, `-word`, `state:lost`, `older:1h`, `newer:2d`, saved ones as `@name`."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from piwheels.formatting import parse_duration
from piwheels.tui.model.tables.table_model import Column, Row

_Test = Callable[[Row], bool]
#: What `state:` asks for where no column is called so.
_STATE_COLUMNS = ("outcome", "class", "rule")
_STATE_NAMES = ("state", "outcome")
_NO_FILTERS: Mapping[str, str] = {}


def row_filter(
    text: str, columns: Sequence[Column], saved: Mapping[str, str] = _NO_FILTERS
) -> Callable[[Row], bool]:
    """Whether a row passes every word of a filter.

    A word that is in no form of a token is looked for in the row's text, with its punctuation.
    """
    tests = [_test(word, columns) for word in _words(text, saved)]
    return lambda row: all(test(row) for test in tests)


def _words(text: str, saved: Mapping[str, str]) -> Iterator[str]:
    for word in text.lower().split():
        if word.startswith("@") and word[1:] in saved:
            yield from saved[word[1:]].lower().split()
        elif word != "-":  # the beginning of an excluded word
            yield word


def wanted_states(text: str, saved: Mapping[str, str] = _NO_FILTERS) -> tuple[str, ...]:
    """The values of `state:` and `outcome:` that rows have to have."""
    parts = [word.partition(":") for word in _words(text, saved)]
    return tuple(value for name, _, value in parts if name in _STATE_NAMES and value)


def _test(word: str, columns: Sequence[Column]) -> _Test:
    if len(word) > 1 and word.startswith("-"):
        unwanted = _test(word[1:], columns)
        return lambda row: not unwanted(row)
    name, colon, value = word.partition(":")
    if colon and value:
        if name in {"older", "newer"} and (limit_s := parse_duration(value)):
            return _age_test(limit_s, older=name == "older")
        if (place := _place_of(name, columns)) is not None:
            return lambda row: place < len(row.cells) and value in row.cells[place].text.lower()
    return lambda row: word in row.filter_text


def _age_test(limit_s: float, *, older: bool) -> _Test:
    def test(row: Row) -> bool:
        return row.age_s is not None and (row.age_s >= limit_s) is older

    return test


def _place_of(name: str, columns: Sequence[Column]) -> int | None:
    """The place of a column by its key or its title."""
    keys = [column.key for column in columns]
    wanted = (name, *_STATE_COLUMNS) if name == "state" else (name,)
    titles = [column.title.lower() for column in columns]
    for key in wanted:
        if key in keys:
            return keys.index(key)
    return titles.index(name) if name in titles else None
