"""JSON in the format of piwheels.org, as its site documents it, so that tools for it keep working.

`project/<name>/json` is an object with the releases by version and their files by name, and
`packages.json` a list of rows by position. `json_documents` has this farm's own, versioned format.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC

import msgspec

from piwheels.model import FileSummary, ProjectStatusRow, ReleaseStatusRow
from piwheels.website import filters, json_rows
from piwheels.website.page_data import ProjectData, Site
from piwheels.website.release_matrix import is_prerelease


class CompatibleFile(msgspec.Struct, frozen=True, kw_only=True):
    """A wheel."""

    filesize: int
    filehash: str  # SHA-256
    apt_dependencies: tuple[str, ...]
    platform: str  # of its tags: linux_armv7l
    builder_abi: str  # of the target that it was built for: cp311
    file_abi_tag: str  # of its tags: cp311, abi3, none


class CompatibleRelease(msgspec.Struct, frozen=True, kw_only=True):
    """A release."""

    skip_reason: str
    prerelease: bool
    released: str  # YYYY-MM-DD HH:MM:SS, UTC
    yanked: bool
    files: dict[str, CompatibleFile]  # by name


class CompatibleProject(msgspec.Struct, frozen=True, kw_only=True):
    """A project."""

    package: str
    summary: str
    pypi_url: str
    piwheels_url: str
    releases: dict[str, CompatibleRelease]  # by version, the newest first


def project_json(site: Site, content: ProjectData) -> bytes:
    """`project/<name>/json`."""
    facts = content.facts
    files: dict[str, list[FileSummary]] = {}
    for file in content.files:
        files.setdefault(file.version, []).append(file)
    name = filters.url_segment(facts.project)
    document = CompatibleProject(
        package=facts.project,
        summary=content.metadata.summary,
        pypi_url=site.upstream_page(facts.project),
        piwheels_url=f"{site.url}project/{name}/",
        releases={
            release.version: _release(facts, release, files.get(release.version, ()))
            for release in facts.releases
        },
    )
    return msgspec.json.encode(document) + b"\n"


def packages_json(projects: Iterable[tuple[str, int, int]]) -> bytes:
    """`packages.json`: rows of name, recent downloads and all downloads."""
    return json_rows.encode_rows(b"[", projects, b"]\n")


def _release(
    facts: ProjectStatusRow, release: ReleaseStatusRow, files: Sequence[FileSummary]
) -> CompatibleRelease:
    no_sdist = "" if release.has_sdist else "no source"
    return CompatibleRelease(
        skip_reason=release.skip_reason or facts.skip_reason or no_sdist,
        prerelease=is_prerelease(release.version),
        released=f"{release.released_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        yanked=release.yanked is not None,
        files={file.filename: _file(file) for file in files},
    )


def _file(file: FileSummary) -> CompatibleFile:
    python, abi, platform = (*file.tags.split("-", 2), "", "")[:3]
    built_for = "" if file.mirrored_from else file.built_for.partition("-")[0]
    return CompatibleFile(
        filesize=file.size_bytes,
        filehash=file.sha256,
        apt_dependencies=file.debian_packages,
        platform=platform,
        builder_abi=built_for or python,
        file_abi_tag=abi,
    )
