"""Loads, renders and writes the pages of projects, in the render process.

Nothing of that runs in the master: the data of a project with a thousand releases is large.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from piwheels.db.database import Database, DatabaseError
from piwheels.db.page_digests import Basis, current_digests
from piwheels.model import QueueOutline, Struct
from piwheels.release_status import StatusContext
from piwheels.rendering import subprocess_query, write_errors
from piwheels.webroot import Webroot
from piwheels.website import loaders, log_page
from piwheels.website.page_data import ProjectData, Site
from piwheels.website.page_files import remove_folder, remove_others, write_folders
from piwheels.website.project_page import render_project

log = logging.getLogger(__name__)


class WriteRequest(Struct, frozen=True, kw_only=True):
    """Which pages to write, and what they depend on besides the rows of the projects."""

    dsn: str
    names: tuple[str, ...]
    status_context: StatusContext
    outlines: dict[str, QueueOutline]
    basis: Basis


class WrittenProjects(Struct, frozen=True, kw_only=True):
    """What was done.

    digests: by project, of the data that its pages were written from.
    problems: by project, why its pages cannot be loaded, rendered or written.
    gone: projects that the farm no longer has, whose pages were removed.
    """

    digests: dict[str, str]
    problems: dict[str, str]
    gone: tuple[str, ...]


class _Loaded(Struct, frozen=True, kw_only=True):
    digests: dict[str, str]
    found: dict[str, ProjectData | None]
    problems: dict[str, str]


def write_projects(root: Path, site: Site, request: WriteRequest) -> WrittenProjects:
    """Write the directories of projects, and remove those of projects that are gone.

    Raises:
        OSError: the whole web root cannot be written now; each file is complete, old or new.
        PiwheelsError: the database cannot be reached.
    """
    loaded = subprocess_query.run_query(request.dsn, "pages", lambda db: _load(db, request))
    problems = loaded.problems | write_directories(Webroot(root), site, loaded.found)
    return WrittenProjects(
        digests={name: digest for name, digest in loaded.digests.items() if name not in problems},
        problems=problems,
        gone=tuple(
            name
            for name, content in loaded.found.items()
            if content is None and name not in problems
        ),
    )


async def _load(db: Database, request: WriteRequest) -> _Loaded:
    try:
        return await _load_together(db, request, request.names)
    except DatabaseError:
        raise
    except Exception:
        log.exception("the data of %d projects cannot be loaded together", len(request.names))
    return await _load_singly(db, request)


async def _load_together(db: Database, request: WriteRequest, names: Sequence[str]) -> _Loaded:
    """The data of projects and its digests, of one moment."""

    async def load() -> _Loaded:
        await db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        digests = await current_digests(db, names, request.basis)
        data = await loaders.load_projects(db, names, request.status_context, request.outlines)
        found = {name: data.get(name) for name in names}
        return _Loaded(digests=digests, found=found, problems={})

    return await db.in_transaction(load)


async def _load_singly(db: Database, request: WriteRequest) -> _Loaded:
    """As `_load_together`, if the data of one of the projects cannot be loaded."""
    loaded = _Loaded(digests={}, found={}, problems={})
    for name in request.names:
        try:
            one = await _load_together(db, request, [name])
        except DatabaseError:
            raise
        except Exception as error:  # noqa: BLE001 - one project must not stop others
            loaded.problems[name] = write_errors.describe_error(error)
        else:
            loaded.digests.update(one.digests)
            loaded.found.update(one.found)
    return loaded


def write_directories(
    webroot: Webroot, site: Site, found: Mapping[str, ProjectData | None]
) -> dict[str, str]:
    """Write the directories of projects; None removes one.

    Returns:
        By project, why its pages cannot be rendered or written; all others are written.
    """
    rendered: dict[str, dict[str, bytes]] = {}
    problems: dict[str, str] = {}
    for name, content in found.items():
        with write_errors.collecting_errors(problems, name):
            rendered[name] = {} if content is None else render_project(site, content)
    problems |= _write_log_pages(webroot, site, found)
    folders = {name: (webroot.project_dir(name), pages) for name, pages in rendered.items()}
    failed = write_folders(webroot, folders)
    problems |= {name: write_errors.describe_error(problem) for name, problem in failed.items()}
    for name, (folder, pages) in folders.items():
        with write_errors.collecting_errors(problems, name):
            if pages:
                remove_others(webroot, folder, "releases-*.html", pages)
            else:
                remove_folder(webroot, folder)
    return problems


def _write_log_pages(
    webroot: Webroot, site: Site, found: Mapping[str, ProjectData | None]
) -> dict[str, str]:
    """Write the pages of the failed builds that projects' pages link to; returns problems."""
    problems: dict[str, str] = {}
    for name, content in found.items():
        if content is not None:
            with write_errors.collecting_errors(problems, name):
                log_page.write_log_pages(webroot, site, log_page.linked_builds(content))
    return problems
