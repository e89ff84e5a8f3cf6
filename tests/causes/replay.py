"""Judges recorded logs and lists what differs: python -m tests.causes.replay [--forms] [PART OF A NAME]."""

import argparse
from collections.abc import Iterator
from dataclasses import replace

from piwheels.causes import (
    Cause,
    Evidence,
    IndexRecord,
    Limit,
    MissingKind,
    PackageLookup,
    classify,
)
from piwheels.debian_index import load_index
from tests.causes.log_variants import log_variants
from tests.causes.recordings import Facts, Recording, recordings
from tests.causes.spec import Expected


def main() -> None:
    """Print all differences."""
    parser = argparse.ArgumentParser(prog="python -m tests.causes.replay", description=__doc__)
    parser.add_argument("--forms", action="store_true", help="the other forms of each log, too")
    parser.add_argument("part", nargs="?", default="")
    options = parser.parse_args()
    chosen = [recording for recording in judged_recordings() if options.part in recording.name]
    packages = load_index("bookworm")
    differing = 0
    for recording in chosen:
        found = list(differences(recording, recording.log, packages))
        found += form_differences(recording, packages, long=True) if options.forms else ()
        differing += bool(found)
        for text in found:
            print(f"{recording.name}: {text}")
    print(f"{len(chosen) - differing} of {len(chosen)} are right")


def judged_recordings() -> Iterator[Recording]:
    """The recordings of builds that ran: the others are judged without a log."""
    for recording in recordings():
        if recording.facts.status is not None:
            yield recording


def evidence_of(facts: Facts) -> Evidence:
    """The facts as a classifier gets them."""
    return Evidence(
        exit_status=facts.status,
        limit=Limit(facts.limit) if facts.limit else None,
        index=_index_record(facts.proxy_error),
        wheels=None if facts.status else facts.wheels,
        peak_memory_bytes=facts.evidence.get("peak_memory_bytes") or None,
        memory_limit_bytes=facts.evidence.get("memory_limit_bytes"),
    )


def _index_record(error: str) -> IndexRecord:
    if "digest" in error or "does not match" in error or "sha256" in error:
        return IndexRecord(damaged=(error,))
    if "no longer on the index" in error:
        return IndexRecord(gone=(error,))
    return IndexRecord(faulty=(error,) if error else ())


def differences(recording: Recording, log: bytes, packages: PackageLookup) -> Iterator[str]:
    """What a classifier says otherwise than expected; nothing if it is right.

    Args:
        recording: the facts and the expectation.
        log: its log, or another form of it.
        packages: those of Debian 12.
    """
    expected, facts = recording.expected, recording.facts
    if expected is not None and facts.status is None:  # the builder knows without a log
        if facts.builder_class not in expected.failure_class.split("|"):
            yield f"class {facts.builder_class}, not {expected.failure_class}"
        return
    cause = classify(log.decode(errors="replace"), evidence_of(recording.facts), packages)
    if expected is None:
        if cause.failure_class is not None:
            yield f"was built, not {cause.failure_class}: {cause.line}"
        return
    if recording.facts.status == 0 and cause.failure_class is None:
        return  # the wheel is at fault, which its inspection tells
    if recording.facts.limit:  # it can end a build before the line is printed
        expected = replace(expected, lines=())
    yield from _cause_differences(cause, expected)
    yield from _missing_differences(cause, expected)
    yield from _package_differences(set(cause.packages), expected)


def form_differences(recording: Recording, packages: PackageLookup, *, long: bool) -> list[str]:
    """The same for the log as other tools and terminals would have printed it."""
    if recording.expected is None:
        return []
    return [
        f"{form}: {text}"
        for form, log in log_variants(recording.log, recording.expected, long=long)
        for text in differences(recording, log, packages)
    ]


def _cause_differences(cause: Cause, expected: Expected) -> Iterator[str]:
    if cause.failure_class not in expected.failure_class.split("|"):
        yield f"class {cause.failure_class}, not {expected.failure_class}: {cause.line}"
    if expected.lines and not any(text in cause.line for text in expected.lines):
        yield f"line {cause.line!r}, not {expected.lines[0]!r}"


def _missing_differences(cause: Cause, expected: Expected) -> Iterator[str]:
    missing = {f"{item.kind}:{_base_name(item.kind, item.name)}" for item in cause.missing}
    for wanted in expected.missing:
        if not missing.intersection(wanted.split("|")):
            yield f"missing {sorted(missing)}, not {wanted}"


def _base_name(kind: MissingKind, name: str) -> str:
    """The name of a missing file below the sdist's folder, which pip unpacks to a new one."""
    return (
        name.partition("/pip-req-build-")[2].partition("/")[2] or name if kind == "file" else name
    )


def _package_differences(named: set[str], expected: Expected) -> Iterator[str]:
    groups = [set(group.split("|")) for group in expected.packages]
    for group in groups:
        if not group & named:
            yield f"packages {sorted(named)}, not {sorted(group)}"
    if unneeded := named.difference(expected.also, *groups):
        yield f"packages {sorted(unneeded)} are not needed"


if __name__ == "__main__":
    main()
