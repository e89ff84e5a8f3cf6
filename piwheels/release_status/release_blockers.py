"""What keeps a release from being built or listed for every target."""

from datetime import datetime

from piwheels.model import ProjectStatus, ProjectStatusRow, ReleaseStatusRow, State, TargetStatusRow
from piwheels.release_status.status import ReleaseStatus, make_status, unskip_hint
from piwheels.release_status.times import utc_text


def removed_release_status(project: str, version: str) -> ReleaseStatus:
    """The status of a release that the farm no longer has."""
    return ReleaseStatus(
        project=project,
        version=version,
        state=State.REMOVED,
        text="the farm no longer has this release",
    )


def has_own_status(target: TargetStatusRow, release_blocker: ReleaseStatus | None) -> bool:
    """Whether a target has its own status although the whole release is blocked.

    Wheels made before still install, but those of a quarantined project, and of a release that
    is hidden, are not listed.
    """
    if release_blocker is None:
        return True
    hidden = release_blocker.state in {State.QUARANTINED, State.MISSING}
    return target.covered_by is not None and target.python_allowed and not hidden


def no_release_status(facts: ProjectStatusRow, asked_version: str | None) -> ReleaseStatus:
    """Why the farm has no release of a project."""
    project = facts.project
    if facts.skip_reason is not None:
        return ReleaseStatus(
            project=project,
            state=State.SKIPPED,
            text=f"it is skipped: {facts.skip_reason}",
            hint=unskip_hint(project),
        )
    if asked_version is not None:
        return ReleaseStatus(
            project=project,
            version=asked_version,
            state=State.UNKNOWN_RELEASE,
            text="this release was not requested, or does not exist upstream",
            hint=f"`piw add {project}=={asked_version}` requests it",
        )
    text = "no release of it was requested yet; newer ones are built as they appear upstream"
    return ReleaseStatus(project=project, state=State.NO_RELEASE, text=text)


def release_blocker(facts: ProjectStatusRow, release: ReleaseStatusRow) -> ReleaseStatus | None:
    """What blocks a release for all targets, or None.

    What hides its files comes first: then no wheel of it is said to install.
    """
    name = f"{facts.project}=={release.version}"
    if facts.status is ProjectStatus.QUARANTINED:
        reason = facts.status_reason or "no reason was given"
        text = (
            f"the upstream index quarantined the project ({reason}): its files are not listed "
            "and nothing is built until the quarantine ends"
        )
        return make_status(facts, release, State.QUARANTINED, text)
    if release.missing_since is not None:
        return make_status(
            facts, release, State.MISSING, _missing_text(release, release.missing_since)
        )
    if facts.skip_reason is not None:
        return make_status(
            facts,
            release,
            State.SKIPPED,
            f"the project is skipped: {facts.skip_reason}",
            hint=unskip_hint(facts.project),
        )
    if release.skip_reason is not None:
        return make_status(
            facts,
            release,
            State.SKIPPED,
            f"the release is skipped: {release.skip_reason}",
            hint=unskip_hint(name),
        )
    if not release.has_sdist:
        text = (
            "the upstream index has no sdist of it, so nothing can be built; "
            "it is built if one appears"
        )
        return make_status(facts, release, State.NO_SDIST, text)
    return None


def _missing_text(release: ReleaseStatusRow, since: datetime) -> str:
    if release.removed_at is not None:
        return (
            f"it was removed from the upstream index (confirmed {utc_text(release.removed_at)}): "
            "its files are not listed, and are deleted later unless it returns"
        )
    return (
        f"the upstream index has not listed it since {utc_text(since)}: its files are kept and "
        "not listed here, nothing is built, and it is shown again when the upstream lists it again"
    )
