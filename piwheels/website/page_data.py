"""The data of pages, loaded in the master and sent to the process that renders them."""

from datetime import date, datetime

from piwheels.model import BuildSummary, FileSummary, ProjectStatusRow, Struct
from piwheels.release_status import StatusContext
from piwheels.website.charts import Chart


class Site(Struct, frozen=True, kw_only=True):
    """What every page needs.

    url: the public URL of the web root, with a slash at the end.
    """

    url: str


class DayCount(Struct, frozen=True, kw_only=True):
    """Downloads of a day."""

    day: date
    downloads: int


class ProjectData(Struct, frozen=True, kw_only=True):
    """The data of a project's pages."""

    facts: ProjectStatusRow
    files: tuple[FileSummary, ...]  # of the newest release first
    builds: tuple[BuildSummary, ...]  # newest first
    names: tuple[str, ...]  # aliases
    status_context: StatusContext
    builds_per_hour: dict[str, float]  # by target
    written_at: datetime  # the base of expected times; not shown
    downloads: int
    downloads_30_days: int
    days: tuple[DayCount, ...]  # days with downloads, oldest first
    wheel_downloads: dict[str, int]


class Alias(Struct, frozen=True, kw_only=True):
    """A name that redirects to a project."""

    name: str
    project: str


class HomeData(Struct, frozen=True, kw_only=True):
    """The figures of the home page."""

    projects: int
    releases: int
    wheels: int
    wheels_bytes: int
    builds: int
    queued: int
    building: int
    disk_free: int
    downloads: int
    downloads_30_days: int
    downloads_today: int
    record_day: int
    record_date: date | None
    saved_s: float
    saved_today_s: float
    targets: tuple[str, ...]
    recent: tuple[BuildSummary, ...]


class StatsData(Struct, frozen=True, kw_only=True):
    """The figures of the statistics page; each chart has its JSON beside it."""

    downloads: int
    downloads_30_days: int
    downloads_today: int
    record_day: int
    record_date: date | None
    bytes_served: int
    saved_s: float
    since: date | None
    upright: tuple[Chart, ...]  # columns over time
    curves: tuple[Chart, ...]  # lines over time
    shares: tuple[Chart, ...]  # horizontal bars


class PackagesData(Struct, frozen=True, kw_only=True):
    """The data of the page of all projects."""

    projects: int
    with_wheels: int
    top: tuple[
        tuple[str, int], ...
    ]  # the most downloaded projects of the last 30 days, with counts
    newest: tuple[BuildSummary, ...]
