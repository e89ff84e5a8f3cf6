"""Why a release has or lacks a wheel for a target, and what happens next.

The only place that determines this: `piw explain`, the final table of `piw up`, the console, a
project's page and its JSON use `release_statuses`.
"""

from piwheels.release_status.explain import SOON_INTERVAL as SOON_INTERVAL
from piwheels.release_status.explain import explain_project as explain_project
from piwheels.release_status.explain import explain_with_upstream as explain_with_upstream
from piwheels.release_status.explain import is_idle_until_soon as is_idle_until_soon
from piwheels.release_status.explain import release_statuses as release_statuses
from piwheels.release_status.release_blockers import (
    removed_release_status as removed_release_status,
)
from piwheels.release_status.status import ReleaseStatus as ReleaseStatus
from piwheels.release_status.status import ReleaseStatuses as ReleaseStatuses
from piwheels.release_status.status import StatusContext as StatusContext
from piwheels.release_status.target_notes import platform_of as platform_of
