"""The JSON of a project and of the figures, as structs whose schema documents them."""

from datetime import date
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from piwheels import formatting
from piwheels.model import FileSummary, ReleaseStatusRow, TargetStatusRow
from piwheels.release_status import ReleaseStatus, release_statuses
from piwheels.website import filters
from piwheels.website.page_data import ProjectData, Site

FORMAT_VERSION = 1


class FileJson(msgspec.Struct, frozen=True, kw_only=True):
    """A published wheel."""

    filename: Annotated[str, Meta(description="PEP 427; it never stands for other bytes")]
    url: Annotated[str, Meta(description="where it is; it never changes")]
    sha256: Annotated[str, Meta(description="of its bytes, in hex")]
    size: Annotated[int, Meta(description="bytes")]
    tags: Annotated[str, Meta(description="PEP 425")]
    requires_python: Annotated[str, Meta(description="'' allows every Python")]
    debian_packages: Annotated[tuple[str, ...], Meta(description="what it needs to be imported")]
    metadata_url: Annotated[str, Meta(description="PEP 658")]
    build: Annotated[int, Meta(description="the build that made it")]
    log_url: Annotated[str, Meta(description="that build's log")]
    published: Annotated[str, Meta(description="RFC 3339, UTC")]
    downloads: Annotated[int, Meta(description="of all time")]


class TargetJson(msgspec.Struct, frozen=True, kw_only=True):
    """How a release stands for a target."""

    state: Annotated[
        str, Meta(description="covered, queued, building, deferred, failed, excluded, waiting, ...")
    ]
    text: Annotated[str, Meta(description="the same in a sentence")]
    file: Annotated[str | None, Meta(description="the wheel that installs there")]
    build: Annotated[int | None, Meta(description="in hand, or the last one")]
    log_url: Annotated[str | None, Meta(description="of the last build that ended")]
    ahead: Annotated[
        int | None, Meta(description="jobs before it in the queue, counted up to 1,000")
    ]


class ReleaseJson(msgspec.Struct, frozen=True, kw_only=True):
    """A release, with what its wheels are and why others are not there."""

    version: Annotated[str, Meta(description="canonical (PEP 440)")]
    released: Annotated[str, Meta(description="upstream; RFC 3339, UTC")]
    requires_python: Annotated[str, Meta(description="'' allows every Python")]
    yanked: Annotated[bool, Meta(description="PEP 592")]
    yanked_reason: Annotated[str, Meta(description="'' if none is given")]
    state: Annotated[
        str, Meta(description="'' when it is built; skipped, quarantined, missing, no-sdist")
    ]
    text: Annotated[str, Meta(description="the same in a sentence")]
    targets: Annotated[dict[str, TargetJson], Meta(description="by target")]
    files: Annotated[tuple[FileJson, ...], Meta(description="its wheels")]


class ProjectJson(msgspec.Struct, frozen=True, kw_only=True):
    """A project: `project/<name>/json`."""

    format: Annotated[int, Meta(description="raised when a field changes or goes")]
    project: Annotated[str, Meta(description="its name, normalised (PEP 503)")]
    display: Annotated[str, Meta(description="as its authors spell it")]
    url: Annotated[str, Meta(description="its page")]
    status: Annotated[str, Meta(description="upstream's (PEP 792): active, archived, ...")]
    status_reason: Annotated[str, Meta(description="upstream's; '' if none is given")]
    skipped: Annotated[str | None, Meta(description="why nothing of it is built")]
    names: Annotated[tuple[str, ...], Meta(description="other names that lead to it")]
    downloads: Annotated[int, Meta(description="of all its wheels, of all time")]
    downloads_30_days: Annotated[int, Meta(description="the same of 30 days, today's included")]
    downloads_by_day: Annotated[
        dict[str, int],
        Meta(description="by date (UTC), the last year; days without any are left out"),
    ]
    upstream_newest: Annotated[
        str | None,
        Meta(description="the upstream index's newest release that is not yanked, if it is known"),
    ]
    upstream_newest_known: Annotated[bool, Meta(description="whether this farm has that release")]
    releases: Annotated[
        tuple[ReleaseJson, ...], Meta(description="those that this farm has, the newest first")
    ]


class StatsJson(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of the farm: `stats.json`. Each chart has its own file below `stats/`."""

    format: Annotated[int, Meta(description="raised when a field changes or goes")]
    downloads: Annotated[int, Meta(description="of all time")]
    downloads_30_days: Annotated[int, Meta(description="of 30 days, today included")]
    downloads_today: Annotated[int, Meta(description="the day is UTC's")]
    record_day: Annotated[int, Meta(description="the most on one day")]
    record_date: Annotated[date | None, Meta(description="that day")]
    since: Annotated[date | None, Meta(description="the first day that is counted")]
    bytes_served: Annotated[int, Meta(description="in downloads, of all time")]
    saved_s: Annotated[float, Meta(description="seconds of building spared to users, of all time")]
    charts: Annotated[
        dict[str, str], Meta(description="a chart's title, and where its figures are")
    ]


class PackagesJson(msgspec.Struct, frozen=True, kw_only=True):
    """Every project: `packages.json`."""

    format: Annotated[int, Meta(description="raised when a field changes or goes")]
    columns: Annotated[tuple[str, ...], Meta(description="what each entry of a project is")]
    projects: Annotated[list[tuple[str, int, int]], Meta(description="by name")]


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
    document = ProjectJson(
        format=FORMAT_VERSION,
        project=facts.project,
        display=facts.display_name,
        url=f"{site.url}project/{filters.url_segment(facts.project)}/",
        status=facts.status,
        status_reason=facts.status_reason,
        skipped=facts.skip_reason,
        names=content.names,
        downloads=content.downloads,
        downloads_30_days=content.downloads_30_days,
        downloads_by_day={item.day.isoformat(): item.downloads for item in content.days},
        upstream_newest=facts.upstream.newest_version if facts.upstream else None,
        upstream_newest_known=facts.upstream is not None and facts.upstream.newest_known,
        releases=tuple(
            _release_json(site, content, release, files.get(release.version, []))
            for release in facts.releases
        ),
    )
    return encode(document)


def encode(document: msgspec.Struct) -> bytes:
    """JSON with a line end, for those who read it in a terminal."""
    return msgspec.json.encode(document) + b"\n"


def _file_json(site: Site, content: ProjectData, file: FileSummary) -> FileJson:
    url = f"{site.url}{filters.wheel_path(file.sha256, file.filename)}"
    return FileJson(
        filename=file.filename,
        url=url,
        sha256=file.sha256,
        size=file.size_bytes,
        tags=file.tags,
        requires_python=file.requires_python,
        debian_packages=file.debian_packages,
        metadata_url=f"{url}.metadata",
        build=file.build_id,
        log_url=f"{site.url}{filters.log_path(file.build_id)}",
        published=formatting.format_rfc3339(file.published_at),
        downloads=content.wheel_downloads.get(file.filename, 0),
    )


def _release_json(
    site: Site, content: ProjectData, release: ReleaseStatusRow, files: list[FileJson]
) -> ReleaseJson:
    found = release_statuses(content.facts, release, content.status_context)
    whole, facts = found.release_blocker, {target.target: target for target in release.targets}
    return ReleaseJson(
        version=release.version,
        released=formatting.format_rfc3339(release.released_at),
        requires_python=release.requires_python,
        yanked=release.yanked is not None,
        yanked_reason=release.yanked or "",
        state=whole.state if whole else "",
        text=whole.text if whole else "",
        targets={
            name: _target_json(site, standing, facts[name])
            for name, standing in found.targets.items()
        },
        files=tuple(files),
    )


def _target_json(site: Site, standing: ReleaseStatus, target: TargetStatusRow) -> TargetJson:
    log = target.last_build_id
    waits = target.queued and target.claimed_by is None and target.retry_at is None
    return TargetJson(
        state=standing.state,
        text=standing.text,
        file=standing.file or None,
        build=standing.build,
        log_url=f"{site.url}{filters.log_path(log)}" if log else None,
        ahead=target.jobs_ahead if waits else None,
    )
