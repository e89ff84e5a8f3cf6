"""How a release stands for a target, and what happens next: facts in, one answer for each out.

`piw explain` prints the answers, and a project's page shows them.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import humanize

from piwheels.model import ProjectFacts, ReleaseFacts, Struct, TargetFacts, UpstreamPage


class Standing(Struct, frozen=True, kw_only=True):
    """The state of one release for one target (either "" when it says more)."""

    project: str
    version: str = ""
    target: str = ""
    state: str  # one word: covered, queued, building, deferred, failed, ...
    text: str  # what is known, without a full stop
    advice: str = ""  # what an operator can do or type now, without a full stop
    notes: tuple[str, ...] = ()  # whole sentences that hold whatever the state is
    build: int | None = None
    file: str = ""

    @property
    def answer(self) -> str:
        """All of it, for somebody who can type the advice."""
        said = f"{self.text}; {self.advice}" if self.advice else self.text
        return " ".join([f"{said}.", *(f"({note})" for note in self.notes)])


class Circumstances(Struct, frozen=True, kw_only=True):
    """What the answers depend on beside the facts.

    served: targets for which a builder is connected.
    paused: whether the farm hands out no jobs.
    now: the time that waiting is counted from; without it times are told as they are, for a
        text that is read later.
    """

    served: frozenset[str]
    paused: bool = False
    now: datetime | None = None


def standings(
    project: str,
    facts: ProjectFacts | None,
    circumstances: Circumstances,
    *,
    asked_version: str | None = None,
    asked_target: str | None = None,
) -> tuple[Standing, ...]:
    """The whole answer.

    Args:
        project: its normalised name.
        facts: what the database knows of it.
        circumstances: what else counts.
        asked_version: the version that the question named.
        asked_target: the target that it named.
    """
    if facts is None:
        return (
            Standing(
                project=project,
                state="unknown",
                text="this farm does not know it",
                advice=f"`piw add {project}` has it built",
            ),
        )
    if not facts.releases:
        return (_no_release(facts, asked_version),)
    answers: list[Standing] = []
    for release in facts.releases:
        whole = whole_release(facts, release)
        if whole is not None:
            answers.append(whole)
        answers += [
            for_target(facts, release, target, circumstances)
            for target in release.targets
            if stands_apart(target, whole)
        ]
        if asked_target is not None and not release.targets:
            text = f"this farm has no target {asked_target}; it comes with a builder that serves it"
            answers.append(_answer(facts, release, "unknown-target", text, target=asked_target))
    return tuple(answers)


def explained(
    project: str,
    facts: ProjectFacts | None,
    circumstances: Circumstances,
    *,
    asked_version: str | None,
    asked_target: str | None,
) -> tuple[Standing, ...]:
    """The answer of `piw explain`: as `standings`, and what the upstream index said last."""
    answers = standings(
        project, facts, circumstances, asked_version=asked_version, asked_target=asked_target
    )
    whole_project = facts is not None and (asked_version is None or not facts.releases)
    last = upstream_answer(facts) if facts is not None and whole_project else None
    return answers if last is None else (*answers, last)


def upstream_answer(facts: ProjectFacts) -> Standing | None:
    """What the upstream index said last that the farm's releases do not show, or None."""
    page = facts.upstream
    if page is None:
        return None
    text, advice = _newest_upstream(facts.project, page)
    if page.problem_count:
        entries = "entry" if page.problem_count == 1 else "entries"
        odd = f"{page.problem_count} odd {entries} on its page there: {'; '.join(page.problems)}"
        text = f"{text}. {odd}" if text else odd
    return (
        Standing(project=facts.project, state="upstream", text=text, advice=advice)
        if text
        else None
    )


def _newest_upstream(project: str, page: UpstreamPage) -> tuple[str, str]:
    """The newest release upstream where this farm does not have it, and how to have it built."""
    if page.newest_version is None:
        return "the upstream index has no release of it that is not yanked", ""
    if page.newest_known:
        return "", ""
    newest = page.newest_version
    text = f"the newest release of the upstream index is {newest}"
    if not page.newest_has_sdist:
        return f"{text}, which has no sdist to build from", ""
    return f"{text}, which this farm does not have", f"`piw add {project}=={newest}` adds it"


def stands_apart(target: TargetFacts, whole: Standing | None) -> bool:
    """Whether a target has a standing of its own beside what keeps the whole release back.

    Wheels made before still install, but those of a quarantined project, and of a release that
    is hidden, are not listed.
    """
    if whole is None:
        return True
    return target.covered_by is not None and whole.state not in {"quarantined", "missing"}


def _no_release(facts: ProjectFacts, asked_version: str | None) -> Standing:
    project = facts.project
    if facts.skip is not None:
        return Standing(
            project=project,
            state="skipped",
            text=f"it is skipped: {facts.skip}",
            advice=f"`piw skip {project} --lift` builds it again",
        )
    if asked_version is not None:
        return Standing(
            project=project,
            version=asked_version,
            state="unknown-release",
            text="nobody asked for this release, or the upstream index has none such",
            advice=f"`piw add {project}=={asked_version}` has it built",
        )
    text = "no release of it was asked for yet; newer ones are built as they appear upstream"
    return Standing(project=project, state="no-release", text=text)


def whole_release(facts: ProjectFacts, release: ReleaseFacts) -> Standing | None:
    """What keeps a release from being built for any target, or None."""
    name = f"{facts.project}=={release.version}"
    if facts.skip is not None:
        return _answer(
            facts,
            release,
            "skipped",
            f"the project is skipped: {facts.skip}",
            advice=f"`piw skip {facts.project} --lift` builds it again",
        )
    if facts.status == "quarantined":
        reason = facts.status_reason or "no reason was given"
        text = (
            f"the upstream index quarantined the project ({reason}): its files are not listed "
            "and nothing is built until that ends"
        )
        return _answer(facts, release, "quarantined", text)
    if release.missing_since is not None:
        return _answer(facts, release, "missing", _missing(release, release.missing_since))
    if release.skip is not None:
        return _answer(
            facts,
            release,
            "skipped",
            f"the release is skipped: {release.skip}",
            advice=f"`piw skip {name} --lift` builds it again",
        )
    if not release.has_sdist:
        text = (
            "the upstream index has no sdist of it, so there is nothing to build from; "
            "if one appears, it is built then"
        )
        return _answer(facts, release, "no-sdist", text)
    return None


def _missing(release: ReleaseFacts, since: datetime) -> str:
    if release.removed_at is not None:
        return (
            f"it was removed from the upstream index (confirmed {_plain(release.removed_at)}): "
            "its files are not listed, and are deleted later unless it returns"
        )
    return (
        f"the upstream index has not listed it since {_plain(since)}: its files are kept and not "
        "listed here, nothing is built, and it is shown again when the upstream lists it again"
    )


def for_target(
    facts: ProjectFacts,
    release: ReleaseFacts,
    target: TargetFacts,
    circumstances: Circumstances,
) -> Standing:
    """How a release that nothing keeps from being built stands for one target."""
    state, text, advice = _state(facts, release, target, circumstances)
    return _answer(
        facts,
        release,
        state,
        text,
        target=target.target,
        advice=advice,
        notes=tuple(_notes(release, target)),
        build=target.build_in_hand or target.last_build,
        file=target.covered_by or "",
    )


def _notes(release: ReleaseFacts, target: TargetFacts) -> Iterator[str]:
    if release.yanked is not None:
        reason = f": {release.yanked}" if release.yanked else ""
        yield f"The release is yanked upstream{reason}; installers take it only if pinned."
    if target.debian_packages:
        yield f"{needs_sentence(target)}."
    if target.converging:
        yield "The target was changed just now; its queue is still being worked out."


def needs_sentence(target: TargetFacts) -> str:
    """Which Debian packages the published wheel needs, and where they are named so."""
    packages = " ".join(target.debian_packages)
    if platform_of(target.built_for) == platform_of(target.target):
        return f"It needs Debian packages: `sudo apt install {packages}`"
    return (
        f"It was built for {target.built_for} and needs Debian packages that are named {packages} "
        f"there; on {platform_of(target.target)} they may be named differently"
    )


def platform_of(target: str) -> str:
    """The platform of a target: `trixie-aarch64` of `cp313-trixie-aarch64`."""
    return target.partition("-")[2]


def _state(
    facts: ProjectFacts, release: ReleaseFacts, target: TargetFacts, circumstances: Circumstances
) -> tuple[str, str, str]:
    """The state in one word, what is known, and what can be done."""
    name = f"{facts.project}=={release.version}"
    now = circumstances.now
    if target.covered_by is not None:
        return "covered", f"{target.covered_by} is published and installs there", ""
    if target.target_skip is not None:
        text = f"nothing is built for this target: {target.target_skip}"
        return "target-skipped", text, f"`piw skip --target {target.target} --lift` changes that"
    if not target.allowed:
        text = f"its Requires-Python ({release.requires_python}) excludes this Python"
        return "excluded", text, ""
    if target.claimed_by is not None and target.claimed_at is not None:
        text = (
            f"it has been building on {target.claimed_by} {_since(target.claimed_at, now)} "
            f"(build {target.build_in_hand}, try {target.attempts})"
        )
        return "building", text, f"`piw log {target.build_in_hand} -f` follows"
    if target.not_before is not None:
        return "deferred", f"{_last(target)}; it is tried again {_at(target.not_before, now)}", ""
    if target.queued:
        return _queued(target, circumstances)
    if target.last_final:
        advice = (
            f"`piw log {target.last_build}` shows why, `piw retry {name} {target.target}` "
            "tries again"
        )
        return "failed", f"{_last(target)}, and will not be tried again by itself", advice
    text = (
        "it is tried for an earlier target first: if the wheel made there installs here too, "
        "nothing is built; if not, or if it fails, this one is next"
    )
    return "waiting", text, ""


def _queued(target: TargetFacts, circumstances: Circumstances) -> tuple[str, str, str]:
    place = f"it is queued, number {target.ahead + 1} for this target"
    if target.superseded is not None:
        place = f"{target.superseded} is published, and a new one was asked for: {place}"
    if target.last_build is not None and target.last_outcome != "built":
        place = f"{_last(target)}; {place}"
    if target.target not in circumstances.served:
        return "unserved", f"{place}, but no connected builder serves it", ""
    if circumstances.paused:
        return "paused", f"{place}, but the farm is paused", "`piw resume` goes on"
    return "queued", place, ""


def _last(target: TargetFacts) -> str:
    reason = f" ({target.last_reason})" if target.last_reason else ""
    return f"build {target.last_build} ended as {target.last_outcome}{reason}"


def _since(moment: datetime, now: datetime | None) -> str:
    if now is None:
        return f"since {_plain(moment)}"
    return f"for {humanize.naturaldelta(now - moment)}"


def _at(moment: datetime, now: datetime | None) -> str:
    if now is None:
        return f"after {_plain(moment)}"
    return f"in {humanize.naturaldelta(max(moment - now, now - now))}"


def _plain(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _answer(
    facts: ProjectFacts,
    release: ReleaseFacts,
    state: str,
    text: str,
    *,
    target: str = "",
    advice: str = "",
    notes: tuple[str, ...] = (),
    build: int | None = None,
    file: str = "",
) -> Standing:
    return Standing(
        project=facts.project,
        version=release.version,
        target=target,
        state=state,
        text=text,
        advice=advice,
        notes=notes,
        build=build,
        file=file,
    )
