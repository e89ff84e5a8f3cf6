"""Pages that cannot be written: reported once and retried later, without delaying others."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence

from piwheels.db import audit_log, page_queue
from piwheels.db.database import Database
from piwheels.db.page_queue import PageKind, PageToWrite
from piwheels.formatting import pluralize
from piwheels.sanitize import truncate_line
from piwheels.webroot import is_path_error

log = logging.getLogger(__name__)


async def postpone_failed(
    db: Database, kind: PageKind, batch: Sequence[PageToWrite], problems: Mapping[str, str]
) -> None:
    """Retry the failed pages of a batch later; an event records those that failed the first time.

    Args:
        db: the connection.
        kind: the kind of all the pages.
        batch: pages, some of which failed.
        problems: by page name, why it failed; names that are not in the batch are ignored.
    """
    failed = [page for page in batch if page.key in problems]
    if not failed:
        return
    newly_failed = await page_queue.postpone(db, kind, failed)
    log.error("%s", _error_line(kind, [page.key for page in failed], problems))
    if newly_failed:
        event = _error_line(kind, newly_failed, problems)
        await audit_log.record_event(db, "master", event)


def _error_line(kind: PageKind, names: Sequence[str], problems: Mapping[str, str]) -> str:
    first, *others = sorted(names)
    whose = f" of {first}" if first else ""
    more = f" (and {pluralize(len(others), 'other')})" if others else ""
    return truncate_line(
        f"the {kind} page{whose} cannot be written{more}: {problems[first]}; it will be retried"
    )


def describe_error(error: Exception) -> str:
    """The error's text, with its path if it has one."""
    if not isinstance(error, OSError):
        return f"{type(error).__name__}: {error}"
    where = error.filename2 or error.filename
    return f"{error.strerror}: {where}" if where else str(error)


@contextlib.contextmanager
def collecting_errors(problems: dict[str, str], name: str) -> Iterator[None]:
    """Collect whatever is wrong with one page; an error of the whole web root is raised."""
    try:
        yield
    except Exception as error:
        if is_of_web_root(error):
            raise
        problems[name] = describe_error(error)


def is_of_web_root(error: Exception) -> bool:
    """Whether an error concerns all pages, as that of a full disk, and not a single one."""
    return isinstance(error, OSError) and not is_path_error(error)
