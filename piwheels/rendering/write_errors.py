"""Pages that cannot be written where they belong: said once, tried again later, in nobody's way."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence

from piwheels.db import events, page_queue
from piwheels.db.database import Database
from piwheels.db.page_queue import PageKind, PageToWrite
from piwheels.sanitize import truncate_line
from piwheels.webroot import is_path_error

log = logging.getLogger(__name__)


async def postpone_failed(
    db: Database, part: PageKind, batch: Sequence[PageToWrite], problems: Mapping[str, str]
) -> None:
    """Have pages of a batch tried again later; when one fails anew the event list has it too.

    Args:
        db: the connection.
        part: whose pages they are.
        batch: pages, of which some failed.
        problems: what is wrong, by name; names that are not in the batch are passed over.
    """
    failed = [page for page in batch if page.key in problems]
    if not failed:
        return
    anew = await page_queue.postpone(db, part, failed)
    log.error("%s", _error_line(part, [page.key for page in failed], problems))
    if anew:
        event = _error_line(part, anew, problems)
        await events.record_event(db, "master", event)


def _error_line(part: PageKind, names: Sequence[str], problems: Mapping[str, str]) -> str:
    first, *others = sorted(names)
    whose = f" of {first}" if first else ""
    more = f" (nor can {len(others)} others)" if others else ""
    return truncate_line(
        f"the {part} page{whose} cannot be written{more}: {problems[first]}; it is tried again"
    )


def describe_error(error: Exception) -> str:
    """What is wrong, with the path where there is one."""
    if not isinstance(error, OSError):
        return f"{type(error).__name__}: {error}"
    where = error.filename2 or error.filename
    return f"{error.strerror}: {where}" if where else str(error)


@contextlib.contextmanager
def collecting_path_errors(problems: dict[str, str], name: str) -> Iterator[None]:
    """Note what one path is to blame for; anything else is raised."""
    try:
        yield
    except OSError as error:
        if not is_path_error(error):
            raise
        problems[name] = describe_error(error)
