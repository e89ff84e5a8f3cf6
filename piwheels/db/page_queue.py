"""Which pages have to be written, and what index pages say.

Whoever changes something notes it in page_changes (sql/004_pages.sql); the duties that write
pages gather the notes of their parts into stale_pages, where each page stands once. A page that
becomes stale again while it is written has another generation, and so is not lost.
"""

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache

from packaging.version import InvalidVersion, Version

from piwheels.db.database import Database
from piwheels.model import IndexEntry, IndexPage, ProjectStatus, Struct


class PageKind(StrEnum):
    """What can be stale; parts that have a page for each name, and parts that are one."""

    SIMPLE = "simple"  # a project's index page; "" is the listing of all projects
    PROJECT = "project"  # a project's page, JSON and feed
    PROJECTS = "projects"  # all of those
    ALIAS = "alias"  # where another name of a project leads
    HOME = "home"
    STATS = "stats"
    SEARCH = "search"
    SITEMAPS = "sitemaps"
    FAILURES = "failures"
    STATIC = "static"


#: Parts that the duty of the index writes; the rest is the site's.
INDEX_PAGE_KINDS = (PageKind.SIMPLE,)
WEBSITE_PAGE_KINDS = tuple(part for part in PageKind if part not in INDEX_PAGE_KINDS)

_COLLECT_LIMIT = 20_000


class PageToWrite(Struct, frozen=True, kw_only=True):
    """A page to write."""

    name: str
    generation: int


class FileDeletion(Struct, frozen=True, kw_only=True):
    """A file that no page names any more and that still lies in the tree."""

    filename: str
    sha256: str


# --- what is stale -----------------------------------------------------------------------


async def collect_changes(db: Database, kinds: Sequence[PageKind]) -> int:
    """Take in what was noted of these parts; returns how many notes there were."""
    gathered = 0
    while True:
        count: int = await db.value(
            """
            WITH taken AS (
                DELETE FROM page_changes
                 WHERE ctid = ANY (ARRAY (
                     SELECT ctid FROM page_changes
                      WHERE part = ANY (%(parts)s) LIMIT %(limit)s))
                RETURNING part, name, urgent, at
            ), gathered AS (
                INSERT INTO stale_pages (part, name, urgent, since)
                SELECT part, name, bool_or(urgent), min(at)
                  FROM taken GROUP BY part, name
                    ON CONFLICT (part, name) DO UPDATE
                   SET generation = nextval('page_generations'),
                       urgent = (stale_pages.stale AND stale_pages.urgent) OR excluded.urgent,
                       since = CASE WHEN stale_pages.stale
                                    THEN stale_pages.since ELSE excluded.since END,
                       retry_at = CASE WHEN NOT excluded.urgent THEN stale_pages.retry_at END,
                       stale = true
            )
            SELECT count(*) FROM taken
            """,
            {"parts": list(kinds), "limit": _COLLECT_LIMIT},
        )
        gathered += count
        if count < _COLLECT_LIMIT:
            return gathered


async def pages_to_write(
    db: Database, kind: PageKind, limit: int, min_interval: timedelta = timedelta(0)
) -> list[PageToWrite]:
    """Pages of a part to write now, urgent ones first, then the longest stale.

    The listing of all projects is not among the index pages: see `stale_single`.

    Args:
        db: the connection.
        kind: which pages.
        limit: how many.
        min_interval: a page that is not urgent is left alone for so long after it was written.
    """
    rows = await db.rows(
        """
        SELECT name, generation FROM stale_pages
         WHERE part = %(part)s AND stale AND name <> ''
           AND (retry_at IS NULL OR retry_at <= now())
           AND (urgent OR written_at IS NULL OR written_at + %(pause)s <= now())
         ORDER BY urgent DESC, since LIMIT %(limit)s
        """,
        {"part": str(kind), "limit": limit, "pause": min_interval},
    )
    return [PageToWrite(**row) for row in rows]


async def single_page_to_write(db: Database, kind: PageKind) -> PageToWrite | None:
    """The one page of a part, if it has to be written."""
    row = await db.row(
        """
        SELECT name, generation FROM stale_pages
         WHERE part = %(part)s AND stale AND name = ''
           AND (retry_at IS NULL OR retry_at <= now())
        """,
        {"part": str(kind)},
    )
    return PageToWrite(**row) if row else None


async def mark_written(db: Database, kind: PageKind, pages: Sequence[PageToWrite]) -> None:
    """Note that pages lie in the tree; one that became stale meanwhile stays on the list."""
    await db.execute(
        """
        UPDATE stale_pages s
           SET stale = s.generation <> written.generation,
               urgent = s.urgent AND s.generation <> written.generation,
               written_at = now(), failures = 0, retry_at = NULL
          FROM unnest(%(names)s::text[], %(generations)s::bigint[]) AS written (name, generation)
         WHERE s.part = %(part)s AND s.name = written.name
        """,
        _page_keys(kind, pages),
    )


async def postpone(db: Database, kind: PageKind, pages: Sequence[PageToWrite]) -> list[str]:
    """Note that pages could not be written: they are tried again, later each time.

    Returns:
        Those that had not failed since they were written last.
    """
    rows = await db.rows(
        """
        UPDATE stale_pages s
           SET failures = failures + 1,
               urgent = false,
               retry_at = now() + least(power(2, failures), 120) * interval '30 seconds'
          FROM unnest(%(names)s::text[], %(generations)s::bigint[]) AS written (name, generation)
         WHERE s.part = %(part)s AND s.name = written.name
        RETURNING s.name, s.failures
        """,
        _page_keys(kind, pages),
    )
    return [row["name"] for row in rows if row["failures"] == 1]


def _page_keys(kind: PageKind, pages: Sequence[PageToWrite]) -> dict[str, object]:
    return {
        "part": str(kind),
        "names": [page.name for page in pages],
        "generations": [page.generation for page in pages],
    }


async def purge_written(
    db: Database, kinds: Sequence[PageKind], min_interval: timedelta = timedelta(0)
) -> None:
    """Drop what is only remembered for the pause after writing."""
    await db.execute(
        """
        DELETE FROM stale_pages
         WHERE part = ANY (%(parts)s) AND NOT stale AND written_at + %(pause)s <= now()
        """,
        {"parts": list(kinds), "pause": min_interval},
    )


async def invalidate_all_projects(db: Database) -> int:
    """Make every project's page stale if that was asked for; returns how many."""
    page = await single_page_to_write(db, PageKind.PROJECTS)
    if page is None:
        return 0
    async with db.transaction():
        count = await db.execute(
            """
            INSERT INTO page_changes (part, name)
            SELECT %(part)s, project FROM projects
             UNION ALL
            SELECT %(alias)s, name FROM project_names
            """,
            {"part": str(PageKind.PROJECT), "alias": str(PageKind.ALIAS)},
        )
        await mark_written(db, PageKind.PROJECTS, [page])
    return count


async def index_pages_pending(db: Database) -> bool:
    """Whether pages of the index, which pip and uv read, are still to be written."""
    return bool(
        await db.value(
            """
            SELECT EXISTS (
                       SELECT FROM stale_pages
                        WHERE part = %(part)s AND stale AND name <> '' AND retry_at IS NULL)
                OR EXISTS (SELECT FROM page_changes WHERE part = %(part)s AND name <> '')
            """,
            {"part": str(PageKind.SIMPLE)},
        )
    )


async def request_rewrite(db: Database, kind: PageKind | None, project: str | None) -> int:
    """Have pages written again, soon: of a part, of a project, or all; returns how many."""
    if project is not None:
        parts = [kind] if kind else [PageKind.SIMPLE, PageKind.PROJECT]
        for one in parts:
            await invalidate(db, one, [project], urgent=True)
        return len(parts)
    count = 0
    for one in [kind] if kind else list(PageKind):
        if one is PageKind.SIMPLE:
            count += await _invalidate_index(db)
        elif one not in {PageKind.PROJECT, PageKind.ALIAS}:
            await invalidate(db, one, [""], urgent=True)
            count += await _page_count(db, one)
    return count


async def invalidate(
    db: Database, kind: PageKind, names: Sequence[str], *, urgent: bool = False
) -> None:
    """Note that pages of a part no longer say what is true."""
    await db.execute(
        "SELECT make_stale(%(part)s, %(names)s::text[], %(urgent)s)",
        {"part": str(kind), "names": list(names), "urgent": urgent},
    )


async def _invalidate_index(db: Database) -> int:
    row = await db.row(
        """
        SELECT count(*) AS count, make_stale('simple', array_agg(project) || ''::text) AS done
          FROM (SELECT DISTINCT project FROM files) p
        """
    )
    return row["count"] + 1 if row else 0


async def _page_count(db: Database, kind: PageKind) -> int:
    if kind is not PageKind.PROJECTS:
        return 1
    return int(await db.value("SELECT count(*) FROM projects"))


async def pending_page_count(db: Database, kinds: Sequence[PageKind] = tuple(PageKind)) -> int:
    """How many pages of these parts have to be written; noted twice just now counts twice."""
    return int(
        await db.value(
            """
            SELECT (SELECT count(*) FROM stale_pages WHERE stale AND part = ANY (%(parts)s))
                 + (SELECT count(*) FROM page_changes WHERE part = ANY (%(parts)s))
            """,
            {"parts": list(kinds)},
        )
    )


# --- index pages -------------------------------------------------------------------------


async def index_pages(db: Database, projects: Sequence[str]) -> dict[str, IndexPage]:
    """What the index pages of these projects say; one without files to list has no page."""
    heads = await db.rows(
        """
        SELECT project, status, status_reason FROM projects WHERE project = ANY (%(projects)s)
        """,
        {"projects": list(projects)},
    )
    rows = await db.rows(
        """
        SELECT f.project, f.filename, f.sha256, f.size_bytes, f.metadata_sha256,
               f.requires_python, f.version, r.released_at, r.yanked
          FROM files f
          JOIN releases r ON r.project = f.project AND r.version = f.version
         WHERE f.project = ANY (%(projects)s) AND r.missing_since IS NULL
        """,
        {"projects": list(projects)},
    )
    files: dict[str, list[IndexEntry]] = {}
    for row in rows:
        files.setdefault(row.pop("project"), []).append(IndexEntry(**row))
    return {
        head["project"]: IndexPage(
            project=head["project"],
            status=ProjectStatus(head["status"]),
            status_reason=head["status_reason"],
            files=tuple(sorted(files[head["project"]], key=_entry_order)),
        )
        for head in heads
        if head["project"] in files
    }


def _entry_order(file: IndexEntry) -> tuple[Version, str]:
    return version_sort_key(file.version), file.filename


@lru_cache(maxsize=10_000)
def version_sort_key(text: str) -> Version:
    """Where a version stands among others; what is none (PEP 440) comes first."""
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0.dev0")


async def indexed_projects(db: Database) -> list[str]:
    """Every project with files to list, by name; those of hidden releases are not listed."""
    rows = await db.rows(
        """
        SELECT DISTINCT f.project
          FROM files f
         WHERE NOT EXISTS (
             SELECT FROM releases r
              WHERE r.project = f.project AND r.version = f.version
                AND r.missing_since IS NOT NULL)
         ORDER BY f.project
        """
    )
    return [row["project"] for row in rows]


# --- removed files -----------------------------------------------------------------------


async def files_to_delete(db: Database, delay: timedelta, limit: int) -> list[FileDeletion]:
    """Files to remove from the tree: the grace has passed and their index pages are written."""
    rows = await db.rows(
        """
        SELECT filename, sha256 FROM removals r
         WHERE removed_at + %(grace)s <= now()
           AND NOT EXISTS (
               SELECT FROM stale_pages s
                WHERE s.part = %(part)s AND s.name = r.project AND s.stale)
           AND NOT EXISTS (
               SELECT FROM page_changes c WHERE c.part = %(part)s AND c.name = r.project)
           AND NOT EXISTS (SELECT FROM files f WHERE f.filename = r.filename)
         ORDER BY removed_at LIMIT %(limit)s
        """,
        {"grace": delay, "limit": limit, "part": str(PageKind.SIMPLE)},
    )
    return [FileDeletion(**row) for row in rows]


async def reserve_install(db: Database, filename: str, sha256: str, project: str) -> None:
    """Note that a file is about to lie in the tree; being published takes the note away.

    Until then nothing removes it, and when the master starts anew it is removed.
    """
    await db.execute(
        """
        INSERT INTO removals (filename, sha256, project, removed_at)
        VALUES (%(filename)s, %(sha256)s, %(project)s, 'infinity')
            ON CONFLICT (filename) DO UPDATE SET removed_at = excluded.removed_at
        """,
        {"filename": filename, "sha256": sha256, "project": project},
    )


async def abandon_installs(db: Database) -> None:
    """Have files removed that were laid down and never published; nothing may be under way."""
    await db.execute("UPDATE removals SET removed_at = now() WHERE removed_at = 'infinity'")


async def postpone_deletions(db: Database, filenames: Sequence[str]) -> None:
    """Note that files could not be removed: they are tried again after another grace."""
    await db.execute(
        """
        UPDATE removals SET removed_at = now()
         WHERE filename = ANY (%(filenames)s) AND removed_at <> 'infinity'
        """,
        {"filenames": list(filenames)},
    )


async def mark_deleted(db: Database, files: Sequence[FileDeletion]) -> None:
    """Note that files have gone from the tree."""
    await db.execute(
        "DELETE FROM removals WHERE filename = ANY (%(names)s)",
        {"names": [file.filename for file in files]},
    )
