"""What always holds between two events of the builders' state machine.

Checked after each event in tests, and in a master that runs with PIWHEELS_DEBUG.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from piwheels.model import Job
from piwheels.scheduler.builder_record import BuilderRecord, LostBuilder, OrphanedClaim, Session


def violations(
    sessions: Mapping[str, Session],
    lost: Mapping[str, LostBuilder],
    orphans: Mapping[str, OrphanedClaim],
    records: Mapping[str, BuilderRecord],
) -> Iterator[str]:
    """What does not hold, a line each."""
    for label in sessions.keys() & (lost.keys() | orphans.keys()):
        yield f"{label} is connected, and lost or awaited too"
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
