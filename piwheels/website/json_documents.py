"""JSON documents of the website, as structs from which their schemas are generated."""

from collections.abc import Iterable
from datetime import date
from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from piwheels import formatting
from piwheels.causes.explanation import describe_cause
from piwheels.model import (
    FileSummary,
    Recipe,
    ReleaseStatusRow,
    Reproduction,
    TargetStatusRow,
    projection,
)
from piwheels.release_status import ReleaseStatus
from piwheels.webroot import PROVENANCE_SUFFIX
from piwheels.website import filters, json_rows
from piwheels.website.page_data import ProjectData, Site

FORMAT_VERSION = 1
_FORMAT = Meta(description="increased when a field changes or is removed")
_REQUIRES_PYTHON = Meta(description="'' allows every Python")
_STATE_TEXT = Meta(description="the state as a sentence")
_LAST_30_DAYS = Meta(description="of the last 30 days, including today")


class DifferenceJson(msgspec.Struct, frozen=True, kw_only=True):
    """A member of a wheel that differs after the wheel was built again."""

    member: Annotated[str, Meta(description="its name in the archive")]
    change: Annotated[
        str, Meta(description="missing, extra, content, or metadata (of the archive alone)")
    ]
    how: Annotated[str, Meta(description="what differs, in words")]


class ReproductionJson(msgspec.Struct, frozen=True, kw_only=True):
    """The result of building a published wheel again."""

    result: Annotated[
        str,
        Meta(
            description="same (every byte), same-contents (the archive alone differs), differs, or "
            "failed (no wheel to compare)"
        ),
    ]
    text: Annotated[str, Meta(description="the result in words")]
    at: Annotated[str, Meta(description="RFC 3339, UTC")]
    elsewhere: Annotated[bool, Meta(description="whether another builder built it than at first")]
    rebuilt_sha256: Annotated[str, Meta(description="of the second wheel, in hex; '' if none")]
    differences: Annotated[
        tuple[DifferenceJson, ...], Meta(description="members that differ, the first 50")
    ]
    unlisted: Annotated[int, Meta(description="further members that differ")]


class FileJson(msgspec.Struct, frozen=True, kw_only=True):
    """A published wheel."""

    filename: Annotated[
        str, Meta(description="PEP 427; a file name never refers to different content")
    ]
    url: Annotated[str, Meta(description="permanent URL")]
    sha256: Annotated[str, Meta(description="of its content, in hex")]
    size_bytes: Annotated[int, Meta(description="bytes")] = field(name="size")
    tags: Annotated[str, Meta(description="PEP 425")]
    requires_python: Annotated[str, _REQUIRES_PYTHON]
    debian_packages: Annotated[
        tuple[str, ...],
        Meta(description="packages needed to import it, as named where it was built"),
    ]
    metadata_url: Annotated[str, Meta(description="PEP 658")]
    provenance_url: Annotated[
        str | None,
        Meta(description="signed statement of how it was built (in-toto, SLSA); null: none"),
    ]
    build_id: Annotated[int, Meta(description="the build that produced it")] = field(name="build")
    log_url: Annotated[
        str | None, Meta(description="log of that build; null: it was not built here")
    ]
    mirrored_from: Annotated[
        str | None, Meta(description="the same file on the upstream index; null: not mirrored")
    ]
    attestations_url: Annotated[
        str | None, Meta(description="of a mirrored wheel (PEP 740); null: none")
    ]
    published: Annotated[str, Meta(description="RFC 3339, UTC")]
    downloads: Annotated[int, Meta(description="all time")]
    reproduction: Annotated[
        ReproductionJson | None,
        Meta(description="the last time that it was built again and compared; null: never"),
    ]


class FailureJson(msgspec.Struct, frozen=True, kw_only=True):
    """Why a build failed."""

    failure_class: Annotated[
        str, Meta(description="missing-package, compiler-error, timed-out, ...")
    ] = field(name="class")
    text: Annotated[str, Meta(description="the class, and what was missing, as a clause")]
    reason: Annotated[str, Meta(description="the line of the log that tells")]
    missing: Annotated[
        tuple[str, ...], Meta(description="what was not found, each with its kind: header ffi.h")
    ]
    packages: Annotated[tuple[str, ...], Meta(description="Debian packages that have it")]
    line_number: Annotated[
        int | None, Meta(description="number of that line in the log; null if unknown")
    ] = field(name="log_line")
    next_step: Annotated[
        str, Meta(description="what the farm does next, or why it does nothing; '' if neither")
    ]


class TargetJson(msgspec.Struct, frozen=True, kw_only=True):
    """The status of a release for a target."""

    state: Annotated[
        str, Meta(description="covered, queued, building, deferred, failed, excluded, waiting, ...")
    ]
    text: Annotated[str, _STATE_TEXT]
    file: Annotated[str | None, Meta(description="the compatible wheel")]
    note: Annotated[
        str,
        Meta(description="what that wheel lacks, or why it cannot be imported; '' if nothing"),
    ]
    build: Annotated[int | None, Meta(description="the running build, or the last one")]
    log_url: Annotated[str | None, Meta(description="of the last completed build")]
    failure: Annotated[
        FailureJson | None, Meta(description="why the last build failed; null if it did not")
    ]
    ahead: Annotated[
        int | None, Meta(description="jobs ahead of it in the queue, at least; null: not queued")
    ]
    ahead_at_most: Annotated[
        int | None, Meta(description="the same, at most: a far place is estimated")
    ]


class ReleaseJson(msgspec.Struct, frozen=True, kw_only=True):
    """A release with its wheels, and its status for each target."""

    version: Annotated[str, Meta(description="canonical (PEP 440)")]
    released: Annotated[str, Meta(description="upload time upstream; RFC 3339, UTC")]
    requires_python: Annotated[str, _REQUIRES_PYTHON]
    yanked: Annotated[bool, Meta(description="PEP 592")]
    yanked_reason: Annotated[str, Meta(description="'' if there is none")]
    state: Annotated[
        str, Meta(description="'' if it can be built; skipped, quarantined, missing, no-sdist")
    ]
    text: Annotated[str, _STATE_TEXT]
    targets: Annotated[dict[str, TargetJson], Meta(description="by target")]
    files: Annotated[tuple[FileJson, ...], Meta(description="its wheels")]


class PatchJson(msgspec.Struct, frozen=True, kw_only=True):
    """A patch of a recipe."""

    name: Annotated[str, Meta(description="file name")]
    sha256: Annotated[str, Meta(description="of its text, in hex")]


class RecipeJson(msgspec.Struct, frozen=True, kw_only=True):
    """What the builds of a project need."""

    origin: Annotated[
        str, Meta(description="written or operator (by people), or learned (from builds)")
    ]
    learned_at: Annotated[str | None, Meta(description="RFC 3339, UTC; null if it was written")]
    packages: Annotated[tuple[str, ...], Meta(description="Debian packages that builds get")]
    constraints: Annotated[
        tuple[str, ...], Meta(description="limits on versions of build requirements (PEP 508)")
    ]
    tools: Annotated[
        tuple[str, ...], Meta(description="limits on versions of build tools (PEP 508)")
    ]
    tools_date: Annotated[
        date | None, Meta(description="builds see the upstream index as it was on this day")
    ]
    environment: Annotated[dict[str, str], Meta(description="variables that builds get")]
    patches: Annotated[tuple[PatchJson, ...], Meta(description="patches of the source")]
    memory_class: Annotated[
        str | None, Meta(description="memory that a build needs: small, medium, large, huge")
    ]
    time_limit_s: Annotated[float, Meta(description="seconds; 0 is the builder's limit")]
    versions: Annotated[str, Meta(description="versions that it applies to (PEP 440); '' is all")]
    targets: Annotated[
        tuple[str, ...], Meta(description="targets that it applies to, as patterns; [] is all")
    ]
    skip: Annotated[str, Meta(description="why nothing is built; '' if it is")]
    contact: Annotated[str, Meta(description="whom to ask; '' if unknown")]


class ProjectJson(msgspec.Struct, frozen=True, kw_only=True):
    """A project: `project/<name>/v1.json`."""

    format: Annotated[int, _FORMAT]
    project: Annotated[str, Meta(description="normalized name (PEP 503)")]
    display_name: Annotated[str, Meta(description="name as its authors spell it")] = field(
        name="display"
    )
    url: Annotated[str, Meta(description="page of the project")]
    status: Annotated[str, Meta(description="upstream status (PEP 792): active, archived, ...")]
    status_reason: Annotated[
        str, Meta(description="reason of the upstream status; '' if there is none")
    ]
    skip_reason: Annotated[
        str | None, Meta(description="why the project is skipped; null if it is not")
    ] = field(name="skipped")
    upstream_wheel_policy: Annotated[
        str | None,
        Meta(description="its own policy for wheels of upstream; null if it is the farm's"),
    ]
    names: Annotated[tuple[str, ...], Meta(description="aliases")]
    recipes: Annotated[
        tuple[RecipeJson, ...], Meta(description="what its builds need; written, then learned")
    ]
    downloads: Annotated[int, Meta(description="of all its wheels, all time")]
    downloads_30_days: Annotated[int, _LAST_30_DAYS]
    downloads_by_day: Annotated[
        dict[str, int],
        Meta(description="by date (UTC), last year; days without downloads are omitted"),
    ]
    upstream_newest: Annotated[
        str | None,
        Meta(description="newest release upstream that is not yanked; null if unknown"),
    ]
    upstream_newest_known: Annotated[bool, Meta(description="whether this farm has that release")]
    releases: Annotated[
        tuple[ReleaseJson, ...], Meta(description="releases of this farm, newest first")
    ]


class StatsJson(msgspec.Struct, frozen=True, kw_only=True):
    """Download statistics: `stats.json`. Each chart has its own file in `stats/`."""

    format: Annotated[int, _FORMAT]
    downloads: Annotated[int, Meta(description="all time")]
    last_30_days: Annotated[int, _LAST_30_DAYS] = field(name="downloads_30_days")
    today: Annotated[int, Meta(description="since midnight UTC")] = field(name="downloads_today")
    record_day: Annotated[int, Meta(description="most downloads on one day")]
    record_date: Annotated[date | None, Meta(description="the day with the most downloads")]
    since: Annotated[date | None, Meta(description="first day with downloads")]
    bytes: Annotated[int, Meta(description="bytes sent in downloads, all time")] = field(
        name="bytes_served"
    )
    saved_s: Annotated[float, Meta(description="seconds of build time saved, all time")]
    charts: Annotated[
        dict[str, str], Meta(description="title of each chart, and the URL of its data")
    ]


class PackagesJson(msgspec.Struct, frozen=True, kw_only=True):
    """Every project: `packages-v1.json`."""

    format: Annotated[int, _FORMAT]
    columns: Annotated[tuple[str, ...], Meta(description="the fields of each entry")]
    projects: Annotated[list[tuple[str, int, int]], Meta(description="sorted by name")]


def schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one of the structs above."""
    described: dict[str, Any] = msgspec.json.schema(kind)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described}


def project_json(site: Site, content: ProjectData) -> bytes:
    """A project's JSON."""
    facts = content.facts
    files: dict[str, list[FileJson]] = {}
    for file in content.files:
        files.setdefault(file.version, []).append(_file_json(site, content, file))
    document = projection(
        ProjectJson,
        facts,
        format=FORMAT_VERSION,
        url=f"{site.url}project/{filters.url_segment(facts.project)}/",
        names=content.aliases,
        recipes=tuple(_recipe_json(recipe) for recipe in content.recipes),
        downloads=content.downloads.downloads,
        downloads_30_days=content.downloads.last_30_days,
        downloads_by_day={item.day.isoformat(): item.downloads for item in content.days},
        upstream_newest=facts.upstream.newest_version if facts.upstream else None,
        upstream_newest_known=facts.upstream is not None and facts.upstream.newest_known,
        releases=tuple(
            _release_json(site, content, release, files.get(release.version, []))
            for release in facts.releases
        ),
    )
    return encode(document)


def _recipe_json(recipe: Recipe) -> RecipeJson:
    return projection(
        RecipeJson,
        recipe,
        learned_at=formatting.format_rfc3339(recipe.learned_at) if recipe.learned_at else None,
        environment=dict(recipe.environment),
        patches=tuple(projection(PatchJson, patch) for patch in recipe.patches),
    )


def packages_json(projects: Iterable[tuple[str, int, int]]) -> bytes:
    """`packages-v1.json`, a `PackagesJson`: name, wheels and downloads of each project."""
    empty = PackagesJson(
        format=FORMAT_VERSION, columns=("name", "wheels", "downloads"), projects=[]
    )
    start, end = encode(empty).split(b"[]")  # the rows are not in memory all at once
    return json_rows.encode_rows(start + b"[", projects, b"]" + end)


def encode(document: msgspec.Struct) -> bytes:
    """JSON with a newline at its end."""
    return msgspec.json.encode(document) + b"\n"


def _file_json(site: Site, content: ProjectData, file: FileSummary) -> FileJson:
    url = f"{site.url}{filters.wheel_path(file.sha256, file.filename)}"
    built_here = file.mirrored_from is None
    return projection(
        FileJson,
        file,
        url=url,
        metadata_url=f"{url}.metadata",
        provenance_url=f"{url}{PROVENANCE_SUFFIX}" if file.has_provenance else None,
        log_url=f"{site.url}{filters.log_path(file.build_id)}" if built_here else None,
        attestations_url=file.attestations_url or None,
        published=formatting.format_rfc3339(file.published_at),
        downloads=content.wheel_downloads.get(file.filename, 0),
        reproduction=_reproduction_json(content.reproductions.get(file.filename)),
    )


def _reproduction_json(found: Reproduction | None) -> ReproductionJson | None:
    if found is None or found.ended_at is None:
        return None
    return projection(
        ReproductionJson,
        found,
        text=found.summary,
        at=formatting.format_rfc3339(found.ended_at),
        elsewhere=found.is_elsewhere,
        differences=tuple(projection(DifferenceJson, item) for item in found.differences),
    )


def _release_json(
    site: Site, content: ProjectData, release: ReleaseStatusRow, files: list[FileJson]
) -> ReleaseJson:
    found = content.statuses[release.version]
    blocker, facts = found.release_blocker, {target.target: target for target in release.targets}
    return projection(
        ReleaseJson,
        release,
        released=formatting.format_rfc3339(release.released_at),
        yanked=release.yanked is not None,
        yanked_reason=release.yanked or "",
        state=blocker.state if blocker else "",
        text=blocker.text if blocker else "",
        targets={
            name: _target_json(site, status, facts[name]) for name, status in found.targets.items()
        },
        files=tuple(files),
    )


def _target_json(site: Site, status: ReleaseStatus, target: TargetStatusRow) -> TargetJson:
    log = target.last_build_id
    waits = target.queued and target.claimed_by is None and target.retry_at is None
    return projection(
        TargetJson,
        status,
        file=status.file or None,
        note=target.build_note if status.file else "",
        log_url=f"{site.url}{filters.log_path(log)}" if log else None,
        failure=_failure_json(status, target),
        ahead=target.jobs_ahead.least if waits else None,
        ahead_at_most=target.jobs_ahead.most if waits else None,
    )


def _failure_json(status: ReleaseStatus, target: TargetStatusRow) -> FailureJson | None:
    cause = status.cause
    if cause is None:
        return None
    return projection(
        FailureJson,
        cause,
        text=describe_cause(cause),
        reason=target.last_reason or "",
        line_number=cause.line_number or None,
        next_step=status.next_step,
    )
