"""Whether a statement says what is recorded of its build, before it is signed once more.

A statement that a revoked key signed proves nothing: whoever had that key could have written
another one in its place.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from piwheels.provenance.statement import BuildFacts
from piwheels.sanitize import truncate_line

#: The record has when a build was stored; a builder may have waited with its wheel until then.
_TIME_TOLERANCE = timedelta(days=1)
_MAX_TEXT = 120
_VERSION = re.compile(r"[0-9A-Za-z.+!_-]{1,64}")
#: The address of the farm, which may change, and the builder. The address is printable ASCII.
_BUILDER_ID = re.compile(r"https?://[!-\"$-~]{1,2000}(#builder=.*)")


def find_disagreement(payload: bytes, recorded: bytes, facts: BuildFacts) -> str:
    """What a statement says otherwise than the record of its build, in words; "" if nothing.

    Everything in it is compared, except what no record has: the version of the master, the address
    of the farm at that time (`webroot.url` may have changed since), whether the statement was taken
    from the record, and which of the layer's packages were added for this build. Of these only the
    form is checked.

    Args:
        payload: the statement in JSON, within the limits of `verify`.
        recorded: a statement that was made from the record.
        facts: that record.
    """
    try:
        return _disagreement(payload, recorded, facts)
    except RecursionError:
        return "its fields are nested too deeply to be compared"


def _disagreement(payload: bytes, recorded: bytes, facts: BuildFacts) -> str:
    said, known = msgspec.json.decode(payload), msgspec.json.decode(recorded)
    if msgspec.json.encode(said) != payload:
        return "it is written in another way, as with a field that is there twice"
    if problem := _unrecorded_problem(said, facts):
        return problem
    for document in (said, known):
        _drop_unrecorded(document)
    ours, theirs = dict(_leaves(said)), dict(_leaves(known))
    for path in sorted(ours.keys() | theirs.keys()):
        if _encoded(ours, path) != _encoded(theirs, path):
            name, what = ".".join(path), ours.get(path)
            if path in ours and what is None:
                return f"it has null as {truncate_line(name, _MAX_TEXT)}"
            return _difference(name, what, theirs.get(path))
    return ""


def _encoded(leaves: dict[tuple[str, ...], Any], path: tuple[str, ...]) -> bytes | None:
    """A leaf in JSON, where true differs from 1; None if it is absent, which null is not."""
    return msgspec.json.encode(leaves[path], order="deterministic") if path in leaves else None


def _unrecorded_problem(statement: Any, facts: BuildFacts) -> str:
    """What is wrong with what is not compared."""
    predicate = statement["predicate"]
    internal = predicate["buildDefinition"].get("internalParameters", {})
    if internal.get("isFromRecord", True) is not True:
        return "isFromRecord is neither true nor absent"
    recorded = {text.removeprefix("deb ") for text in facts.build_inputs if text.startswith("deb ")}
    packages = recorded | {text.partition("=")[0] for text in recorded}
    added = internal.get("addedPackages", [])
    if not isinstance(added, list) or not all(isinstance(name, str) for name in added):
        return "addedPackages is no list of names"
    if other := [name for name in added if name not in packages]:
        return f"the record has no package {_shown(other[0])}, which it says was added"
    version = predicate["runDetails"]["builder"].get("version")
    text = version.get("piwheels") if isinstance(version, dict) and len(version) == 1 else None
    if not isinstance(text, str) or not _VERSION.fullmatch(text):
        return "the version of the master is none"
    return _time_problem(predicate["runDetails"].get("metadata", {}), facts)


def _time_problem(metadata: Any, facts: BuildFacts) -> str:
    for name, at in (("startedOn", facts.started_at), ("finishedOn", facts.finished_at)):
        stated = msgspec.convert(metadata.get(name), type=datetime | None)
        if stated is None or abs(stated - at) > _TIME_TOLERANCE:
            return _difference(name, metadata.get(name), at)
    return ""


def _drop_unrecorded(statement: Any) -> None:
    """Remove what is not compared."""
    predicate = statement["predicate"]
    for name in ("isFromRecord", "addedPackages"):
        predicate["buildDefinition"].get("internalParameters", {}).pop(name, None)
    builder = predicate["runDetails"]["builder"]
    builder.pop("version", None)
    if isinstance(found := builder.get("id"), str) and (parts := _BUILDER_ID.fullmatch(found)):
        builder["id"] = parts[1]
    for name in ("startedOn", "finishedOn"):
        predicate["runDetails"].get("metadata", {}).pop(name, None)


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """What is in a document, by path: lists as a whole, and objects as empty ones."""
    if not isinstance(value, dict):
        yield path, value
        return
    yield path, {}
    for name, inner in value.items():
        yield from _leaves(inner, (*path, name))


def _difference(name: str, said: Any, known: Any) -> str:
    field = truncate_line(name, _MAX_TEXT)
    return f"it has {_shown(said)} as {field}, and the record {_shown(known)}"


def _shown(value: Any) -> str:
    return "nothing" if value is None else truncate_line(str(value), _MAX_TEXT)
