"""Which pages have to be written.

Whatever changes the content of a page inserts a row into page_invalidations (sql/001_schema.sql).
The processes that write pages merge the rows of their kinds into page_queue, which has one row per
page. A page that becomes outdated again while it is written has another generation, and so is not
lost.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from piwheels.db.database import Database, transactional
from piwheels.db.page_digests import forget_digests
from piwheels.db.row_counts import row_counts
from piwheels.model import Struct


class PageKind(StrEnum):
    """What is written: some kinds have a page per project or alias, others are one page."""

    SIMPLE = "simple"  # a project's index page; "" is the list of all projects
    PROJECT = "project"  # a project's page, JSON and feed
    PROJECTS = "projects"  # all of those
    ALIAS = "alias"  # the redirect from another name of a project
    HOME = "home"
    STATS = "stats"
    SEARCH = "search"
    SITEMAPS = "sitemaps"
    FAILURES = "failures"
    STATIC = "static"


#: Written by the index publisher, by the publisher of project pages, and by that of single pages.
INDEX_PAGE_KINDS = (PageKind.SIMPLE,)
PROJECT_PAGE_KINDS = (PageKind.PROJECT, PageKind.PROJECTS, PageKind.ALIAS)
SINGLE_PAGE_KINDS = tuple(
    kind for kind in PageKind if kind not in {*INDEX_PAGE_KINDS, *PROJECT_PAGE_KINDS}
)

_COLLECT_LIMIT = 20_000


class PageToWrite(Struct, frozen=True, kw_only=True):
    """A page to write."""

    key: str  # the project or alias; "" where the kind has one page
    generation: int
    urgent: bool = False


async def collect_changes(db: Database, kinds: Sequence[PageKind]) -> int:
    """Merge invalidations of these kinds into the queue; returns how many.

    All urgent ones, and so many of the others that it does not take long: their number has no
    bound, and urgent pages do not wait for them.
    """
    collected = 0
    while count := await _collect(db, kinds, "AND urgent"):
        collected += count
        if count < _COLLECT_LIMIT:
            break
    return collected + await _collect(db, kinds, "")


async def _collect(db: Database, kinds: Sequence[PageKind], condition: str) -> int:
    count: int = await db.value(
        f"""
        WITH taken AS (
            DELETE FROM page_invalidations
             WHERE ctid = ANY (ARRAY (
                 SELECT ctid FROM page_invalidations
                  WHERE page_kind = ANY (%(kinds)s) {condition} LIMIT %(limit)s))
            RETURNING page_kind, page_key, urgent, invalidated_at
        ), collected AS (
            INSERT INTO page_queue (page_kind, page_key, urgent, dirty_since)
            SELECT page_kind, page_key, bool_or(urgent), min(invalidated_at)
              FROM taken GROUP BY page_kind, page_key
                ON CONFLICT (page_kind, page_key) DO UPDATE
               SET generation = nextval('page_generations'),
                   urgent = (page_queue.dirty AND page_queue.urgent) OR excluded.urgent,
                   dirty_since = CASE WHEN page_queue.dirty
                                 THEN page_queue.dirty_since ELSE excluded.dirty_since END,
                   retry_at = CASE WHEN NOT excluded.urgent THEN page_queue.retry_at END,
                   dirty = true
        )
        SELECT count(*) FROM taken
        """,  # noqa: S608 - of constants alone
        {"kinds": list(kinds), "limit": _COLLECT_LIMIT},
    )
    return count


async def pages_to_write(
    db: Database, kind: PageKind, limit: int, min_interval: timedelta = timedelta(0)
) -> list[PageToWrite]:
    """Pages of a kind to write now: urgent ones first, then those that have waited longest.

    The list of all projects is not among the index pages: see `single_page_to_write`.

    Args:
        db: the connection.
        kind: which pages.
        limit: how many.
        min_interval: a page is not written again before this has passed.
    """
    rows = await db.rows(
        """
        SELECT page_key AS key, generation, urgent FROM page_queue
         WHERE page_kind = %(kind)s AND dirty AND page_key <> ''
           AND (retry_at IS NULL OR retry_at <= now())
           AND (written_at IS NULL OR written_at + %(min_interval)s <= now())
         ORDER BY urgent DESC, dirty_since LIMIT %(limit)s
        """,
        {"kind": str(kind), "limit": limit, "min_interval": min_interval},
    )
    return [PageToWrite(**row) for row in rows]


async def single_page_to_write(db: Database, kind: PageKind) -> PageToWrite | None:
    """The one page of a kind, if it has to be written."""
    row = await db.row(
        """
        SELECT page_key AS key, generation, urgent FROM page_queue
         WHERE page_kind = %(kind)s AND dirty AND page_key = ''
           AND (retry_at IS NULL OR retry_at <= now())
        """,
        {"kind": str(kind)},
    )
    return PageToWrite(**row) if row else None


async def mark_written(db: Database, kind: PageKind, pages: Sequence[PageToWrite]) -> None:
    """Record that pages were written; one that became outdated meanwhile stays in the queue."""
    await db.execute(
        """
        UPDATE page_queue q
           SET dirty = q.generation <> written.generation,
               urgent = q.urgent AND q.generation <> written.generation,
               written_at = now(), failures = 0, retry_at = NULL
          FROM unnest(%(keys)s::text[], %(generations)s::bigint[]) AS written (key, generation)
         WHERE q.page_kind = %(kind)s AND q.page_key = written.key
        """,
        _page_keys(kind, pages),
    )


async def postpone(db: Database, kind: PageKind, pages: Sequence[PageToWrite]) -> list[str]:
    """Record that pages could not be written: they are retried with a growing delay.

    Returns:
        The keys of those that failed for the first time since they were written.
    """
    rows = await db.rows(
        """
        UPDATE page_queue q
           SET failures = failures + 1,
               urgent = false,
               retry_at = now() + least(power(2, failures), 120) * interval '30 seconds'
          FROM unnest(%(keys)s::text[], %(generations)s::bigint[]) AS failed (key, generation)
         WHERE q.page_kind = %(kind)s AND q.page_key = failed.key
        RETURNING q.page_key, q.failures
        """,
        _page_keys(kind, pages),
    )
    return [row["page_key"] for row in rows if row["failures"] == 1]


def _page_keys(kind: PageKind, pages: Sequence[PageToWrite]) -> dict[str, object]:
    return {
        "kind": str(kind),
        "keys": [page.key for page in pages],
        "generations": [page.generation for page in pages],
    }


async def purge_written(
    db: Database, kinds: Sequence[PageKind], min_interval: timedelta = timedelta(0)
) -> None:
    """Delete rows that are kept only for the interval after writing."""
    await db.execute(
        """
        DELETE FROM page_queue
         WHERE page_kind = ANY (%(kinds)s) AND NOT dirty
           AND written_at + %(min_interval)s <= now()
        """,
        {"kinds": list(kinds), "min_interval": min_interval},
    )


@transactional
async def invalidate_all_projects(db: Database) -> int:
    """Invalidate every project's page if that was requested; returns how many."""
    page = await single_page_to_write(db, PageKind.PROJECTS)
    if page is None:
        return 0
    count = await db.execute(
        """
        INSERT INTO page_invalidations (page_kind, page_key)
        SELECT 'project', project FROM projects
         UNION ALL
        SELECT 'alias', alias FROM project_aliases
        """
    )
    await mark_written(db, PageKind.PROJECTS, [page])
    return count


async def index_pages_pending(db: Database) -> bool:
    """Whether pages of the index, which pip and uv read, have yet to be written."""
    return bool(
        await db.value(
            """
            SELECT EXISTS (
                       SELECT FROM page_queue
                        WHERE page_kind = 'simple' AND dirty AND page_key <> ''
                          AND retry_at IS NULL)
                OR EXISTS (
                       SELECT FROM page_invalidations
                        WHERE page_kind = 'simple' AND page_key <> '')
            """
        )
    )


async def urgent_pages_pending(
    db: Database, kind: PageKind, min_interval: timedelta = timedelta(0)
) -> bool:
    """Whether `pages_to_write` has pages that are urgent."""
    return bool(
        await db.value(
            """
            SELECT EXISTS (
                SELECT FROM page_queue
                 WHERE page_kind = %(kind)s AND dirty AND page_key <> '' AND urgent
                   AND (retry_at IS NULL OR retry_at <= now())
                   AND (written_at IS NULL OR written_at + %(min_interval)s <= now()))
            """,
            {"kind": str(kind), "min_interval": min_interval},
        )
    )


async def request_rewrite(db: Database, kind: PageKind | None, project: str | None) -> int:
    """Have pages written again soon: of a kind, of a project, or all; returns how many."""
    if project is not None:
        kinds = [kind] if kind else [PageKind.SIMPLE, PageKind.PROJECT]
        if PageKind.PROJECT in kinds:
            await forget_digests(db, [project])
        for one in kinds:
            await invalidate(db, one, [project], urgent=True)
            await _end_interval(db, one, project)
        return len(kinds)
    if kind in {None, PageKind.PROJECTS}:
        await forget_digests(db)
    count = 0
    for one in [kind] if kind else list(PageKind):
        if one is PageKind.SIMPLE:
            count += await _invalidate_index(db)
        elif one not in {PageKind.PROJECT, PageKind.ALIAS}:
            await invalidate(db, one, [""], urgent=True)
            count += await _page_count(db, one)
    return count


async def _end_interval(db: Database, kind: PageKind, key: str) -> None:
    """Let a page be written at once, however recently it was."""
    await db.execute(
        """
        UPDATE page_queue SET written_at = NULL
         WHERE page_kind = %(kind)s AND page_key = %(key)s
        """,
        {"kind": str(kind), "key": key},
    )


async def invalidate(
    db: Database, kind: PageKind, keys: Sequence[str], *, urgent: bool = False
) -> None:
    """Record that pages of a kind are outdated."""
    await db.execute(
        "SELECT invalidate_pages(%(kind)s, %(keys)s::text[], %(urgent)s)",
        {"kind": str(kind), "keys": list(keys), "urgent": urgent},
    )


async def _invalidate_index(db: Database) -> int:
    row = await db.row(
        """
        SELECT count(*) AS count,
               invalidate_pages('simple', array_agg(project) || ''::text) AS invalidated
          FROM (SELECT DISTINCT project FROM files) p
        """
    )
    return row["count"] + 1 if row else 0


async def _page_count(db: Database, kind: PageKind) -> int:
    if kind is not PageKind.PROJECTS:
        return 1
    return (await row_counts(db)).total("projects")


async def pending_page_count(db: Database, kinds: Sequence[PageKind] = tuple(PageKind)) -> int:
    """How many pages of these kinds have to be written; repeated invalidations count twice.

    Of invalidations that were not collected yet, _COLLECT_LIMIT are counted at most.
    """
    collected = (await row_counts(db)).numbers
    uncollected: int = await db.value(
        """
        SELECT count(*) FROM (
            SELECT FROM page_invalidations WHERE page_kind = ANY (%(kinds)s) LIMIT %(limit)s) p
        """,
        {"kinds": list(kinds), "limit": _COLLECT_LIMIT},
    )
    return uncollected + sum(collected["page_queue", kind, ""] for kind in kinds)


async def oldest_index_page(db: Database) -> datetime | None:
    """Since when a page of the index has waited for being written; None when none does.

    The list of all projects is left out: it is written at intervals.
    """
    oldest: datetime | None = await db.value(
        """
        SELECT least(
            (SELECT dirty_since FROM page_queue
              WHERE dirty AND page_kind = 'simple' AND urgent AND page_key <> ''
              ORDER BY dirty_since LIMIT 1),
            (SELECT dirty_since FROM page_queue
              WHERE dirty AND page_kind = 'simple' AND NOT urgent AND page_key <> ''
              ORDER BY dirty_since LIMIT 1),
            (SELECT min(invalidated_at) FROM (
                SELECT invalidated_at FROM page_invalidations
                 WHERE page_kind = 'simple' AND page_key <> '' LIMIT %(limit)s) p))
        """,
        {"limit": _COLLECT_LIMIT},
    )
    return oldest
