"""The search of names: what matches, in which order, and that it stops at its limit."""

import random

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


@pytest.mark.parametrize("few", [0, 1000])
def test_a_few_and_many_names_come_in_the_same_order(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piwheels.control.name_index._FEW", few)
    chance = random.Random(7)
    names = ["".join(chance.choices("ab-", k=chance.randint(1, 6))).strip("-") for _ in range(400)]
    names = [name for name in dict.fromkeys(names) if name and "--" not in name]
    index = NameIndex("\n".join(names))
    for typed in ("a", "ab", "-a", "b-", "bab", "aa-b"):
        word = f"-{typed.lstrip('-')}"
        groups = (
            lambda name, typed=typed: name == typed,
            lambda name, typed=typed: name.startswith(typed),
            lambda name, word=word: word in name,
            lambda name, typed=typed: typed in name,
        )
        ranked = [name for fits in groups for name in names if fits(name)]
        expected = list(dict.fromkeys(ranked))
        assert index.find(typed, len(expected)) == expected
