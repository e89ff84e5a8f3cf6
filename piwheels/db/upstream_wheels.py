"""Wheels of the upstream index that make builds unnecessary (policies `missing` and `mirror`)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from piwheels.db import key_values
from piwheels.db.catalog import lock_projects
from piwheels.db.database import Database, transactional, transpose_rows
from piwheels.db.rows import to_parameters
from piwheels.db.target_queries import add_compatibility, add_specifiers
from piwheels.model import CompatibilityRules, Struct, UpstreamWheelPolicy, WheelCompatibility

#: Whether wheels of upstream count, as the stored ones were chosen.
_POLICY_KEY = "upstream/wheels"


class MirrorSource(Struct, frozen=True, kw_only=True):
    """Where a wheel is mirrored from, and what its page says of it."""

    url: str
    sha256: str  # "" if the page gives none
    size_bytes: int | None  # None if the page gives none
    uploaded_at: datetime | None  # None if the page gives none
    attestations_url: str  # PEP 740; "" for none


class UpstreamWheel(Struct, frozen=True, kw_only=True):
    """A wheel that the upstream index lists, and that is not yanked."""

    project: str
    version: str
    filename: str
    compatibility: WheelCompatibility
    requires_python: str
    source: MirrorSource | None = None  # None: it is not mirrored


class ListedWheel(Struct, frozen=True, kw_only=True):
    """A wheel of any kind, as its project's page lists it now."""

    filename: str
    sha256: str  # "" if the page gives none
    yanked: str | None
    uploaded_at: datetime | None
    attestations_url: str


class WheelChanges(Struct, frozen=True, kw_only=True):
    """How many wheels of upstream count now that did not before, and the reverse."""

    added: int
    removed: int


@transactional
async def store_upstream_wheels(
    db: Database,
    projects: Sequence[str],
    wheels: Sequence[UpstreamWheel],
    rules: CompatibilityRules,
) -> WheelChanges:
    """Make these the wheels of the projects that count; those of unknown releases are left out.

    Their targets are no longer built; those of wheels that do not count any more are built again.
    """
    await lock_projects(db, projects)
    wheels = await _of_known_releases(db, projects, wheels)
    for compatibility in await _unknown_compatibilities(db, wheels):
        await add_compatibility(db, compatibility, rules)
    await add_specifiers(db, sorted({wheel.requires_python for wheel in wheels}), rules)
    rows: list[dict[str, Any]] = [
        {
            "project": wheel.project,
            "version": wheel.version,
            "filename": wheel.filename,
            "compatibility_id": wheel.compatibility.identifier,
            "requires_python": wheel.requires_python,
        }
        for wheel in wheels
    ]
    removed = await _delete_others(db, projects, rows)
    added = await _insert(db, rows) if rows else 0
    await _store_sources(db, projects, wheels)
    return WheelChanges(added=added, removed=removed)


async def _of_known_releases(
    db: Database, projects: Sequence[str], wheels: Sequence[UpstreamWheel]
) -> list[UpstreamWheel]:
    if not wheels:
        return []
    rows = await db.rows(
        "SELECT project, version FROM releases WHERE project = ANY (%(projects)s)",
        {"projects": list(projects)},
    )
    known = {(row["project"], row["version"]) for row in rows}
    return [wheel for wheel in wheels if (wheel.project, wheel.version) in known]


async def _unknown_compatibilities(
    db: Database, wheels: Sequence[UpstreamWheel]
) -> list[WheelCompatibility]:
    found = {wheel.compatibility.identifier: wheel.compatibility for wheel in wheels}
    rows = await db.rows(
        """
        SELECT compatibility_id FROM wheel_compatibilities
         WHERE compatibility_id = ANY (%(identifiers)s)
        """,
        {"identifiers": list(found)},
    )
    known = {row["compatibility_id"] for row in rows}
    return [found[identifier] for identifier in sorted(found.keys() - known)]


async def _delete_others(
    db: Database, projects: Sequence[str], rows: Sequence[dict[str, Any]]
) -> int:
    return await db.execute(
        """
        DELETE FROM upstream_wheels w
         WHERE w.project = ANY (%(projects)s)
           AND (w.project, w.version, w.filename, w.compatibility_id, w.requires_python) NOT IN (
               SELECT * FROM unnest(%(project)s::text[], %(version)s::text[], %(filename)s::text[],
                                    %(compatibility_id)s::text[], %(requires_python)s::text[]))
        """,
        {"projects": list(projects), **(transpose_rows(rows) or _NO_ROWS)},
    )


_NO_ROWS: dict[str, list[Any]] = {
    name: [] for name in ("project", "version", "filename", "compatibility_id", "requires_python")
}


async def _insert(db: Database, rows: Sequence[dict[str, Any]]) -> int:
    return await db.execute(
        """
        INSERT INTO upstream_wheels (project, version, filename, compatibility_id, requires_python)
        SELECT * FROM unnest(%(project)s::text[], %(version)s::text[], %(filename)s::text[],
                             %(compatibility_id)s::text[], %(requires_python)s::text[])
            ON CONFLICT DO NOTHING
        """,
        transpose_rows(rows),
    )


async def _store_sources(
    db: Database, projects: Sequence[str], wheels: Sequence[UpstreamWheel]
) -> None:
    """Make these the wheels to mirror; one with other content is looked at again."""
    mirrored = [wheel for wheel in wheels if wheel.source is not None]
    await db.execute(
        """
        DELETE FROM wheels_to_mirror
         WHERE project = ANY (%(projects)s) AND filename <> ALL (%(filenames)s)
        """,
        {"projects": list(projects), "filenames": [wheel.filename for wheel in mirrored]},
    )
    if not mirrored:
        return
    await db.execute(
        """
        INSERT INTO wheels_to_mirror AS old (project, version, filename, url, sha256, size_bytes,
                                             uploaded_at, attestations_url)
        SELECT * FROM unnest(%(project)s::text[], %(version)s::text[], %(filename)s::text[],
                             %(url)s::text[], %(sha256)s::text[], %(size_bytes)s::bigint[],
                             %(uploaded_at)s::timestamptz[], %(attestations_url)s::text[])
            ON CONFLICT (project, version, filename) DO UPDATE
           SET url = excluded.url, sha256 = excluded.sha256, size_bytes = excluded.size_bytes,
               uploaded_at = excluded.uploaded_at, attestations_url = excluded.attestations_url,
               next_check_at = now(), attempts = 0, problem = '', refused = false
         WHERE (old.url, old.sha256, old.size_bytes, old.attestations_url)
               IS DISTINCT FROM (excluded.url, excluded.sha256, excluded.size_bytes,
                                 excluded.attestations_url)
        """,
        transpose_rows([to_parameters(wheel, wheel.source) for wheel in mirrored if wheel.source]),
    )


async def policy_of(
    db: Database, project: str, farm_policy: UpstreamWheelPolicy
) -> UpstreamWheelPolicy:
    """The policy that holds for a project: its own, or else the farm's.

    Called by a writer of its wheels that holds the lock of the project, so that it does not change.
    """
    own = await db.value(
        "SELECT upstream_wheel_policy FROM projects WHERE project = %(project)s",
        {"project": project},
    )
    return UpstreamWheelPolicy(own) if own is not None else farm_policy


@transactional
async def set_project_policy(
    db: Database,
    project: str,
    policy: UpstreamWheelPolicy | None,
    wheels: Sequence[UpstreamWheel],
    rules: CompatibilityRules,
) -> WheelChanges | None:
    """Give a project a policy of its own, or the farm's again (None).

    Args:
        db: the connection.
        project: its normalized name.
        policy: the policy.
        wheels: of upstream that count from now on.
        rules: for tags and specifiers.

    Returns:
        How many wheels count now that did not before; None without such a project.
    """
    if not await lock_projects(db, [project]):
        return None
    await db.execute(
        "UPDATE projects SET upstream_wheel_policy = %(policy)s WHERE project = %(project)s",
        {"project": project, "policy": policy and str(policy)},
    )
    return await store_upstream_wheels(db, [project], wheels, rules)


@transactional
async def set_policy(db: Database, policy: str, former: str) -> bool:
    """Store the farm's policy; if it changed, have every followed project's page read again.

    Args:
        db: the connection.
        policy: of the configuration.
        former: of a farm that has stored none.

    Returns:
        Whether it changed.
    """
    known = await key_values.get_value(db, _POLICY_KEY)
    if (known or former) == policy:
        return False
    await key_values.set_value(db, _POLICY_KEY, policy)
    await lock_projects(db, await _followed(db))
    await db.execute(
        """
        UPDATE projects SET next_poll_at = now(), etag = '', last_modified = ''
         WHERE follow_since IS NOT NULL
        """
    )
    return True


async def _followed(db: Database) -> list[str]:
    rows = await db.rows("SELECT project FROM projects WHERE follow_since IS NOT NULL")
    return [row["project"] for row in rows]
