"""The pane of a builder beside the table: the blocks of its page, under each other."""

from piwheels.formatting import format_short_duration
from piwheels.model import BuildSummary
from piwheels.tui.model import builder_lines
from piwheels.tui.model.builder_lines import BuilderFacts
from piwheels.tui.model.detail_lines import DetailLine
from piwheels.tui.model.last_builds import times_text
from piwheels.tui.model.sensor_graphs import graph_lines
from piwheels.tui.model.tables.builds import outcome_style
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.model.why_slow import SLOW_RATIO, ratios

#: So many last builds are listed, and fewer where they do not fit.
_MAX_BUILDS, _LEAST_BUILDS = 10, 3
#: The heading of the log and its last lines.
LOG_LINES = 4
_LEAST_RELEASE = 8


def builder_pane(facts: BuilderFacts, width: int, height: int) -> list[DetailLine]:
    """What is known of a builder, in lines of this width."""
    above = (
        [*builder_lines.head(facts, width), *builder_lines.why_slow_lines(facts, width)],
        builder_lines.running_build(facts, width),
        graph_lines(facts, width),
        [*builder_lines.facts_lines(facts, width), *builder_lines.target_lines(facts, width)],
    )
    classes = builder_lines.failure_lines(facts, width)
    log = builder_lines.log_tail(facts, LOG_LINES)
    others = builder_lines.blocks_with_blanks((*above, classes, log))
    room = height - len(others) - 2  # a heading, and an empty line
    builds = _last_builds(facts, width, min(_MAX_BUILDS, max(_LEAST_BUILDS, room)))
    return builder_lines.blocks_with_blanks((*above, [*builds, *classes], log))


def _last_builds(facts: BuilderFacts, width: int, count: int) -> list[DetailLine]:
    builds = facts.builds[:count]
    if not builds:
        return []
    times = ratios(builds, facts.usual_s)
    ends = [_end(build, facts, times.get(build.build_id)) for build in builds]
    room = max(_LEAST_RELEASE, width - max(map(len, ends)) - 10)
    lines = [DetailLine(f"{'Last builds':<{room + 2}} {'took':>6} {'usual':>6}   x", "strong")]
    for build, end in zip(builds, ends, strict=True):
        name, style = outcome_style(build.outcome)
        slow = times.get(build.build_id, 0.0) >= SLOW_RATIO
        release = terminal_safe(f"{build.project} {build.version}")[:room]
        took = format_short_duration(build.duration_s)
        text = f"{facts.glyph(name)} {release:<{room}} {took:>6} {end}"
        lines.append(DetailLine(text, "warning" if slow else style))
    return lines


def _end(build: BuildSummary, facts: BuilderFacts, times: float | None) -> str:
    usual_s = facts.usual_s.get(build.build_id)
    usual = "-" if usual_s is None else format_short_duration(usual_s)
    return f"{usual:>6} {times_text(build, times)}"
