"""What operators ask about single projects: why, and how far."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from piwheels.db import catalog, pages, views
from piwheels.db.database import Database
from piwheels.errors import RefusedError
from piwheels.farm.dispatch import Dispatch
from piwheels.farm.explain import explanations
from piwheels.model import ProjectFacts, TargetFacts, targets_meant
from piwheels.protocol.messages import (
    Explain,
    ExplainReply,
    Report,
    ReportReply,
    ReportRow,
)
from piwheels.standing import (
    Circumstances,
    Standing,
    State,
    is_resting,
    release_standings,
    removed,
)


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
                equipped=self.dispatch.equipped,
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
            rows += _report_rows(project, versions, facts, self._circumstances())
        # What clients install from is the index; the site's pages may rest between writings.
        stale = await self.db.retrying(lambda: pages.stale_count(self.db, pages.INDEX_PARTS))
        return ReportReply(rows=tuple(rows), stale_pages=stale)

    def _circumstances(self) -> Circumstances:
        return Circumstances(
            served=self.dispatch.served,
            equipped=self.dispatch.equipped,
            paused=self.dispatch.paused,
            now=datetime.now(UTC),
        )


def _report_rows(
    project: str, versions: Sequence[str], facts: ProjectFacts | None, circumstances: Circumstances
) -> Iterator[ReportRow]:
    there = facts.releases if facts else ()
    if facts is not None:
        for release in there:
            found = release_standings(facts, release, circumstances)
            for target in release.targets:
                if standing := found.of(target.target):
                    resting = is_resting(standing.state, release, target, circumstances.now)
                    yield _report_row(standing, target, resting=resting)
    for version in sorted(set(versions) - {release.version for release in there}):
        yield _report_row(removed(project, version), None, resting=True)


def _report_row(standing: Standing, target: TargetFacts | None, *, resting: bool) -> ReportRow:
    return ReportRow(
        project=standing.project,
        version=standing.version,
        target=target.target if target else "-",
        resting=resting,
        covered=standing.state is State.COVERED,
        outcome=standing.word,
        duration_s=target.last_duration_s if target else None,
        detail=standing.detail or standing.text,
        build=target.last_build if target else None,
    )
