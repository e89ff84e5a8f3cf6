"""How a release does for each target, with what an operator sees of its project."""

from datetime import datetime

from piwheels.model.base import Struct
from piwheels.model.builds import BuildSummary
from piwheels.model.metrics import ProjectDownloads
from piwheels.model.project_needs import ProjectNeeds
from piwheels.model.queue_outline import ExpectedWait
from piwheels.model.status import State


class TargetProgress(Struct, frozen=True, kw_only=True):
    """A release for a target: its state, and when its build is expected to start."""

    target: str
    state: State
    label: str  # the state for a table
    note: str = ""  # the wheel, or the reason
    expected: ExpectedWait | None = None  # until it starts; None: unknown, or nothing is expected
    build: int | None = None  # the running or the last one


class ProjectOverview(Struct, frozen=True, kw_only=True):
    """A project and one of its releases, the newest unless another was asked for."""

    project: str
    version: str = ""  # "" without a release
    released_at: datetime | None = None
    yanked: str | None = None
    skip_reason: str | None = None  # of the project, else of the release
    targets: tuple[TargetProgress, ...] = ()
    versions: tuple[str, ...] = ()  # other releases, the newest first
    builds: tuple[BuildSummary, ...] = ()  # the newest first
    needs: ProjectNeeds = ProjectNeeds()  # by its recipe, or by its last builds
    downloads: ProjectDownloads | None = None
    recipes: tuple[str, ...] = ()  # each in one line
