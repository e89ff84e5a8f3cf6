"""What the pages of the site say, gathered before they are rendered in another process."""

from datetime import date, datetime

from piwheels.model import BuildSummary, FileSummary, ProjectStatusRow, Struct
from piwheels.release_status import StatusContext
from piwheels.website.charts import Chart


class Site(Struct, frozen=True, kw_only=True):
    """What every page knows of the farm.

    url: where the tree is reached, with a slash at the end.
    """

    url: str


class DayCount(Struct, frozen=True, kw_only=True):
    """Downloads of a day."""

    day: date
    downloads: int


class ProjectData(Struct, frozen=True, kw_only=True):
    """All that a project's pages say."""

    facts: ProjectStatusRow
    files: tuple[FileSummary, ...]  # those of the newest release first
    builds: tuple[BuildSummary, ...]  # the newest first
    names: tuple[str, ...]  # other names that lead here
    status_context: StatusContext
    builds_per_hour: dict[str, float]  # builds that end in an hour, for each target
    written_at: datetime  # what expected times count from; shown nowhere
    downloads: int
    downloads_30_days: int
    days: tuple[DayCount, ...]  # with downloads, oldest first
    wheel_downloads: dict[str, int]


class Alias(Struct, frozen=True, kw_only=True):
    """A name that leads to a project."""

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
    upright: tuple[Chart, ...]  # as columns over time
    curves: tuple[Chart, ...]  # as lines over time
    shares: tuple[Chart, ...]  # as bars


class PackagesData(Struct, frozen=True, kw_only=True):
    """What the page of all projects shows beside the search."""

    projects: int
    with_wheels: int
    top: tuple[tuple[str, int], ...]  # lately the most downloaded, with how often
    newest: tuple[BuildSummary, ...]
