"""What operators ask about single projects: why, and how far."""

from dataclasses import dataclass
from datetime import UTC, datetime

from piwheels.db import pages, views
from piwheels.db.database import Database
from piwheels.farm.dispatch import Dispatch
from piwheels.farm.explain import explanations
from piwheels.model import ReleaseFacts, TargetFacts
from piwheels.protocol.messages import (
    Explain,
    ExplainReply,
    Report,
    ReportReply,
    ReportRow,
)


@dataclass(slots=True)
class Questions:
    """Answers them from the database."""

    db: Database
    dispatch: Dispatch

    async def explain(self, question: Explain) -> ExplainReply:
        """Why a wheel is there or not, and what happens next."""
        versions = [question.version] if question.version else None
        targets = [question.target] if question.target else None
        facts = await self.db.retrying(
            lambda: views.project_facts(self.db, question.project, versions, targets)
        )
        return ExplainReply(
            answers=explanations(
                question.project,
                facts,
                asked_version=question.version,
                asked_target=question.target,
                served=self.dispatch.served,
                paused=self.dispatch.paused,
                now=datetime.now(UTC),
            )
        )

    async def report(self, question: Report) -> ReportReply:
        """How far releases are, for each of some targets."""
        rows: list[ReportRow] = []
        for project, wanted_version in question.releases:
            facts = await self.db.retrying(
                lambda: views.project_facts(self.db, project, [wanted_version], question.targets)  # noqa: B023
            )
            for release in facts.releases if facts else ():
                rows += [_report_row(project, release, target) for target in release.targets]
        stale = await self.db.retrying(lambda: pages.stale_count(self.db))
        return ReportReply(rows=tuple(rows), stale_pages=stale)


def _report_row(project: str, release: ReleaseFacts, target: TargetFacts) -> ReportRow:
    outcome, detail, settled = _outcome(release, target)
    return ReportRow(
        project=project,
        version=release.version,
        target=target.target,
        settled=settled,
        covered=target.covered_by is not None,
        outcome=outcome,
        duration_s=target.last_duration_s,
        detail=detail,
        build=target.last_build,
    )


def _outcome(release: ReleaseFacts, target: TargetFacts) -> tuple[str, str, bool]:
    """A word, the wheel or the reason, and whether nothing more will happen by itself."""
    if target.covered_by is not None:
        own = target.last_outcome == "built"
        return ("built" if own else "covered"), target.covered_by, True
    if not target.allowed:
        return "excluded", f"Requires-Python is {release.requires_python}", True
    if target.last_final:
        return target.last_outcome or "failed", target.last_reason or "", True
    if release.skip is not None or target.target_skip is not None:
        return "skipped", release.skip or target.target_skip or "", True
    return "open", target.last_reason or "", False
