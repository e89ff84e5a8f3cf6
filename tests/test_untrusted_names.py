"""Names, versions and tags from outside: parsed in bounded time, or refused by one error."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piwheels import untrusted_names
from piwheels.errors import RejectedError
from piwheels.wheel.tags import PackagingRules, compatibility_of, make_target

PARSERS: tuple[Callable[[str], object], ...] = (
    untrusted_names.normalize_project,
    untrusted_names.parse_version,
    untrusted_names.parse_tags,
    untrusted_names.parse_wheel_filename,
    untrusted_names.parse_specifier,
    untrusted_names.parse_requirement,
)
DIGITS = "9" * 5000
MANY_TAGS = ".".join(f"a{number}" for number in range(220))
HOSTILE_INPUTS = (
    "",
    DIGITS,
    f"demo-{DIGITS}-py3-none-any.whl",
    f"demo-1.0-{DIGITS}-py3-none-any.whl",
    f"demo-1.0-{MANY_TAGS}-{MANY_TAGS}-{MANY_TAGS}.whl",
    f"demo-1.0-{'.' * 75}-{'.' * 75}-{'.' * 75}.whl",
    f"{MANY_TAGS}-{MANY_TAGS}-{MANY_TAGS}",
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


def rejection(parse: Callable[[str], object], text: str) -> str:
    try:
        parse(text)
    except RejectedError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
@pytest.mark.parametrize("text", HOSTILE_INPUTS, ids=range(len(HOSTILE_INPUTS)))
def test_any_text_is_parsed_or_rejected(parse: Callable[[str], object], text: str) -> None:
    message = rejection(parse, text)
    assert len(message) < 500
    assert "\n" not in message


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
@given(text=st.text(max_size=300) | st.text("demo-1.0py3nay whl.;=<>()[]'_!+*~", max_size=100))
def test_parsers_raise_nothing_but_a_rejection(parse: Callable[[str], object], text: str) -> None:
    assert len(rejection(parse, text)) < 1000


def test_the_parts_of_a_wheel_name() -> None:
    name = untrusted_names.parse_wheel_filename("De_mo.x-1.0.post1-2b-py2.py3-none-any.whl")
    assert (name.project, str(name.version), name.build_tag) == ("de-mo-x", "1.0.post1", "2b")
    assert name.tag_text == "py2.py3-none-any"
    assert sorted(map(str, name.tags)) == ["py2-none-any", "py3-none-any"]


@pytest.mark.parametrize("mark", ["#", "?", "%41", "&", '"', " ", "é", "\u202e", "\n", "/"])
@pytest.mark.parametrize("name", ["de{}mo-1.0-py3-none-any", "demo-1.0-1{}-py3-none-any",
                                  "demo-1.0-py3-none-any.a{}"])  # fmt: skip
def test_a_wheel_name_has_no_characters_with_a_meaning_in_links(name: str, mark: str) -> None:
    with pytest.raises(RejectedError, match="is not the file name of a wheel"):
        untrusted_names.parse_wheel_filename(f"{name.format(mark)}.whl")


def test_a_wheel_name_may_have_a_local_version_and_an_epoch() -> None:
    name = untrusted_names.parse_wheel_filename("demo-1!2.0+abc.1-py3-none-any.whl")
    assert str(name.version) == "1!2.0+abc.1"


def test_real_names_of_the_index_are_within_the_limits() -> None:
    assert (
        str(untrusted_names.parse_version("0.0.0.dev20221010101010123456"))
        == "0.0.0.dev20221010101010123456"
    )
    many = ".".join(f"manylinux_2_{minor}_x86_64" for minor in range(5, 12))
    assert len(untrusted_names.parse_wheel_filename(f"demo-1.0-cp39-abi3-{many}.whl").tags) == 7
    assert compatibility_of("demo-1.0-py2.py3-none-any.whl").tags == "py2.py3-none-any"


@pytest.mark.parametrize("python_full", [DIGITS, f"3.{DIGITS}", "3.99999999", "10.1", "3.x"])
def test_no_interpreter_version_exceeds_the_limit_of_tags(
    python_full: str,
) -> None:
    facts = {"implementation": "cp", "abi": "cp313", "arch": "aarch64", "os": "trixie"}
    with pytest.raises(RejectedError):
        make_target(python_full=python_full, glibc="2.41", **facts)


def test_an_endless_requires_python_is_treated_as_an_invalid_one() -> None:
    rules = PackagingRules()
    facts = {"implementation": "cp", "abi": "cp313", "arch": "aarch64", "os": "trixie"}
    python = make_target(python_full="3.13.0", glibc="2.41", **facts)
    assert rules.allows_python(",".join(f"!=3.{number}" for number in range(20_000)), python)
    assert rules.allows_python(f">={DIGITS}", python)
    assert not rules.allows_python("<3.13", python)
