"""The data of pages, loaded in the master and sent to the process that renders them."""

from datetime import datetime

from piwheels.model import (
    BuildSummary,
    DownloadTotals,
    FarmTotals,
    FileSummary,
    NamedCount,
    ProjectDay,
    ProjectDownloads,
    ProjectStatusRow,
    Recipe,
    Struct,
)
from piwheels.release_status import StatusContext
from piwheels.website.charts import Chart


class Site(Struct, frozen=True, kw_only=True):
    """What every page needs.

    url: the public URL of the web root, with a slash at the end.
    """

    url: str


class ProjectData(Struct, frozen=True, kw_only=True):
    """The data of a project's pages."""

    facts: ProjectStatusRow
    files: tuple[FileSummary, ...]  # of the newest release first
    builds: tuple[BuildSummary, ...]  # newest first
    aliases: tuple[str, ...]
    recipes: tuple[Recipe, ...]  # the written one, then the learned one
    status_context: StatusContext
    builds_per_hour: dict[str, float]  # by target
    written_at: datetime  # the base of expected times; not shown
    downloads: ProjectDownloads
    days: tuple[ProjectDay, ...]  # days with downloads, oldest first
    wheel_downloads: dict[str, int]


class HomeData(Struct, frozen=True, kw_only=True):
    """The data of the home page."""

    farm: FarmTotals
    queued: int
    building: int
    disk_free_bytes: int
    downloads: DownloadTotals
    targets: tuple[str, ...]
    recent: tuple[BuildSummary, ...]


class StatsData(Struct, frozen=True, kw_only=True):
    """The data of the statistics page; each chart has a JSON file."""

    downloads: DownloadTotals
    time_charts: tuple[Chart, ...]  # columns over time
    line_charts: tuple[Chart, ...]  # lines over time
    share_charts: tuple[Chart, ...]  # horizontal bars


class PackagesData(Struct, frozen=True, kw_only=True):
    """The data of the page of all projects."""

    projects: int
    with_wheels: int
    top: tuple[NamedCount, ...]  # the most downloaded projects of the last 30 days
    newest: tuple[BuildSummary, ...]
