"""The data of pages, loaded in the master and sent to the process that renders them."""

import re
from datetime import datetime
from functools import cached_property
from urllib.parse import quote, urlsplit

from msgspec import field

from piwheels.model import (
    BuildSummary,
    DownloadTotals,
    FarmTotals,
    FileSummary,
    NamedCount,
    ProjectDay,
    ProjectDownloads,
    ProjectMetadata,
    ProjectStatusRow,
    Recipe,
    Reproduction,
    Struct,
)
from piwheels.release_status import ReleaseStatuses, StatusContext, release_statuses
from piwheels.website.charts import Chart

_PYPI_HOSTS = frozenset({"pypi.org", "test.pypi.org"})
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+")


def is_web_url(text: str) -> bool:
    """Whether a text of the settings is the URL of a web page."""
    return re.fullmatch(r"https?://[^\s\"'<>]+", text) is not None


class Site(Struct, frozen=True, kw_only=True):
    """What every page needs.

    url: the public URL of the web root, with a slash at the end.
    upstream_url: the Simple API URL of the upstream index, with a slash at the end; "" if unknown.
    name, operator, contact, request_url, notice: as in the settings `site`; "" if not set.
    """

    url: str
    upstream_url: str = ""
    name: str = "piwheels"
    operator: str = ""
    contact: str = ""
    request_url: str = ""
    notice: str = ""

    def upstream_page(self, project: str) -> str:
        """A project's page on the upstream index, for people if that is PyPI; "" if unknown."""
        if "@" in self.upstream_url:  # a password
            return ""
        base, simple, _ = self.upstream_url.rpartition("simple/")
        if simple and urlsplit(base).hostname in _PYPI_HOSTS:
            return f"{base}project/{quote(project, safe='')}/"
        return f"{self.upstream_url}{quote(project, safe='')}/" if self.upstream_url else ""

    @property
    def contact_link(self) -> str:
        """The contact as a URL; "" if it is neither a web page nor an e-mail address."""
        if is_web_url(self.contact):
            return self.contact
        return f"mailto:{self.contact}" if _EMAIL.fullmatch(self.contact) else ""

    @property
    def request_link(self) -> str:
        """Where visitors ask for a project; "" if nowhere."""
        return self.request_url if is_web_url(self.request_url) else self.contact_link


class ProjectData(Struct, frozen=True, kw_only=True, dict=True):
    """The data of a project's pages."""

    facts: ProjectStatusRow
    metadata: ProjectMetadata = ProjectMetadata()
    files: tuple[FileSummary, ...]  # of the newest release first
    builds: tuple[BuildSummary, ...]  # newest first
    aliases: tuple[str, ...]
    recipes: tuple[Recipe, ...]  # the written one, then the learned one
    status_context: StatusContext
    written_at: datetime  # the base of expected times; not shown
    downloads: ProjectDownloads
    days: tuple[ProjectDay, ...]  # days with downloads, oldest first
    wheel_downloads: dict[str, int]
    reproductions: dict[str, Reproduction] = field(
        default_factory=dict
    )  # that ended last, by file name

    @cached_property
    def statuses(self) -> dict[str, ReleaseStatuses]:
        """The status of each release, by version: the page and the JSON tell it."""
        return {
            release.version: release_statuses(self.facts, release, self.status_context)
            for release in self.facts.releases
        }


class HomeData(Struct, frozen=True, kw_only=True):
    """The data of the home page."""

    farm: FarmTotals
    queued: int
    building: int
    disk_free_bytes: int
    downloads: DownloadTotals
    targets: tuple[str, ...]
    recent: tuple[BuildSummary, ...]


class FeedsData(Struct, frozen=True, kw_only=True):
    """The builds of the feeds of the whole farm, the newest first."""

    wheels: tuple[BuildSummary, ...]  # that made wheels
    failures: tuple[BuildSummary, ...]  # final ones of projects that had been built before


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
