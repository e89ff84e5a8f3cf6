"""What operators ask about single projects: why, and how far."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from piwheels.db import catalog, pages, views
from piwheels.db.database import Database
from piwheels.errors import RefusedError
from piwheels.farm.dispatch import Dispatch
from piwheels.farm.explain import explanations
from piwheels.model import ProjectFacts, ReleaseFacts, TargetFacts, targets_meant
from piwheels.protocol.messages import (
    Explain,
    ExplainReply,
    Report,
    ReportReply,
    ReportRow,
)
from piwheels.standing import whole_release


@dataclass(slots=True)
class Questions:
    """Answers them from the database."""

    db: Database
    dispatch: Dispatch

    async def explain(self, question: Explain) -> ExplainReply:
        """Why a wheel is there or not, and what happens next."""
        versions = [question.version] if question.version else None
        target = await self.target_meant(question.target) if question.target else None
        targets = [target] if target else None
        facts = await self.db.retrying(
            lambda: views.project_facts(self.db, question.project, versions, targets)
        )
        return ExplainReply(
            answers=explanations(
                question.project,
                facts,
                asked_version=question.version,
                asked_target=target,
                served=self.dispatch.served,
                paused=self.dispatch.paused,
                now=datetime.now(UTC),
            ),
            targets=await self.targets(),
        )

    async def targets(self) -> tuple[str, ...]:
        """The names of all targets that the farm builds for."""
        return await self._targets(skipped=False)

    async def target_meant(self, word: str) -> str:
        """The target that somebody means: by its name, or by its ABI tag where that is clear.

        A word that fits none is given back as it is.

        Raises:
            RefusedError: it fits several.
        """
        meant = targets_meant(word, await self._targets(skipped=False))
        meant = meant or targets_meant(word, await self._targets(skipped=True))
        if len(meant) > 1:
            raise RefusedError(f"{word} can be {' or '.join(meant)}; name one")
        return meant[0] if meant else word

    async def _targets(self, *, skipped: bool) -> tuple[str, ...]:
        found = await self.db.retrying(lambda: catalog.targets(self.db, skipped=skipped))
        return tuple(target.name for target in found)

    async def report(self, question: Report) -> ReportReply:
        """How far releases are, for each of some targets."""
        asked: dict[str, list[str]] = {}
        for project, version in question.releases:
            asked.setdefault(project, []).append(version)
        rows: list[ReportRow] = []
        for project, versions in asked.items():
            facts = await self.db.retrying(
                lambda: views.project_facts(
                    self.db,
                    project,  # noqa: B023
                    versions,  # noqa: B023
                    question.targets,
                    most_ahead=0,  # nobody is told its place here, and counting would take long
                )
            )
            rows += _report_rows(project, versions, facts)
        # What clients install from is the index; the site's pages may rest between writings.
        stale = await self.db.retrying(lambda: pages.stale_count(self.db, pages.INDEX_PARTS))
        return ReportReply(rows=tuple(rows), stale_pages=stale)


def _report_rows(
    project: str, versions: Sequence[str], facts: ProjectFacts | None
) -> Iterator[ReportRow]:
    there = facts.releases if facts else ()
    if facts is not None:
        for release in there:
            for target in release.targets:
                yield _report_row(facts, release, target)
    for version in sorted(set(versions) - {release.version for release in there}):
        yield ReportRow(
            project=project,
            version=version,
            target="-",
            settled=True,
            covered=False,
            outcome="removed",
            detail="the farm has no such release any more",
        )


def _report_row(facts: ProjectFacts, release: ReleaseFacts, target: TargetFacts) -> ReportRow:
    outcome, detail, settled = _outcome(facts, release, target)
    return ReportRow(
        project=facts.project,
        version=release.version,
        target=target.target,
        settled=settled,
        covered=target.covered_by is not None,
        outcome=outcome,
        duration_s=target.last_duration_s,
        detail=detail,
        build=target.last_build,
    )


def _outcome(
    facts: ProjectFacts, release: ReleaseFacts, target: TargetFacts
) -> tuple[str, str, bool]:
    """A word, the wheel or the reason, and whether nothing more will happen by itself."""
    if target.covered_by is not None:
        own = target.last_outcome == "built"
        return ("built" if own else "covered"), target.covered_by, True
    if not target.allowed:
        return "excluded", f"Requires-Python is {release.requires_python}", True
    if target.last_final:
        return target.last_outcome or "failed", target.last_reason or "", True
    if whole := whole_release(facts, release):
        return whole.state, whole.text, True
    if target.target_skip is not None:
        return "skipped", target.target_skip, True
    return "open", target.last_reason or "", False
