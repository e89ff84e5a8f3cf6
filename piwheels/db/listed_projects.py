"""The upstream's list of all projects: whose pages remain to be read, and batches of new pages."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from piwheels.db import catalog, key_values, upstream
from piwheels.db.database import Database, transactional, transpose_rows
from piwheels.db.rows import to_parameters
from piwheels.db.upstream_wheels import UpstreamWheel, store_upstream_wheels
from piwheels.model import CompatibilityRules, PageCheckResult, Release, Struct, UpstreamPage

_READ_AT_KEY = f"{upstream.LISTING_PREFIX}read-at"
_ETAG_KEY = f"{upstream.LISTING_PREFIX}etag"
_TOTAL_KEY = f"{upstream.LISTING_PREFIX}projects"


class NewProject(Struct, frozen=True, kw_only=True):
    """A project of the list with what its page said, to store."""

    project: str
    display_name: str
    status: str
    status_reason: str
    etag: str
    last_modified: str
    page_serial: int | None
    next_check_in: timedelta
    follow_since: datetime
    releases: tuple[Release, ...]
    page: UpstreamPage
    wheels: tuple[UpstreamWheel, ...] = ()  # that count


class ListingState(Struct, frozen=True, kw_only=True):
    """What was read of the list of projects."""

    is_due: bool  # it was not read yet, or too long ago
    was_read: bool
    etag: str = ""
    total: int = 0  # its projects


async def listing_state(db: Database, max_age: timedelta) -> ListingState:
    """What was read of the list, and whether it is older than `max_age`."""
    values = await key_values.get_values(db, upstream.LISTING_PREFIX)
    is_due = await db.value(
        """
        SELECT %(read_at)s::timestamptz IS NULL
               OR now() NOT BETWEEN %(read_at)s::timestamptz
                                AND %(read_at)s::timestamptz + %(max_age)s
        """,
        {"read_at": values.get("read-at"), "max_age": max_age},
    )
    return ListingState(
        is_due=bool(is_due),
        was_read="read-at" in values,
        etag=values.get("etag", ""),
        total=int(values.get("projects", "0")),
    )


async def count_unread(db: Database) -> int:
    """How many projects of the list have a page that was not read yet."""
    return int(await db.value("SELECT count(*) FROM listed_projects"))


async def has_unread(db: Database) -> bool:
    """Whether the list has a project whose page was not read yet."""
    return bool(await db.value("SELECT EXISTS (SELECT FROM listed_projects)"))


@transactional
async def store_listed(db: Database, projects: Sequence[str], serials: Sequence[int | None]) -> int:
    """Store projects of the list whose pages are to be read; returns how many are new.

    The page of a followed project that the list says has changed is read now.
    """
    facts: dict[str, list[Any]] = {
        "projects": list(projects),
        "serials": [serial or 0 for serial in serials],
    }
    await _recheck_changed(db, facts)
    return await db.execute(
        """
        INSERT INTO listed_projects (project, downloads, serial)
        SELECT listed.project, coalesce(d.downloads, 0), listed.serial
          FROM unnest(%(projects)s::text[], %(serials)s::bigint[]) AS listed (project, serial)
          LEFT JOIN downloads_by_project d ON d.project = listed.project
         WHERE NOT EXISTS (SELECT FROM projects p WHERE p.project = listed.project)
         ORDER BY listed.project
            ON CONFLICT DO NOTHING
        """,
        facts,
    )


async def _recheck_changed(db: Database, facts: dict[str, list[Any]]) -> None:
    rows = await db.rows(
        """
        SELECT p.project
          FROM projects p
          JOIN unnest(%(projects)s::text[], %(serials)s::bigint[]) AS listed (project, serial)
            ON p.project = listed.project AND listed.serial > p.page_serial
         WHERE p.follow_since IS NOT NULL AND p.next_poll_at > now()
        """,
        facts,
    )
    names = [row["project"] for row in rows]
    await catalog.lock_projects(db, names)
    await db.execute(
        "UPDATE projects SET next_poll_at = now() WHERE project = ANY (%(names)s)",
        {"names": names},
    )


@transactional
async def finish_listing(db: Database, *, total: int | None, etag: str, serial: int | None) -> None:
    """Record that the list was read to its end.

    Args:
        db: the connection.
        total: its projects; None: it has not changed.
        etag: its validator.
        serial: from where the changelog has to be read; None leaves that as it is.
    """
    await db.execute(
        """
        INSERT INTO key_values (key, value) VALUES (%(key)s, now()::text)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value
        """,
        {"key": _READ_AT_KEY},
    )
    if total is not None:
        await key_values.set_value(db, _ETAG_KEY, etag)
        await key_values.set_value(db, _TOTAL_KEY, str(total))
    if serial is not None:
        await key_values.set_value(db, upstream.SERIAL_KEY, str(serial))


async def forget_listing_time(db: Database) -> None:
    """Have the list read again: events were not read from its serial on."""
    await key_values.set_value(db, _READ_AT_KEY, None)


async def projects_to_read(db: Database, limit: int, exclude: Sequence[str]) -> list[str]:
    """The next projects of the list whose pages are to be read; drops those that exist meanwhile.

    Args:
        db: the connection.
        limit: how many.
        exclude: projects whose pages are being read.
    """
    rows = await db.rows(
        """
        WITH untried AS (
            SELECT project, downloads, serial FROM listed_projects
             WHERE checks = 0 AND project <> ALL (%(exclude)s)
             ORDER BY downloads DESC, serial DESC, project LIMIT %(limit)s
        ), again AS (
            SELECT project, downloads, serial FROM listed_projects
             WHERE checks > 0 AND next_check_at <= now() AND project <> ALL (%(exclude)s)
             ORDER BY next_check_at LIMIT %(limit)s
        ), next AS (
            SELECT * FROM untried UNION ALL SELECT * FROM again
             ORDER BY downloads DESC, serial DESC, project LIMIT %(limit)s
        ), known AS (
            DELETE FROM listed_projects l USING next, projects p
             WHERE l.project = next.project AND p.project = next.project
        )
        SELECT project FROM next
         WHERE NOT EXISTS (SELECT FROM projects p WHERE p.project = next.project)
         ORDER BY downloads DESC, serial DESC, project
        """,
        {"limit": limit, "exclude": list(exclude)},
    )
    return [row["project"] for row in rows]


async def checks_of(db: Database, project: str) -> int:
    """How often the page of a listed project was read in vain."""
    checks = await db.value(
        "SELECT checks FROM listed_projects WHERE project = %(project)s", {"project": project}
    )
    return int(checks or 0)


async def postpone(db: Database, project: str, problem: str, delay: timedelta) -> None:
    """Read a project's page, which was read in vain, again after a delay."""
    await db.execute(
        """
        UPDATE listed_projects
           SET checks = checks + 1, problem = %(problem)s, next_check_at = now() + %(delay)s
         WHERE project = %(project)s
        """,
        {"project": project, "problem": problem, "delay": delay},
    )


async def drop_listed(db: Database, project: str) -> None:
    """Forget a project of the list that the index does not have."""
    await db.execute(
        "DELETE FROM listed_projects WHERE project = %(project)s", {"project": project}
    )


async def listed_problem(db: Database, project: str) -> str | None:
    """Why the page of a listed project was not read yet, "" if it waits; None: it is not listed."""
    value = await db.value(
        "SELECT problem FROM listed_projects WHERE project = %(project)s", {"project": project}
    )
    return None if value is None else str(value)


async def analyze_filled(db: Database) -> None:
    """Update the planner's statistics: those of an empty database make its plans ten times slower.

    Autovacuum does that a minute later at the earliest.
    """
    await db.execute(
        "ANALYZE projects, releases, jobs, requires_python_specifiers, requires_python_targets"
    )


@transactional
async def store_new_projects(
    db: Database, items: Sequence[NewProject], rules: CompatibilityRules
) -> int:
    """Follow projects of the list with all their releases; returns how many releases were stored.

    They leave the list in the same transaction. One that was added meanwhile stays as it is.
    """
    await catalog.lock_projects(db, [])
    names = [item.project for item in items]
    added = await _insert_projects(db, sorted(items, key=lambda item: item.project))
    new = [item for item in items if item.project in added]
    releases = [release for item in new for release in item.releases]
    count = await catalog.add_releases(db, releases, rules) if releases else 0
    wheels = [wheel for item in new for wheel in item.wheels]
    if wheels:
        await store_upstream_wheels(db, sorted(added), wheels, rules)
    await _insert_pages(db, new)
    await db.execute(
        "DELETE FROM listed_projects WHERE project = ANY (%(names)s)", {"names": names}
    )
    return count


async def _insert_projects(db: Database, items: Sequence[NewProject]) -> set[str]:
    rows = [
        {name: value for name, value in to_parameters(item).items() if name not in _NOT_COLUMNS}
        for item in items
    ]
    added = await db.rows(
        """
        INSERT INTO projects
               (project, display_name, status, status_reason, etag, last_modified, page_serial,
                follow_since, existing_versions, check_result, check_result_count, checked_at,
                next_poll_at)
        SELECT project, display_name, status, status_reason, etag, last_modified, page_serial,
               follow_since, '{}', %(result)s, 1, now(), now() + next_check_in
          FROM unnest(%(project)s::text[], %(display_name)s::text[], %(status)s::text[],
                      %(status_reason)s::text[], %(etag)s::text[], %(last_modified)s::text[],
                      %(page_serial)s::bigint[], %(follow_since)s::timestamptz[],
                      %(next_check_in)s::interval[])
               AS new (project, display_name, status, status_reason, etag, last_modified,
                       page_serial, follow_since, next_check_in)
            ON CONFLICT DO NOTHING
        RETURNING project
        """,
        {**transpose_rows(rows), "result": str(PageCheckResult.UP_TO_DATE)},
    )
    return {row["project"] for row in added}


#: Fields of a new project that are stored in other tables.
_NOT_COLUMNS = frozenset({"releases", "page", "wheels"})


async def _insert_pages(db: Database, items: Sequence[NewProject]) -> None:
    if not items:
        return
    rows = [
        {
            "project": item.project,
            "newest_version": item.page.newest_version,
            "newest_at": item.page.newest_at,
            "newest_has_sdist": item.page.newest_has_sdist,
            "problem_count": item.page.problem_count,
            # unnest() flattens nested arrays; a problem is one line.
            "problems": "\n".join(item.page.problems) if item.page.problems else None,
        }
        for item in items
    ]
    await db.execute(
        """
        INSERT INTO upstream_pages
               (project, newest_version, newest_at, newest_has_sdist, problem_count, problems)
        SELECT project, newest_version, newest_at, newest_has_sdist, problem_count,
               CASE WHEN problems IS NULL THEN '{}'
                    ELSE regexp_split_to_array(problems, E'\\n') END
          FROM unnest(%(project)s::text[], %(newest_version)s::text[],
                      %(newest_at)s::timestamptz[], %(newest_has_sdist)s::boolean[],
                      %(problem_count)s::integer[], %(problems)s::text[])
               AS new (project, newest_version, newest_at, newest_has_sdist, problem_count,
                       problems)
            ON CONFLICT DO NOTHING
        """,
        transpose_rows(rows),
    )
