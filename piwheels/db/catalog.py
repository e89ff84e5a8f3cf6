"""Projects and releases.

Functions that change releases or files take the locks of a writer first (lock_projects() in
sql/001_schema.sql); the triggers there update jobs and page invalidations.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from piwheels.db.database import Database, transactional, transpose_rows
from piwheels.db.rows import to_parameters
from piwheels.db.target_queries import add_specifiers
from piwheels.model import CompatibilityRules, ProjectStatus, Release, Sdist, Struct


class StoredRelease(Struct, frozen=True, kw_only=True):
    """A stored release, to compare with upstream."""

    version: str
    has_sdist: bool
    yanked: str | None
    skip_reason: str | None
    hidden: bool  # the upstream page does not list it


class FileWithTags(Struct, frozen=True, kw_only=True):
    """A published file that differs from others with the same tags by its build tag."""

    filename: str
    build_tag: int
    glibc: str  # what its ELF files need; "" for none


class ListingChanges(Struct, frozen=True, kw_only=True):
    """Versions that were hidden, and shown again, by an update from an upstream page."""

    hidden: tuple[str, ...]
    shown: tuple[str, ...]


async def lock_projects(db: Database, projects: Sequence[str]) -> set[str]:
    """Take the locks of a writer that changes these projects; within a transaction.

    Returns:
        Those that exist, and are locked.
    """
    rows = await db.rows(
        "SELECT * FROM lock_projects(%(names)s::text[]) AS locked (project)",
        {"names": sorted(set(projects))},
    )
    return {row["project"] for row in rows}


async def add_project(
    db: Database,
    project: str,
    display_name: str,
    *,
    follow_since: datetime | None = None,
    existing: Sequence[str] | None = None,
    named: bool = True,
) -> bool:
    """Add a project, and follow its new releases: see upstream.selection.is_new().

    Args:
        db: the connection.
        project: its normalized name.
        display_name: its name as upstream spells it.
        follow_since: releases uploaded before are not new; None does not follow it.
        existing: versions that upstream has already, which are not new either.
        named: an operator named it, so that its jobs come first.

    Returns:
        Whether it is new. A project that is already followed keeps its `follow_since` and
        `existing`; its page is checked again.
    """
    row = await db.row(
        """
        INSERT INTO projects (project, display_name, follow_since, existing_versions, is_named)
        VALUES (%(project)s, %(display)s, %(since)s, %(existing)s, %(named)s)
            ON CONFLICT (project) DO UPDATE
           SET display_name = excluded.display_name,
               is_named = projects.is_named OR excluded.is_named,
               follow_since = coalesce(projects.follow_since, excluded.follow_since),
               existing_versions = CASE WHEN projects.follow_since IS NULL
                               THEN excluded.existing_versions ELSE projects.existing_versions END,
               next_poll_at = now(), etag = '', last_modified = ''
        RETURNING xmax = 0 AS added
        """,
        {
            "project": project,
            "display": display_name,
            "since": follow_since,
            "named": named,
            "existing": None if existing is None else list(existing),
        },
    )
    return bool(row and row["added"])


async def existing_projects(db: Database, projects: Sequence[str]) -> set[str]:
    """Which of these projects the farm has."""
    rows = await db.rows(
        "SELECT project FROM projects WHERE project = ANY (%(names)s)", {"names": list(projects)}
    )
    return {row["project"] for row in rows}


async def next_projects(db: Database, after: str, limit: int) -> list[str]:
    """The projects that follow a name, in order; [] at the end."""
    rows = await db.rows(
        """
        SELECT project FROM projects WHERE project > %(after)s ORDER BY project LIMIT %(limit)s
        """,
        {"after": after, "limit": limit},
    )
    return [row["project"] for row in rows]


async def stored_releases(db: Database, project: str) -> list[StoredRelease]:
    """The stored releases of a project."""
    rows = await db.rows(
        """
        SELECT version, sdist_url IS NOT NULL AS has_sdist, yanked, skip_reason,
               missing_since IS NOT NULL AS hidden
          FROM releases WHERE project = %(project)s ORDER BY version
        """,
        {"project": project},
    )
    return [StoredRelease(**row) for row in rows]


@transactional
async def add_releases(db: Database, releases: Sequence[Release], rules: CompatibilityRules) -> int:
    """Add or update releases of existing projects.

    A release keeps its sdist if upstream now lists none, and its hash if upstream now gives none
    for the same file. Another sdist under the same name makes the release's wheels outdated: they
    stay published until new ones are built. Releases of removed projects are skipped. None was
    released later than now.

    Returns:
        How many were new or changed.
    """
    there = await lock_projects(db, [release.project for release in releases])
    rows = [_release_row(release) for release in releases if release.project in there]
    if not rows:
        return 0
    await add_specifiers(db, sorted({row["requires_python"] for row in rows}), rules)
    return await db.execute(
        """
        INSERT INTO releases
               (project, version, released_at, requires_python, yanked,
                sdist_filename, sdist_url, sdist_sha256, sdist_size, sdist_digest)
        SELECT project, version, least(released_at, now()), requires_python, yanked,
               sdist_filename, sdist_url, sdist_sha256, sdist_size, sdist_digest
          FROM unnest(%(project)s::text[], %(version)s::text[],
                      %(released_at)s::timestamptz[], %(requires_python)s::text[],
                      %(yanked)s::text[], %(sdist_filename)s::text[], %(sdist_url)s::text[],
                      %(sdist_sha256)s::text[], %(sdist_size_bytes)s::bigint[],
                      %(sdist_digest)s::text[])
               AS new (project, version, released_at, requires_python, yanked, sdist_filename,
                       sdist_url, sdist_sha256, sdist_size, sdist_digest)
            ON CONFLICT (project, version) DO UPDATE
           SET requires_python = excluded.requires_python,
               yanked = excluded.yanked,
               (sdist_filename, sdist_url, sdist_sha256, sdist_size, sdist_digest)
                   = (SELECT * FROM merge_sdist(releases, excluded)),
               sdist_replaced_at = CASE WHEN is_sdist_replaced(releases, excluded)
                                   THEN now() ELSE releases.sdist_replaced_at END,
               sdist_replaced_build_id = CASE WHEN is_sdist_replaced(releases, excluded)
                                      THEN nextval('build_ids')
                                      ELSE releases.sdist_replaced_build_id END
         WHERE (releases.requires_python, releases.yanked)
               IS DISTINCT FROM (excluded.requires_python, excluded.yanked)
            OR (SELECT (releases.sdist_filename, releases.sdist_url, releases.sdist_sha256,
                        releases.sdist_size, releases.sdist_digest) IS DISTINCT FROM
                       (k.filename, k.url, k.sha256, k.size, k.digest)
                  FROM merge_sdist(releases, excluded) k)
        """,
        transpose_rows(rows),
    )


def _release_row(release: Release) -> dict[str, Any]:
    sdist = {name: getattr(release.sdist, name, None) for name in Sdist.__struct_fields__}
    for hash_name in ("sha256", "digest"):
        sdist[hash_name] = sdist[hash_name] or None
    return to_parameters(release) | {f"sdist_{name}": value for name, value in sdist.items()}


async def set_project_status(
    db: Database, project: str, status: ProjectStatus, reason: str = ""
) -> bool:
    """Store a project's status (PEP 792); files of a quarantined project leave its page."""
    return await _change_project(
        db,
        """
        UPDATE projects SET status = %(status)s, status_reason = %(reason)s
         WHERE project = %(project)s
           AND (status, status_reason) IS DISTINCT FROM (%(status)s, %(reason)s)
        """,
        project,
        status=str(status),
        reason=reason,
    )


@transactional
async def update_listed_releases(
    db: Database, project: str, listed: Sequence[str]
) -> ListingChanges:
    """Hide the releases that the upstream page does not list, and show those that it lists again.

    Nothing is deleted. A release without an sdist was not built from upstream, and stays.

    Args:
        db: the connection.
        project: its normalized name.
        listed: the versions that the page lists.
    """
    await lock_projects(db, [project])
    rows = await db.rows(
        """
        UPDATE releases
           SET missing_since = CASE WHEN version = ANY (%(listed)s) THEN NULL ELSE now() END,
               removed_at = NULL
         WHERE project = %(project)s
           AND sdist_url IS NOT NULL
           AND (missing_since IS NULL) <> (version = ANY (%(listed)s))
        RETURNING version, missing_since IS NOT NULL AS hidden
        """,
        {"project": project, "listed": list(listed)},
    )
    if rows:
        # The list of all projects has only those with listed files.
        await db.execute("SELECT invalidate_pages('simple', ARRAY[''])")
    return ListingChanges(
        hidden=tuple(sorted(row["version"] for row in rows if row["hidden"])),
        shown=tuple(sorted(row["version"] for row in rows if not row["hidden"])),
    )


async def skip_project(db: Database, project: str, reason: str | None) -> bool:
    """Do not build a project, or build it again if the reason is None."""
    return await _change_project(
        db,
        """
        UPDATE projects SET skip_reason = %(reason)s
         WHERE project = %(project)s AND skip_reason IS DISTINCT FROM %(reason)s
        """,
        project,
        reason=reason,
    )


async def skip_release(db: Database, project: str, version: str, reason: str | None) -> bool:
    """Do not build a release, or build it again if the reason is None."""
    return await _change_project(
        db,
        """
        UPDATE releases SET skip_reason = %(reason)s
         WHERE project = %(project)s AND version = %(version)s
           AND skip_reason IS DISTINCT FROM %(reason)s
        """,
        project,
        version=version,
        reason=reason,
    )


async def skip_for_target(
    db: Database, project: str, version: str | None, target: str, reason: str | None
) -> bool:
    """Do not build a release for one target, or build it again if the reason is None.

    Args:
        db: the connection.
        project: its normalized name.
        version: the release; None is every release of the project.
        target: the target's name.
        reason: why; None removes the skip of exactly this version, or of exactly all versions.

    Returns:
        Whether anything changed; also False if there is no such release or target.
    """
    facts = {"version": version or "", "target": target, "reason": reason}
    if reason is None:
        return await _change_project(
            db,
            """
            DELETE FROM target_skips
             WHERE project = %(project)s AND version = %(version)s AND target = %(target)s
            """,
            project,
            **facts,
        )
    return await _change_project(
        db,
        """
        INSERT INTO target_skips (project, version, target, reason)
        SELECT p.project, %(version)s, t.target, %(reason)s
          FROM projects p
         CROSS JOIN targets t
         WHERE p.project = %(project)s AND t.target = %(target)s
           AND (%(version)s = '' OR EXISTS (
               SELECT FROM releases r
                WHERE r.project = p.project AND r.version = %(version)s))
            ON CONFLICT (project, target, version) DO UPDATE SET reason = excluded.reason
         WHERE target_skips.reason <> excluded.reason
        """,
        project,
        **facts,
    )


async def remove_release(db: Database, project: str, version: str) -> bool:
    """Delete a release with its builds and files; the files leave the page, then the web root.

    The upstream page still lists it, but it does not become a new release by that.
    """
    return await _change_project(
        db,
        """
        WITH noted AS (
            UPDATE projects SET existing_versions = array_append(existing_versions, %(version)s)
             WHERE project = %(project)s
               AND existing_versions IS NOT NULL AND NOT %(version)s = ANY (existing_versions)
        )
        DELETE FROM releases WHERE project = %(project)s AND version = %(version)s
        """,
        project,
        version=version,
    )


async def remove_project(db: Database, project: str) -> bool:
    """Delete a project with its releases, builds and files."""
    return await _change_project(db, "DELETE FROM projects WHERE project = %(project)s", project)


@transactional
async def _change_project(
    db: Database, /, statement: str, project: str, **facts: str | None
) -> bool:
    """Whether a statement changed anything; it runs with the locks of a writer."""
    await lock_projects(db, [project])
    return await db.execute(statement, {"project": project, **facts}) > 0


async def files_with_tags(
    db: Database, project: str, version: str, tags: str
) -> list[FileWithTags]:
    """The published files of a release with exactly these tags (PEP 425).

    Without those from builders without a compiler: better ones replace them in the index.
    """
    rows = await db.rows(
        """
        SELECT f.filename, f.build_tag, k.glibc
          FROM files f
          JOIN wheel_compatibilities k ON k.compatibility_id = f.compatibility_id
          JOIN builds b ON b.build_id = f.build_id
         WHERE f.project = %(project)s AND f.version = %(version)s AND k.tags = %(tags)s
           AND NOT b.without_compiler
        """,
        {"project": project, "version": version, "tags": tags},
    )
    return [FileWithTags(**row) for row in rows]


async def reserve_filename(db: Database, filename: str, sha256: str) -> bool:
    """Reserve a file name for this content permanently; False if it belongs to another."""
    held = await db.value(
        """
        INSERT INTO reserved_filenames (filename, sha256) VALUES (%(filename)s, %(sha256)s)
            ON CONFLICT (filename) DO UPDATE SET sha256 = reserved_filenames.sha256
        RETURNING sha256
        """,
        {"filename": filename, "sha256": sha256},
    )
    return bool(held == sha256)
