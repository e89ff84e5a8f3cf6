"""What always holds between two events of the builders' state machine.

Checked after each event in tests, and in a master that runs with PIWHEELS_DEBUG.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from piwheels.model import Job
from piwheels.scheduler.builder_record import BuilderRecord, LostBuilder, OrphanedClaim, Session
from piwheels.scheduler.ended_builders import EndedBuilder


def violations(
    sessions: Mapping[str, Session],
    lost: Mapping[str, LostBuilder],
    ended: Mapping[str, EndedBuilder],
    orphans: Mapping[str, OrphanedClaim],
    records: Mapping[str, BuilderRecord],
) -> Iterator[str]:
    """What does not hold, a line each."""
    for label in sessions.keys() & (lost.keys() | ended.keys() | orphans.keys()):
        yield f"{label} is connected, and lost, ended or awaited too"
    for label in lost.keys() & ended.keys():
        yield f"{label} is lost and ended"
    for label, session in sessions.items():
        if session.label != label or records.get(label) is not session.record:
            yield f"{label} has the session or the record of another builder"
        yield from _session_violations(session)
    yield from _shared_builds(sessions, orphans)


def _session_violations(session: Session) -> Iterator[str]:
    if session.job is not None and session.claiming:
        yield f"{session.label} has a job and waits for another"
    if session.job is not None and session.finishing:
        yield f"{session.label} has a job and cleans up after one"
    if session.job is None and session.completing:
        yield f"{session.label} completes a build without a job"


def _shared_builds(
    sessions: Mapping[str, Session], orphans: Mapping[str, OrphanedClaim]
) -> Iterator[str]:
    jobs: Iterable[Job | None] = (
        *(session.job for session in sessions.values()),
        *(orphan.job for orphan in orphans.values()),
    )
    counts = Counter(job.build_id for job in jobs if job is not None)
    for build, count in counts.items():
        if count > 1:
            yield f"build {build} is with {count} builders"
