"""What a statement may say beside the record of its build, and what not."""

import json

import pytest
from msgspec.structs import replace

from piwheels.provenance.record_check import find_disagreement
from piwheels.provenance.statement import encode_statement
from tests.provenance.factories import FACTS, WHEEL


def problem_of(added: tuple[str, ...], farm_url: str = "https://wheels.example/") -> str:
    """What is wrong with a statement that names added packages, and nothing else otherwise."""
    facts = replace(FACTS, added_packages=added)
    payload = encode_statement(WHEEL, facts, farm_url=farm_url, version="1.0")
    recorded = replace(FACTS, added_packages=(), is_from_record=True)
    known = encode_statement(WHEEL, recorded, farm_url="https://wheels.example/", version="2.0")
    return find_disagreement(payload, known, recorded)


@pytest.mark.parametrize("added", ["libtiff-dev", "libtiff-dev=4.7.0-3"])
def test_added_packages_are_recorded_ones_with_their_versions(added: str) -> None:
    assert problem_of((added,)) == ""
    for other in ("libtiff-dev=9", f"{added} and more", f"deb {added}", ""):
        assert problem_of((added, other)).startswith("the record has no package")


def test_the_address_of_the_farm_may_be_another() -> None:
    assert problem_of((), "http://localhost:8080/") == ""
    assert "runDetails.builder.id" in problem_of((), "javascript:alert(1)/")


def test_a_value_of_another_type_is_not_what_is_recorded() -> None:
    """Python takes true for 1."""
    known = encode_statement(WHEEL, FACTS, farm_url="https://wheels.example/", version="1.0")
    document = json.loads(known)
    dependencies = document["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert dependencies[1]["annotations"]["emulated"] is True
    dependencies[1]["annotations"]["emulated"] = 1
    payload = json.dumps(document, separators=(",", ":")).encode()
    assert "resolvedDependencies" in find_disagreement(payload, known, FACTS)
    assert find_disagreement(known, known, FACTS) == ""
