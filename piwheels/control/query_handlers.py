"""What operators ask about single projects: why, and how far."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from piwheels.db import catalog, page_queue, status_queries
from piwheels.db.database import Database
from piwheels.errors import RejectedError
from piwheels.model import ProjectStatusRow, TargetStatusRow, match_targets
from piwheels.protocol.messages import (
    Explain,
    ExplainReply,
    ReleaseReport,
    ReleaseReportReply,
    ReleaseReportRow,
)
from piwheels.release_status import (
    ReleaseStatus,
    State,
    StatusContext,
    is_idle_until_soon,
    release_statuses,
    removed_release_status,
)
from piwheels.scheduler.dispatcher import Dispatcher
from piwheels.scheduler.explain import explanations


@dataclass(slots=True)
class QueryHandlers:
    """Answers them from the database."""

    db: Database
    dispatcher: Dispatcher

    async def explain(self, question: Explain) -> ExplainReply:
        """Why a wheel is there or not, and what happens next."""
        versions = [question.version] if question.version else None
        target = await self.resolve_target(question.target) if question.target else None
        targets = [target] if target else None
        facts = await self.db.retrying(
            lambda: status_queries.project_status(self.db, question.project, versions, targets)
        )
        return ExplainReply(
            answers=explanations(
                question.project,
                facts,
                asked_version=question.version,
                asked_target=target,
                served=self.dispatcher.targets.served,
                equipped=self.dispatcher.targets.with_compiler,
                paused=self.dispatcher.paused,
                now=datetime.now(UTC),
            ),
            targets=await self.targets(),
        )

    async def targets(self) -> tuple[str, ...]:
        """The names of all targets that the farm builds for."""
        return await self._target_names(skipped=False)

    async def resolve_target(self, word: str) -> str:
        """The target that somebody means: by its name, or by its ABI tag where that is clear.

        A word that fits none is given back as it is.

        Raises:
            RefusedError: it fits several.
        """
        meant = match_targets(word, await self._target_names(skipped=False))
        meant = meant or match_targets(word, await self._target_names(skipped=True))
        if len(meant) > 1:
            raise RejectedError(f"{word} can be {' or '.join(meant)}; name one")
        return meant[0] if meant else word

    async def _target_names(self, *, skipped: bool) -> tuple[str, ...]:
        found = await self.db.retrying(lambda: catalog.targets(self.db, include_skipped=skipped))
        return tuple(target.name for target in found)

    async def release_report(self, question: ReleaseReport) -> ReleaseReportReply:
        """How far releases are, for each of some targets."""
        asked: dict[str, list[str]] = {}
        for project, version in question.releases:
            asked.setdefault(project, []).append(version)
        rows: list[ReleaseReportRow] = []
        for project, versions in asked.items():
            facts = await self.db.retrying(
                lambda: status_queries.project_status(
                    self.db,
                    project,  # noqa: B023
                    versions,  # noqa: B023
                    question.targets,
                    max_jobs_ahead=0,  # nobody is told its place here, and counting would take long
                )
            )
            rows += _report_rows(project, versions, facts, self._status_context())
        # What clients install from is the index; the site's pages may rest between writings.
        stale = await self.db.retrying(
            lambda: page_queue.pending_page_count(self.db, page_queue.INDEX_PAGE_KINDS)
        )
        return ReleaseReportReply(rows=tuple(rows), stale_pages=stale)

    def _status_context(self) -> StatusContext:
        return StatusContext(
            served_targets=self.dispatcher.targets.served,
            targets_with_compiler=self.dispatcher.targets.with_compiler,
            paused=self.dispatcher.paused,
            now=datetime.now(UTC),
        )


def _report_rows(
    project: str,
    versions: Sequence[str],
    facts: ProjectStatusRow | None,
    circumstances: StatusContext,
) -> Iterator[ReleaseReportRow]:
    there = facts.releases if facts else ()
    if facts is not None:
        for release in there:
            found = release_statuses(facts, release, circumstances)
            for target in release.targets:
                if standing := found.for_target(target.target):
                    resting = is_idle_until_soon(standing.state, release, target, circumstances.now)
                    yield _report_row(standing, target, resting=resting)
    for version in sorted(set(versions) - {release.version for release in there}):
        yield _report_row(removed_release_status(project, version), None, resting=True)


def _report_row(
    standing: ReleaseStatus, target: TargetStatusRow | None, *, resting: bool
) -> ReleaseReportRow:
    return ReleaseReportRow(
        project=standing.project,
        version=standing.version,
        target=target.target if target else "-",
        resting=resting,
        covered=standing.state is State.COVERED,
        outcome=standing.label,
        duration_s=target.last_duration_s if target else None,
        detail=standing.detail or standing.text,
        build=target.last_build_id if target else None,
    )
