"""What a statement says: an in-toto Statement v1 with a SLSA provenance v1 predicate.

What is not known is absent. docs/provenance.md describes the fields, and is the specification
that BUILD_TYPE names.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec

from piwheels.model import Sdist, Struct

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
#: A build by a farm; docs/provenance.md is its description.
BUILD_TYPE = "urn:piwheels:build:v1"

_FILE = re.compile(r"([0-9a-f]{64}) (\S+)")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_EMULATED = "emulated"


class BuildFacts(Struct, frozen=True, kw_only=True):
    """What the farm knows of a build whose wheel it publishes."""

    build_id: int
    project: str
    version: str
    target: str
    builder: str  # its label
    sdist: Sdist | None  # None: which one it was is not known
    started_at: datetime
    finished_at: datetime
    build_inputs: tuple[str, ...] = ()  # as in BuildFinished
    added_packages: tuple[str, ...] = ()
    inputs_are_complete: bool = True  # False: the list of inputs was cut
    is_from_record: bool = False  # taken from the database, after the wheel was published


class Subject(Struct, frozen=True, kw_only=True):
    """The wheel that a statement is about."""

    name: str
    sha256: str


def encode_statement(subject: Subject, facts: BuildFacts, *, farm_url: str, version: str) -> bytes:
    """The statement in JSON.

    Args:
        subject: the published wheel.
        facts: its build.
        farm_url: the address of the farm's web root, with a slash at its end.
        version: of the master.
    """
    return msgspec.json.encode(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": subject.name, "digest": {"sha256": subject.sha256}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "buildDefinition": _build_definition(facts),
                "runDetails": {
                    "builder": {
                        "id": f"{farm_url}#builder={quote(facts.builder, safe='')}",
                        "version": {"piwheels": version},
                    },
                    "metadata": {
                        "invocationId": str(facts.build_id),
                        "startedOn": facts.started_at,
                        "finishedOn": facts.finished_at,
                    },
                },
            },
        }
    )


def _build_definition(facts: BuildFacts) -> dict[str, Any]:
    inputs = facts.build_inputs
    recipe = [text for text in inputs if text.startswith("recipe")]
    external = {
        "project": facts.project,
        "version": facts.version,
        "target": facts.target,
        "recipe": [text.removeprefix("recipe: ") for text in recipe],
    }
    internal = {
        "interpreter": _interpreter(inputs),
        "pip": next((text for text in inputs if text.startswith("installed pip")), None),
        "addedPackages": facts.added_packages,
        "path": _after(inputs, "path "),
        "environment": _after(inputs, "env "),
        "tries": [text for text in inputs if text.startswith("try ")],
        "inputsAreComplete": None if facts.inputs_are_complete else False,
        "isFromRecord": facts.is_from_record or None,
    }
    return {
        "buildType": BUILD_TYPE,
        "externalParameters": _known(external),
        "internalParameters": _known(internal),
        "resolvedDependencies": list(_dependencies(facts)),
    }


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that have a value."""
    return {key: value for key, value in fields.items() if value is False or value}


def _after(inputs: Iterable[str], prefix: str) -> list[str]:
    """The texts that begin with a prefix, without it."""
    return [text.removeprefix(prefix) for text in inputs if text.startswith(prefix)]


def _interpreter(inputs: Iterable[str]) -> dict[str, str]:
    for text in _after(inputs, "python "):
        version, _, abi = text.partition(" ")
        return _known({"version": version, "abi": abi})
    return {}


def _dependencies(facts: BuildFacts) -> Iterator[dict[str, Any]]:
    """Resource descriptors: the source, the root and its layer, then the files of the indexes."""
    inputs = facts.build_inputs
    if facts.sdist is not None:
        yield _source(facts.sdist, inputs)
    for text in _after(inputs, "root "):
        yield from _root(text)
    for key in _after(inputs, "layer ")[:1]:  # a build has one at most
        if _SHA256.fullmatch(key):
            yield _known(
                {
                    "name": "layer",
                    "digest": {"sha256": key},
                    "annotations": {"kind": "layer", "packages": _after(inputs, "deb ")},
                }
            )
    for text in inputs:
        if found := _FILE.fullmatch(text):
            digest = {"sha256": found[1]}
            yield {"name": found[2], "digest": digest, "annotations": {"kind": "requirement"}}


def _source(sdist: Sdist, inputs: Iterable[str]) -> dict[str, Any]:
    """The sdist: its hash is the index's, and where that has no SHA-256, the builder's."""
    measured = [found[1] for text in _after(inputs, "source ") if (found := _FILE.fullmatch(text))]
    algorithm, _, value = sdist.digest.partition("=")
    digest = {algorithm: value} if algorithm and value else {}
    if sha256 := sdist.sha256 or next(iter(measured), ""):
        digest["sha256"] = sha256
    return _known(
        {
            "name": sdist.filename,
            "uri": public_url(sdist.url),
            "digest": digest,
            "annotations": {"kind": "source"},
        }
    )


def _root(text: str) -> Iterator[dict[str, Any]]:
    """A root by the hash of its list of packages."""
    name, key, rest = (*text.split(" ", 2), "", "")[:3]
    if not _SHA256.fullmatch(key):
        return
    archives = rest.removeprefix(_EMULATED).strip()
    annotations = {
        "kind": "root",
        "emulated": rest.startswith(_EMULATED),
        "archives": archives.split("; ") if archives else [],
    }
    yield {"name": name, "digest": {"sha256": key}, "annotations": annotations}


def public_url(url: str) -> str:
    """A URL without what can hold a password: user, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
