"""The search of names: what matches, in which order, and that it stops at its limit."""

import pytest

from piwheels.control.name_index import NameIndex

#: The most downloaded first.
NAMES = "\n".join(
    ("requests", "numpy", "scikit-learn", "python-numpad", "num", "numexpr", "pynum", "aa-skl")
)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("num", ["num", "numpy", "numexpr", "python-numpad", "pynum"]),
        ("NumPy ", ["numpy"]),
        ("learn", ["scikit-learn"]),
        ("scikit_learn", ["scikit-learn"]),
        ("scikit learn", ["scikit-learn"]),
        ("skl", ["aa-skl", "scikit-learn"]),
        ("rqsts", ["requests"]),
        ("umpy", ["numpy"]),
        ("nothing-like-it", []),
        ("", []),
        ("-_ ", []),
        ("a.c*", []),
    ],
)
def test_what_is_found_comes_in_the_order_of_how_well_it_matches(
    typed: str, found: list[str]
) -> None:
    assert NameIndex(NAMES).find(typed, 20) == found


def test_no_more_names_are_found_than_asked_for() -> None:
    index = NameIndex("\n".join(f"name-{number}" for number in range(1000)))
    assert index.count == 1000
    assert index.find("name", 3) == ["name-0", "name-1", "name-2"]
    assert index.find("ne9", 2) == ["name-9", "name-19"]


def test_an_index_without_names_finds_nothing() -> None:
    index = NameIndex("")
    assert (index.count, index.find("numpy", 20)) == (0, [])
