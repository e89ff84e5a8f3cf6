"""Names, versions and tags from outside: parsed in bounded time, or refused by one error."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piwheels import names
from piwheels.errors import RefusedError
from piwheels.wheel.tags import PackagingRules, kind_of, target

PARSERS: tuple[Callable[[str], object], ...] = (
    names.project,
    names.version,
    names.tags,
    names.wheel,
    names.specifier,
    names.requirement,
)
DIGITS = "9" * 5000
MANY = ".".join(f"a{number}" for number in range(220))
HOSTILE = (
    "",
    DIGITS,
    f"demo-{DIGITS}-py3-none-any.whl",
    f"demo-1.0-{DIGITS}-py3-none-any.whl",
    f"demo-1.0-{MANY}-{MANY}-{MANY}.whl",
    f"demo-1.0-{'.' * 75}-{'.' * 75}-{'.' * 75}.whl",
    f"{MANY}-{MANY}-{MANY}",
    f"{'a' * 300}-1.0-py3-none-any.whl",
    "demo-1.0-py3-none-any.whl\0",
    "demo-1.0-py3-none-a/y.whl",
    "demo-1.0-py3-none-\u202e.whl",
    "a-b-c-d-e-f-g.whl",
    "demo==" + DIGITS,
    "demo; " + "(" * 1900 + "os_name == 'x'" + ")" * 1900,
    "demo; " + "(" * 900 + "os_name == 'x'" + ")" * 900,
    ",".join(f"!=1.{number}" for number in range(5000)),
    "demo-" * 20_000,
    "\ud800",
)


def refusal(parse: Callable[[str], object], text: str) -> str:
    try:
        parse(text)
    except RefusedError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_whatever_the_text_nothing_but_a_refusal_is_raised_and_soon(
    parse: Callable[[str], object], text: str
) -> None:
    began = time.process_time()
    said = refusal(parse, text)
    assert len(said) < 500
    assert "\n" not in said
    assert time.process_time() - began < 1


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
@given(text=st.text(max_size=300) | st.text("demo-1.0py3nay whl.;=<>()[]'_!+*~", max_size=100))
def test_no_text_at_all_raises_anything_else(parse: Callable[[str], object], text: str) -> None:
    assert len(refusal(parse, text)) < 1000


def test_the_parts_of_a_wheels_name() -> None:
    name = names.wheel("De_mo.x-1.0.post1-2b-py2.py3-none-any.whl")
    assert (name.project, str(name.version), name.build) == ("de-mo-x", "1.0.post1", "2b")
    assert name.tag_text == "py2.py3-none-any"
    assert sorted(map(str, name.tags)) == ["py2-none-any", "py3-none-any"]


def test_names_that_the_index_really_has_are_within_the_limits() -> None:
    assert str(names.version("0.0.0.dev20221010101010123456")) == "0.0.0.dev20221010101010123456"
    many = ".".join(f"manylinux_2_{minor}_x86_64" for minor in range(5, 12))
    assert len(names.wheel(f"demo-1.0-cp39-abi3-{many}.whl").tags) == 7
    assert kind_of("demo-1.0-py2.py3-none-any.whl").tags == "py2.py3-none-any"


@pytest.mark.parametrize("python_full", [DIGITS, f"3.{DIGITS}", "3.99999999", "10.1", "3.x"])
def test_no_interpreter_has_a_version_that_its_tags_could_not_be_counted_of(
    python_full: str,
) -> None:
    facts = {"implementation": "cp", "abi": "cp313", "arch": "aarch64", "os": "trixie"}
    with pytest.raises(RefusedError):
        target(python_full=python_full, glibc="2.41", **facts)


def test_a_requires_python_without_end_allows_as_an_invalid_one_does() -> None:
    rules = PackagingRules()
    facts = {"implementation": "cp", "abi": "cp313", "arch": "aarch64", "os": "trixie"}
    python = target(python_full="3.13.0", glibc="2.41", **facts)
    assert rules.allows(",".join(f"!=3.{number}" for number in range(20_000)), python)
    assert rules.allows(f">={DIGITS}", python)
    assert not rules.allows("<3.13", python)
