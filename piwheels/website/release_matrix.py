"""The matrix of a project's page: releases by target, with the status of each in words."""

from collections.abc import Sequence
from datetime import timedelta
from typing import assert_never

from piwheels import formatting
from piwheels.causes.explanation import summarize_build
from piwheels.causes.outcome_texts import outcome_label
from piwheels.errors import RejectedError
from piwheels.model import (
    FileSummary,
    Outcome,
    ReleaseStatusRow,
    State,
    Struct,
    TargetStatusRow,
    platform_words,
    target_words,
)
from piwheels.release_status import ReleaseStatus
from piwheels.untrusted_names import parse_version
from piwheels.website import filters
from piwheels.website.log_links import last_log_path
from piwheels.website.page_data import ProjectData
from piwheels.website.platforms import targets_by_platform

_STATES_WITHOUT_TEXT = (State.WAITING, State.EXCLUDED, State.COVERED, State.TARGET_SKIPPED)
#: States whose text tells of the last build, if that failed.
_STATES_AFTER_FAILURES = (State.FAILED, State.DEFERRED, State.QUEUED, State.UNSERVED, State.PAUSED)
_MAX_NOTE_LENGTH = 160


class Column(Struct, frozen=True, kw_only=True):
    """A target of the matrix."""

    target: str
    python: str  # in words


class PlatformColumns(Struct, frozen=True, kw_only=True):
    """The targets of a platform, side by side."""

    platform: str  # in words
    columns: tuple[Column, ...]


class TargetCell(Struct, frozen=True, kw_only=True):
    """A cell of the matrix: the status of a release for a target."""

    state: State
    label: str
    style: str  # a class of style.css
    note: str = ""
    file: str = ""  # the compatible wheel
    log: int | None = None  # the build whose log is linked
    log_path: str = ""  # the URL path of that log


class MatrixRow(Struct, frozen=True, kw_only=True):
    """A release in the matrix."""

    version: str
    released: str
    yanked: str | None
    is_prerelease: bool
    release_cell: TargetCell | None  # what prevents all its builds
    blocker_text: str  # the same as a sentence
    cells: tuple[TargetCell | None, ...]  # None is covered by `release_cell`
    #: Target, sentence, and the log that it is about or "", for states that need a sentence.
    target_texts: tuple[tuple[str, str, str], ...]
    has_files: bool


def platform_columns(releases: Sequence[ReleaseStatusRow]) -> tuple[PlatformColumns, ...]:
    """The columns, without skipped targets that have no wheels and no builds."""
    return tuple(
        PlatformColumns(
            platform=platform_words(platform),
            columns=tuple(Column(target=name, python=target_words(name).python) for name in names),
        )
        for platform, names in targets_by_platform(_shown_targets(releases))
    )


def _shown_targets(releases: Sequence[ReleaseStatusRow]) -> list[str]:
    wanted = {
        target.target: None
        for release in releases
        for target in release.targets
        if target.target_skip_reason is None or target.covered_by or target.last_build_id
    }
    return [t.target for t in releases[0].targets if t.target in wanted] if releases else []


def matrix_row(
    content: ProjectData,
    release: ReleaseStatusRow,
    targets: Sequence[str],
    files: Sequence[FileSummary],
) -> MatrixRow:
    """The row of a release.

    Args:
        content: its project.
        release: the release.
        targets: the columns.
        files: its wheels.
    """
    found = content.statuses[release.version]
    blocker = found.release_blocker
    rows = {target.target: target for target in release.targets}
    statuses = {name: found.targets[name] for name in targets if name in found.targets}
    cells = {name: _cell(content, status, rows[name], files) for name, status in statuses.items()}
    return MatrixRow(
        version=release.version,
        released=f"{release.released_at:%Y-%m-%d}",
        yanked=release.yanked,
        is_prerelease=is_prerelease(release.version),
        release_cell=_release_cell(blocker) if blocker else None,
        blocker_text=_sentence(blocker) if blocker else "",
        cells=tuple(cells.get(name) for name in targets),
        target_texts=tuple(
            (str(target_words(name)), _sentence(status), _told_log(status, rows[name]))
            for name, status in statuses.items()
            if status.state not in _STATES_WITHOUT_TEXT
        ),
        has_files=bool(files),
    )


def is_prerelease(version: str) -> bool:
    """Whether installers take a version only if asked for pre-releases (PEP 440)."""
    try:
        return parse_version(version).is_prerelease
    except RejectedError:
        return False


def state_label(state: State) -> tuple[str, str]:  # noqa: C901 - one case per state
    """The label of a state, and the class of style.css that colors it."""
    match state:
        case State.BUILDING:
            return "building", "building"
        case State.QUEUED | State.UNSERVED | State.PAUSED:
            return "queued", "queued"
        case State.DEFERRED:
            return "to be retried", "retry"
        case State.FAILED | State.HELD:
            return state, "failed"
        case State.TARGET_SKIPPED | State.SKIPPED:
            return "skipped", "skipped"
        case State.EXCLUDED:
            return "not for this Python", "unwanted"
        case State.WAITING:
            return state, "unwanted"
        case State.COVERED:
            return "wheel", "covered"
        case State.UPSTREAM_WHEEL:
            return "wheel upstream", "unwanted"
        case State.NO_SDIST:
            return "no source", "skipped"
        case State.QUARANTINED:
            return state, "yanked"
        case State.MISSING:
            return "not upstream", "yanked"
        case (
            State.UNKNOWN
            | State.NO_RELEASE
            | State.UNKNOWN_RELEASE
            | State.UNKNOWN_TARGET
            | State.UPSTREAM
            | State.REMOVED
        ):
            return "unknown", "unwanted"
        case _:
            assert_never(state)


def _release_cell(status: ReleaseStatus) -> TargetCell:
    label, style = state_label(status.state)
    return TargetCell(state=status.state, label=label, style=style)


def _cell(
    content: ProjectData,
    status: ReleaseStatus,
    target: TargetStatusRow,
    files: Sequence[FileSummary],
) -> TargetCell:
    if status.state is State.COVERED:
        return _covered_cell(status, target, files)
    label, style = state_label(status.state)
    log_path = _told_log(status, target)
    note = filters.truncate(_note(content, status, target), _MAX_NOTE_LENGTH)
    return TargetCell(
        state=status.state,
        label=label,
        style=style,
        note=note,
        log=target.last_build_id if log_path else None,
        log_path=log_path,
    )


def _told_log(status: ReleaseStatus, target: TargetStatusRow) -> str:
    """The log of the failed build that a status tells of; "" if it tells of none."""
    if status.state not in _STATES_AFTER_FAILURES or target.last_outcome in {None, Outcome.BUILT}:
        return ""
    return last_log_path(target)


def _covered_cell(
    status: ReleaseStatus, target: TargetStatusRow, files: Sequence[FileSummary]
) -> TargetCell:
    made_here, name = status.built_for_target, status.file
    log = target.last_build_id if made_here else None
    if target.without_compiler:
        note = "built without a C compiler"
    elif target.build_note:
        note = target.build_note
    elif target.is_mirrored:
        note = "from the upstream index"
    else:
        tags = next((file.tags for file in files if file.filename == name), "")
        note = "" if made_here else tags
    return TargetCell(
        state=status.state,
        label="wheel",
        style=status.label,
        note=note,
        file=name,
        log=log,
        log_path=last_log_path(target) if log else "",
    )


def _note(content: ProjectData, status: ReleaseStatus, target: TargetStatusRow) -> str:
    """The text below a cell's label."""
    match status.state:
        case State.FAILED | State.DEFERRED:
            told = summarize_build(target.last_cause, target.last_reason or "")
            return told or outcome_label(target.last_outcome or "")
        case State.BUILDING:
            return (
                f"since {formatting.format_utc_minute(target.claimed_at)}"
                if target.claimed_at
                else ""
            )
        case State.QUEUED:
            return f"{_queue_position(target)}{_expected_time(content, target)}"
        case State.PAUSED:
            return f"{_queue_position(target)}, farm paused"
        case State.UNSERVED | State.TARGET_SKIPPED | State.HELD | State.UPSTREAM_WHEEL:
            return status.detail
        case State.WAITING:
            return "for an earlier target"
        case _:
            return ""


def _queue_position(target: TargetStatusRow) -> str:
    return formatting.format_queue_position(target.jobs_ahead.least, target.jobs_ahead.most)


def _expected_time(content: ProjectData, target: TargetStatusRow) -> str:
    """When a job is expected to start: by the hour if that is within a day, else by the day."""
    if target.expected is None:
        return ""
    soonest = content.written_at + timedelta(seconds=target.expected.soonest_s)
    latest = content.written_at + timedelta(seconds=target.expected.latest_s)
    if latest - content.written_at <= timedelta(days=1):
        return f", expected by {latest + timedelta(hours=1):%Y-%m-%d %H}:00 UTC"
    return f", expected from {soonest:%Y-%m-%d} to {latest:%Y-%m-%d}"


def _sentence(status: ReleaseStatus) -> str:
    first, space, rest = status.text.partition(" ")
    # File names keep their spelling.
    sentence = f"{first.capitalize() if first.isalpha() else first}{space}{rest}."
    return " ".join([sentence, *status.notes])
