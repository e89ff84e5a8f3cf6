"""The recorded logs and the facts beside them: where they are, and how they are read."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.causes.situations import SITUATIONS
from tests.causes.spec import Expected, Situation

FOLDER = Path(__file__).parent / "recorded"


class Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a builder knows about a build besides its log.

    `status` is None if nothing ran in the sandbox: then no log is judged. `reason` and
    `builder_class` are what the builder said when the log was recorded. `proxy_answers` are HTTP
    status codes by project and file name.
    """

    status: int | None = None
    limit: str = ""
    phase: str = ""
    outcome: str
    builder_class: str = ""
    reason: str = ""
    duration_s: float = 0.0
    proxy_answers: dict[str, int] = {}
    proxy_error: str = ""
    wheels: tuple[str, ...] = ()  # the file names of what was built
    disk_free_bytes: tuple[int, int] | None = None  # before and after, of a disk made small
    evidence: dict[str, Any] = {}  # fields of FailureEvidence


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One build's log, as it was printed, and its facts."""

    log: bytes
    facts: Facts


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded build with what is expected of a classifier; None: it was built."""

    name: str  # "04-system-header/subfolder-3.13"
    log: bytes
    facts: Facts
    expected: Expected | None


def save(situation: Situation, variant: str, python: str, recorded: Recorded) -> None:
    """Write a recording."""
    folder = FOLDER / situation.folder
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{variant}-{python}"
    (folder / f"{name}.log.gz").write_bytes(gzip.compress(recorded.log, 9, mtime=0))
    facts = {**read_facts(situation), name: recorded.facts}
    text = msgspec.json.format(msgspec.json.encode(dict(sorted(facts.items()))), indent=1)
    _facts_path(situation).write_bytes(text + b"\n")


def read_facts(situation: Situation) -> dict[str, Facts]:
    """The facts of a situation's recordings, by "variant-python"."""
    path = _facts_path(situation)
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Facts]) if path.exists() else {}


def recordings() -> Iterator[Recording]:
    """All recordings."""
    for situation in SITUATIONS:
        facts = read_facts(situation)
        for variant in situation.variants:
            for python in variant.pythons:
                name = f"{variant.name}-{python}"
                path = FOLDER / situation.folder / f"{name}.log.gz"
                if name in facts:
                    yield Recording(
                        name=f"{situation.folder}/{name}",
                        log=gzip.decompress(path.read_bytes()),
                        facts=facts[name],
                        expected=variant.expectation(python),
                    )


def _facts_path(situation: Situation) -> Path:
    return FOLDER / situation.folder / "facts.json"
