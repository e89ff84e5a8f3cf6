"""Why a wheel is there or not, and what happens next: facts in, one answer for each target out."""

from datetime import datetime

import humanize

from piwheels.db.views import ProjectFacts, ReleaseFacts, TargetFacts
from piwheels.protocol.messages import Explanation


def explanations(
    project: str,
    facts: ProjectFacts | None,
    *,
    asked_version: str | None,
    asked_target: str | None,
    served: frozenset[str],
    paused: bool,
    now: datetime,
) -> tuple[Explanation, ...]:
    """The whole answer.

    Args:
        project: its normalised name.
        facts: what the database knows of it.
        asked_version: the version that the question named.
        asked_target: the target that it named.
        served: targets for which a builder is connected.
        paused: whether the farm hands out no jobs.
        now: the time that waiting is counted from.
    """
    if facts is None:
        text = f"this farm does not know it; `piw add {project}` has it built"
        return (Explanation(project=project, state="unknown", text=text),)
    if not facts.releases:
        return (_no_release(facts, asked_version),)
    answers: list[Explanation] = []
    for release in facts.releases:
        whole = _whole_release(facts, release)
        if whole is not None:
            answers.append(whole)
        answers += [
            _for_target(facts, release, target, served=served, paused=paused, now=now)
            for target in release.targets
            if whole is None or target.covered_by is not None
        ]
        if asked_target is not None and not release.targets:
            text = f"this farm has no target {asked_target}; it comes with a builder that serves it"
            answers.append(_answer(facts, release, asked_target, "unknown-target", text))
    return tuple(answers)


def _no_release(facts: ProjectFacts, asked_version: str | None) -> Explanation:
    project = facts.project
    if facts.skip is not None:
        text = f"it is skipped: {facts.skip}; `piw skip {project} --lift` builds it again"
        return Explanation(project=project, state="skipped", text=text)
    if asked_version is not None:
        text = (
            f"nobody asked for this release, or the upstream index has none such; "
            f"`piw add {project}=={asked_version}` has it built"
        )
        return Explanation(
            project=project, version=asked_version, state="unknown-release", text=text
        )
    text = "no release of it was asked for yet; newer ones are built as they appear upstream"
    return Explanation(project=project, state="no-release", text=text)


def _whole_release(facts: ProjectFacts, release: ReleaseFacts) -> Explanation | None:
    """What keeps a release from being built for any target, or None."""
    name = f"{facts.project}=={release.version}"
    if facts.skip is not None:
        state, text = (
            "skipped",
            (
                f"the project is skipped: {facts.skip}; `piw skip {facts.project} --lift` "
                "builds it again"
            ),
        )
    elif facts.status == "quarantined":
        reason = facts.status_reason or "no reason was given"
        state, text = (
            "quarantined",
            (
                f"the upstream index quarantined the project ({reason}): its files are not listed "
                "and nothing is built until that ends"
            ),
        )
    elif release.skip is not None:
        state, text = (
            "skipped",
            (f"the release is skipped: {release.skip}; `piw skip {name} --lift` builds it again"),
        )
    elif not release.has_sdist:
        state, text = (
            "no-sdist",
            (
                "the upstream index has no sdist of it, so there is nothing to build from; "
                "if one appears, it is built then"
            ),
        )
    else:
        return None
    return _answer(facts, release, "", state, text)


def _for_target(
    facts: ProjectFacts,
    release: ReleaseFacts,
    target: TargetFacts,
    *,
    served: frozenset[str],
    paused: bool,
    now: datetime,
) -> Explanation:
    state, text = _state(facts, release, target, served=served, paused=paused, now=now)
    if release.yanked is not None:
        reason = f": {release.yanked}" if release.yanked else ""
        text += f" (The release is yanked upstream{reason}; installers take it only if pinned.)"
    if target.converging:
        text += " (The target was changed just now; its queue is still being worked out.)"
    return Explanation(
        project=facts.project,
        version=release.version,
        target=target.target,
        state=state,
        text=text,
        build=target.build_in_hand or target.last_build,
        file=target.covered_by or "",
    )


def _state(
    facts: ProjectFacts,
    release: ReleaseFacts,
    target: TargetFacts,
    *,
    served: frozenset[str],
    paused: bool,
    now: datetime,
) -> tuple[str, str]:
    name = f"{facts.project}=={release.version}"
    if target.covered_by is not None:
        return "covered", f"{target.covered_by} is published and installs there."
    if target.target_skip is not None:
        reason = f"nothing is built for this target: {target.target_skip}"
        return (
            "target-skipped",
            f"{reason}; `piw skip --target {target.target} --lift` changes that",
        )
    if not target.allowed:
        return "excluded", f"its Requires-Python ({release.requires_python}) excludes this Python."
    if target.claimed_by is not None and target.claimed_at is not None:
        since = humanize.naturaldelta(now - target.claimed_at)
        return "building", (
            f"{target.claimed_by} has been building it for {since} (build {target.build_in_hand}, "
            f"try {target.attempts}); `piw log {target.build_in_hand} -f` follows."
        )
    if target.not_before is not None:
        when = humanize.naturaldelta(max(target.not_before - now, now - now))
        return "deferred", f"{_last(target)}; it is tried again in {when}."
    if target.queued:
        return _queued(target, served=served, paused=paused)
    if target.last_final:
        return "failed", (
            f"{_last(target)}, and will not be tried again by itself; "
            f"`piw log {target.last_build}` shows why, `piw retry {name} {target.target}` "
            "tries again."
        )
    return "waiting", (
        "it is tried for an earlier target first: if the wheel made there installs here too, "
        "nothing is built; if not, or if it fails, this one is next."
    )


def _queued(target: TargetFacts, *, served: frozenset[str], paused: bool) -> tuple[str, str]:
    place = f"it is queued, number {target.ahead + 1} for this target"
    if target.superseded is not None:
        place = f"{target.superseded} is published, and a new one was asked for: {place}"
    if target.last_build is not None and target.last_outcome != "built":
        place = f"{_last(target)}; {place}"
    if target.target not in served:
        return "unserved", f"{place}, but no connected builder serves it."
    if paused:
        return "paused", f"{place}, but the farm is paused; `piw resume` goes on."
    return "queued", f"{place}."


def _last(target: TargetFacts) -> str:
    reason = f" ({target.last_reason})" if target.last_reason else ""
    return f"build {target.last_build} ended as {target.last_outcome}{reason}"


def _answer(
    facts: ProjectFacts, release: ReleaseFacts, target: str, state: str, text: str
) -> Explanation:
    return Explanation(
        project=facts.project, version=release.version, target=target, state=state, text=text
    )
