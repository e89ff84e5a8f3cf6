"""Whether a statement is about a wheel, and signed by a trusted key; and what it says, in words."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from piwheels.provenance import dsse
from piwheels.provenance.errors import NotVerifiedError, Problem
from piwheels.provenance.public_keys import PublicKey
from piwheels.provenance.statement import BUILD_TYPE, PREDICATE_TYPE, STATEMENT_TYPE, Subject
from piwheels.sanitize import truncate_line

_MAX_LISTED = 200
_MAX_DEPENDENCIES = 10_000


class _Digested(msgspec.Struct, frozen=True, kw_only=True):
    name: str = ""
    uri: str = ""
    digest: dict[str, str] = {}
    annotations: dict[str, Any] = {}


class _BuildDefinition(msgspec.Struct, frozen=True, kw_only=True):
    build_type: str = msgspec.field(name="buildType")
    external: dict[str, Any] = msgspec.field(name="externalParameters")
    internal: dict[str, Any] = msgspec.field(name="internalParameters", default_factory=dict)
    dependencies: Annotated[tuple[_Digested, ...], Meta(max_length=_MAX_DEPENDENCIES)] = (
        msgspec.field(name="resolvedDependencies", default=())
    )


class _Builder(msgspec.Struct, frozen=True, kw_only=True):
    id: str


class _Metadata(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    invocation_id: str = ""
    started_on: datetime | None = None
    finished_on: datetime | None = None


class _RunDetails(msgspec.Struct, frozen=True, kw_only=True):
    builder: _Builder
    metadata: _Metadata = _Metadata()


class _Predicate(msgspec.Struct, frozen=True, kw_only=True):
    build: _BuildDefinition = msgspec.field(name="buildDefinition")
    run: _RunDetails = msgspec.field(name="runDetails")


class _Statement(msgspec.Struct, frozen=True, kw_only=True):
    type: str = msgspec.field(name="_type")
    subject: Annotated[tuple[_Digested, ...], Meta(min_length=1, max_length=1)]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: _Predicate


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """A wheel whose statement is signed by a trusted key."""

    subject: Subject
    key: PublicKey
    payload: bytes  # the statement in JSON

    def describe(self) -> Iterator[tuple[str, str]]:
        """Who built it, when and from what: labels with their texts, safe to print."""
        predicate = msgspec.json.decode(self.payload, type=_Statement).predicate
        return ((label, truncate_line(text, 2000)) for label, text in _described(predicate) if text)


def verify(data: bytes, keys: Mapping[str, PublicKey], wheel: Subject) -> Verified:
    """Check an envelope, which is hostile input, against trusted keys and a wheel.

    Args:
        data: the envelope in JSON.
        keys: the trusted keys, by id.
        wheel: the name and the hash of the wheel.

    Raises:
        NotVerifiedError: it does not prove how this wheel was built; the message says why.
    """
    payload, keyid = dsse.unseal(data, {name: key.raw for name, key in keys.items()})
    _require_not_revoked(keys[keyid])
    statement = _parse(payload)
    (named,) = statement.subject
    stated = named.digest.get("sha256", "")
    if stated != wheel.sha256:
        raise NotVerifiedError(
            Problem.OTHER_BYTES,
            f"{wheel.name} has other bytes than those that were published: its sha256 is "
            f"{wheel.sha256}, and the statement is about {truncate_line(stated, 80)}",
        )
    if named.name != wheel.name:
        raise NotVerifiedError(
            Problem.OTHER_NAME,
            f"the statement is about a file named {truncate_line(named.name)}, not {wheel.name}",
        )
    key = keys[keyid]
    finished = statement.predicate.run.metadata.finished_on
    if key.valid_until is not None and finished is not None and finished > key.valid_until:
        raise NotVerifiedError(
            Problem.BAD_SIGNATURE,
            f"the key {keyid} was replaced at {key.valid_until:%Y-%m-%d %H:%M:%S}, before the "
            f"build ended ({finished:%Y-%m-%d %H:%M:%S})",
        )
    return Verified(subject=wheel, key=key, payload=payload)


def _require_not_revoked(key: PublicKey) -> None:
    """Refuse what whoever stole a key may have signed."""
    if key.revoked_at is not None:
        reason = f" ({truncate_line(key.revoked_reason, 200)})" if key.revoked_reason else ""
        raise NotVerifiedError(
            Problem.REVOKED_KEY,
            f"the key {key.keyid} was revoked at {key.revoked_at:%Y-%m-%d %H:%M:%S}{reason}, and "
            "the statement was not signed again",
        )


def is_readable(payload: bytes) -> bool:
    """Whether a statement in JSON is within the limits of `verify`."""
    if dsse.sealed_size(payload) > dsse.MAX_ENVELOPE_BYTES:
        return False
    try:
        _parse(payload)
    except NotVerifiedError:
        return False
    return True


def _parse(payload: bytes) -> _Statement:
    try:
        statement = msgspec.json.decode(payload, type=_Statement)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotVerifiedError(
            Problem.MALFORMED,
            f"the statement is malformed: {truncate_line(str(error))}",
        ) from None
    if (statement.type, statement.predicate_type) != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise NotVerifiedError(
            Problem.MALFORMED, f"the statement is no SLSA provenance ({PREDICATE_TYPE})"
        )
    metadata = statement.predicate.run.metadata
    for time in (metadata.started_on, metadata.finished_on):
        if time is not None and time.tzinfo is None:
            raise NotVerifiedError(
                Problem.MALFORMED, "the statement is malformed: a time has no time zone"
            )
    if statement.predicate.build.build_type != BUILD_TYPE:
        raise NotVerifiedError(
            Problem.MALFORMED,
            f"the statement is about no build of a farm ({BUILD_TYPE}): update piwheels",
        )
    return statement


def _described(predicate: _Predicate) -> Iterator[tuple[str, str]]:
    build, run = predicate.build, predicate.run
    what = " ".join(str(build.external.get(name, "")) for name in ("project", "version")).strip()
    target = build.external.get("target")
    yield "built", f"{what}{f' for {target}' if target else ''}"
    number = run.metadata.invocation_id
    yield "by", f"{run.builder.id}{f', build {number}' if number else ''}"
    yield "when", _times(run.metadata)
    for item in build.dependencies:
        if item.annotations.get("kind") == "source":
            yield "from", f"{item.uri or item.name} {_digest(item)}"
    yield "on", _system(build)
    for fact in _texts(build.external.get("recipe")):
        yield "recipe", str(fact)
    files = [item for item in build.dependencies if item.annotations.get("kind") == "requirement"]
    for item in files[:_MAX_LISTED]:
        yield "with", f"{item.name} {_digest(item)}"
    if len(files) > _MAX_LISTED:
        yield "with", f"{len(files) - _MAX_LISTED} more"


def _texts(value: Any) -> list[str]:
    """The texts of a list; [] for anything else."""
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _times(metadata: _Metadata) -> str:
    times = (metadata.started_on, metadata.finished_on)
    return " to ".join(f"{time:%Y-%m-%d %H:%M:%S %Z}" for time in times if time)


def _digest(item: _Digested) -> str:
    return " ".join(f"{algorithm} {value}" for algorithm, value in sorted(item.digest.items()))


def _system(build: _BuildDefinition) -> str:
    """The interpreter, the root and the packages that were added to it."""
    interpreter = build.internal.get("interpreter")
    known = interpreter if isinstance(interpreter, dict) else {}
    parts = [f"Python {known['version']}" if "version" in known else ""]
    for item in build.dependencies:
        kind = item.annotations.get("kind")
        if kind == "root":
            parts.append(f"root {item.name} {_digest(item)}")
        elif kind == "layer":
            packages = _texts(item.annotations.get("packages"))
            parts.append(f"with {' '.join(packages)}" if packages else "")
    return ", ".join(filter(None, parts))
