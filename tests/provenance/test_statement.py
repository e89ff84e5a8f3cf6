"""What statements say: by the schemas of in-toto and SLSA, and nothing that is not known."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from piwheels.model import Sdist
from piwheels.provenance.statement import (
    BuildFacts,
    encode_statement,
    public_url,
)
from tests.provenance.factories import FACTS, FILE_HASH, LAYER_KEY, ROOT_KEY, WHEEL

_SCHEMA = json.loads(Path(__file__).with_name("slsa.schema.json").read_text())


def statement(facts: BuildFacts = FACTS) -> Any:
    """The decoded statement, which follows the schema."""
    data = encode_statement(WHEEL, facts, farm_url="https://wheels.example/", version="1.0")
    document = json.loads(data)
    jsonschema.validate(document, _SCHEMA)
    return document


def test_a_statement_says_what_is_known_of_a_build() -> None:
    document = statement()
    assert document["subject"] == [{"name": WHEEL.name, "digest": {"sha256": WHEEL.sha256}}]
    build = document["predicate"]["buildDefinition"]
    assert build["externalParameters"] == {
        "project": "demo",
        "version": "1.0",
        "target": "cp313-trixie-aarch64",
        "recipe": ["recipe (written) of demo", "packages libtiff-dev"],
    }
    assert build["internalParameters"] == {
        "interpreter": {"version": "3.13.5", "abi": "cp313"},
        "pip": "installed pip-26.0",
        "addedPackages": ["libtiff-dev"],
        "path": ["/opt/tools"],
        "tries": ["try 1: index of today: unknown"],
    }
    run = document["predicate"]["runDetails"]
    assert run["builder"]["id"] == "https://wheels.example/#builder=pi1"
    assert run["metadata"] == {
        "invocationId": "7",
        "startedOn": "2026-11-30T12:00:01Z",
        "finishedOn": "2026-11-30T12:05:00Z",
    }


def test_dependencies_have_hashes_and_no_passwords() -> None:
    source, root, layer, requirement = statement()["predicate"]["buildDefinition"][
        "resolvedDependencies"
    ]
    assert source == {
        "name": "demo-1.0.tar.gz",
        "uri": "https://index.example/files/demo-1.0.tar.gz",
        "digest": {"sha256": "ab" * 32},
        "annotations": {"kind": "source"},
    }
    assert root == {
        "name": "trixie-arm64",
        "digest": {"sha256": ROOT_KEY},
        "annotations": {
            "kind": "root",
            "emulated": True,
            "archives": ["trixie Sat, 15 Nov", "trixie-security Sun"],
        },
    }
    assert layer["digest"] == {"sha256": LAYER_KEY}
    assert layer["annotations"]["packages"] == ["libtiff-dev=4.7.0-3"]
    assert requirement["name"] == "setuptools-84.2.1-py3-none-any.whl"
    assert requirement["digest"] == {"sha256": FILE_HASH}
    assert "secret" not in json.dumps(statement())


def test_what_is_not_known_is_absent() -> None:
    document = statement(replace(FACTS, sdist=None, build_inputs=(), added_packages=()))
    build = document["predicate"]["buildDefinition"]
    assert build["internalParameters"] == {}
    assert build["resolvedDependencies"] == []
    assert "recipe" not in build["externalParameters"]


def test_a_list_of_inputs_that_was_cut_says_so() -> None:
    document = statement(replace(FACTS, inputs_are_complete=False))
    internal = document["predicate"]["buildDefinition"]["internalParameters"]
    assert internal["inputsAreComplete"] is False


@pytest.mark.parametrize(
    ("sha256", "digest", "expected"),
    [
        ("", "", {"sha256": "ab" * 32}),
        ("", "md5=0123", {"md5": "0123", "sha256": "ab" * 32}),
        ("cd" * 32, "", {"sha256": "cd" * 32}),
    ],
)
def test_the_hash_of_the_source_is_the_indexs_or_else_the_builders(
    sha256: str, digest: str, expected: dict[str, str]
) -> None:
    sdist = Sdist(filename="demo-1.0.tar.gz", url="https://i/x", sha256=sha256, digest=digest)
    build = statement(replace(FACTS, sdist=sdist))["predicate"]["buildDefinition"]
    assert build["resolvedDependencies"][0]["digest"] == expected


@given(st.lists(st.text(max_size=100), max_size=20), st.text(max_size=20))
def test_whatever_a_builder_reports_the_statement_follows_the_schema(
    inputs: list[str], label: str
) -> None:
    prefixes = ("root ", "layer ", "python ", "source ", "recipe: ", "path ", "try ", "")
    lines = tuple(prefix + text for text in inputs for prefix in prefixes)
    statement(replace(FACTS, build_inputs=lines, builder=label))


def test_a_public_url_keeps_host_port_and_path() -> None:
    assert public_url("http://u:p@h.example:81/a/b?c#d") == "http://h.example:81/a/b"
