"""Where the log of a build is: a failed one has a page, which is opened at the deciding line."""

from piwheels.model import BuildSummary, Outcome, TargetStatusRow
from piwheels.website.filters import log_page_path, log_path


def build_log_path(build: BuildSummary) -> str:
    """The URL path of a build's log."""
    if build.outcome == Outcome.BUILT:
        return log_path(build.build_id)
    return log_page_path(build.build_id, build.cause.line_number if build.cause else 0)


def last_log_path(target: TargetStatusRow) -> str:
    """The URL path of the log of a release's last build for a target; "" if there is none."""
    if target.last_build_id is None:
        return ""
    if target.last_outcome in {None, Outcome.BUILT}:
        return log_path(target.last_build_id)
    line = target.last_cause.line_number if target.last_cause else 0
    return log_page_path(target.last_build_id, line)
