"""Judges the stored logs of failed builds again, when the rules have improved.

One log at a time is in memory. What was judged is stored at once, so that it can be interrupted
and begun again.
"""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from piwheels import retry_policy
from piwheels.causes import Cause, Evidence, IndexRecord, classify
from piwheels.db.database import Database
from piwheels.db.judged_builds import JudgedBuild, failed_builds, store_judgment
from piwheels.debian_index import DebianIndex, load_index
from piwheels.errors import ConfigError
from piwheels.model import FailureClass, RetryDecision
from piwheels.webroot import Webroot

_MAX_LOG_BYTES = 32 << 20
_MAX_NAMES, _MAX_NAME_CHARS, _MAX_REASON_CHARS = 20, 200, 500
#: Classes that were final in former versions, and are not.
_NEVER_FINAL = frozenset({FailureClass.BUILD_REQUIREMENT, FailureClass.INDEX_FAULT})


@dataclass(frozen=True, slots=True)
class Judgment:
    """A build before and after, and whether it is queued again; `after` is None without a log."""

    before: JudgedBuild
    after: JudgedBuild | None
    requeue: RetryDecision | None = None

    @property
    def changed(self) -> bool:
        """Whether something is stored."""
        return self.after is not None and (self.after != self.before or self.requeue is not None)


async def reclassify(
    db: Database, webroot: Webroot, projects: Sequence[str], *, dry_run: bool
) -> AsyncIterator[Judgment]:
    """Judge the failed builds of some projects, or of all if none are named.

    With `dry_run` nothing is stored.
    """
    async for build in failed_builds(db, projects):
        judgment = await asyncio.to_thread(_judge, build, webroot)
        if judgment.after is not None and judgment.changed and not dry_run:
            await store_judgment(db, judgment.after, judgment.requeue)
        yield judgment


def _judge(build: JudgedBuild, webroot: Webroot) -> Judgment:
    try:
        with gzip.open(webroot.log_path(build.build_id)) as file:
            log = file.read(_MAX_LOG_BYTES).decode(errors="replace")
    except (OSError, EOFError, zlib.error):
        return Judgment(build, None)
    # The build got what it asked of the index: otherwise its outcome would be another.
    facts = Evidence(exit_status=1, index=IndexRecord())
    cause = classify(log, facts, _packages(build.debian_release))
    if cause.failure_class is None or cause.failure_class is FailureClass.UNKNOWN:
        return Judgment(build, build)
    after = _with_cause(build, cause, cause.failure_class)
    return Judgment(build, after, _requeue_decision(build, after))


def _with_cause(build: JudgedBuild, cause: Cause, failure_class: FailureClass) -> JudgedBuild:
    evidence = replace(
        build.evidence,
        missing=tuple(str(each)[:_MAX_NAME_CHARS] for each in cause.missing[:_MAX_NAMES]),
        packages=tuple(name[:_MAX_NAME_CHARS] for name in cause.packages[:_MAX_NAMES]),
        line_number=cause.line_number,
    )
    reason = cause.line[:_MAX_REASON_CHARS] or build.reason
    return replace(build, failure_class=failure_class, evidence=evidence, reason=reason)


def _requeue_decision(before: JudgedBuild, after: JudgedBuild) -> RetryDecision | None:
    """What happens to the job if its failure is final no longer; None if nothing changes."""
    same = (before.failure_class, before.evidence.packages) == (
        after.failure_class, after.evidence.packages,
    )  # fmt: skip
    if before.will_retry or not before.is_last:
        return None
    if same and after.failure_class not in _NEVER_FINAL:
        return None
    failure = retry_policy.Failure(
        failure_class=after.failure_class,
        builder="",
        evidence=after.evidence,
        attempt=1,
        earlier=(),
        other_builders=True,
        largest_memory_bytes=0,
    )
    decision = retry_policy.decide(failure, retry_policy.RetryOptions())
    return None if decision.is_final else decision


def _packages(release: str) -> DebianIndex | None:
    try:
        return load_index(release)
    except ConfigError:
        return None
