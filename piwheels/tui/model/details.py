"""The details of a row beside its table: lines of styled text."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from piwheels.formatting import (
    format_coarse_duration,
    format_load,
    format_percent,
    format_short_duration,
    format_size,
    format_temperature,
    pluralize,
)
from piwheels.model import BuildSummary, HostMetrics, Outcome
from piwheels.tui.model.bar_chart import bar_chart
from piwheels.tui.model.glyphs import STATE_STYLE
from piwheels.tui.model.glyphs import glyph as glyph_of
from piwheels.tui.model.state import Builder
from piwheels.tui.model.tables.builders import DISK_CRITICAL, MEMORY_LOW, TEMPERATURE_CRITICAL
from piwheels.tui.model.tables.builds import outcome_style
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.model.why_slow import SLOW_RATIO, ratios, why_slow

#: So many last builds of a builder are listed.
MAX_BUILDS = 10
_CHART_WIDTH = 30
#: Lines of a long text: a reason, the names of files.
_MAX_TEXT_LINES = 6


class DetailLine(NamedTuple):
    """One line, its style (as of a Cell), and the label before it."""

    text: str = ""
    style: str = ""
    label: str = ""  # " " continues the one above


BLANK = DetailLine()


def builder_details(
    builder: Builder,
    builds: Sequence[BuildSummary],
    now: float,
    *,
    width: int,
    usual_s: Mapping[int, float] = MappingProxyType({}),
    ascii_only: bool = False,
) -> list[DetailLine]:
    """A builder: what it is, what it builds, its sensors, and its last builds.

    Args:
        builder: as last reported.
        builds: its builds that ended last, the newest first.
        now: UNIX seconds.
        width: of the lines, in cells.
        usual_s: by number, how long other builders take for what a build made.
        ascii_only: draw with ASCII only.
    """
    view = builder.view
    glyph = glyph_of(view.state, ascii_only=ascii_only)
    lines = [DetailLine(f"{terminal_safe(view.label)}  {glyph} {view.state}", "strong")]
    lines += paragraph(", ".join(filter(None, (view.board, view.os, view.platform))), width)
    lines += paragraph(view.reason, width, STATE_STYLE.get(view.state, ""))
    if slow := why_slow(view.host, builds, usual_s):
        lines += paragraph(f"Why slow: {slow}", width, "warning")
    lines += [BLANK, *_running_build(builder, now, width), BLANK]
    lines += _sensors(builder, ascii_only)
    lines += [BLANK, *_facts(builder, now)]
    if builds:
        lines += [BLANK, *_last_builds(builds[:MAX_BUILDS], usual_s, width, ascii_only)]
        lines += _failures_by_class(builds)
    return lines


def _running_build(builder: Builder, now: float, width: int) -> Iterator[DetailLine]:
    view = builder.view
    if view.build is None:
        yield DetailLine("No running build.", "muted")
        return
    spent = builder.build_s(now)
    late = 0 < view.expected_s < spent
    yield from paragraph(
        f"{view.project} {view.release_version} for {view.target}, build {view.build}", width
    )
    parts = [f"{view.phase or view.state} {format_short_duration(spent)}"]
    if view.expected_s:
        parts.append(f"{format_short_duration(view.expected_s)} expected")
    if view.limit_s:
        parts.append(f"limit {format_short_duration(view.limit_s)}")
    yield DetailLine(terminal_safe(", ".join(parts)), "warning" if late else "")


def _sensors(builder: Builder, ascii_only: bool) -> Iterator[DetailLine]:
    host = builder.view.host
    loads = builder.load_samples[-_CHART_WIDTH:]
    chart, top = bar_chart(loads, ascii_only=ascii_only)
    yield DetailLine(f"{format_load(host.load):>6}  {chart} {top:.1f} at most", "", "Load")
    yield _share_line("Memory", host.memory_total, host.memory_free, MEMORY_LOW)
    yield _share_line("Disk", host.disk_total, host.disk_free, DISK_CRITICAL)
    if host.temperature is not None:
        yield _temperature_line(host)


def _share_line(label: str, total: int, free: int, low: float) -> DetailLine:
    if total <= 0:
        return DetailLine("     -", "muted", label)
    used = format_percent(total - free, total)
    text = f"{used:>6}  of {format_size(total)}, {format_size(free)} free"
    return DetailLine(text, "warning" if free / total < low else "", label)


def _temperature_line(host: HostMetrics) -> DetailLine:
    degrees = host.temperature or 0.0
    style = "warning" if degrees >= TEMPERATURE_CRITICAL else ""
    return DetailLine(f"{format_temperature(degrees):>6}", style, "Temp")


def _facts(builder: Builder, now: float) -> Iterator[DetailLine]:
    view = builder.view
    yield DetailLine(f"built {view.built_last_hour}, failed {view.failed_last_hour}", "", "1 hour")
    yield DetailLine(f"built {view.built}, failed {view.failed}", "", "In all")
    for place, target in enumerate(view.targets):
        yield DetailLine(terminal_safe(target), "", " " if place else "Targets")
    sandbox = "sandboxed" if view.sandboxed else "not sandboxed"
    version = terminal_safe(f"piwheels {view.version or '-'}, {sandbox}")
    yield DetailLine(version, "" if view.sandboxed else "warning", "System")
    silent_s = view.since_last_message_s + max(0.0, now - builder.received_at)
    if view.since_last_message_s:
        yield DetailLine(f"{format_coarse_duration(silent_s)} ago", "warning", "Heard")


def _last_builds(
    builds: Sequence[BuildSummary], usual_s: Mapping[int, float], width: int, ascii_only: bool
) -> Iterator[DetailLine]:
    """What each took, and what is usual and how many times that it took, or why it failed."""
    times = ratios(builds, usual_s)
    ends = [_end(build, usual_s.get(build.build_id), times.get(build.build_id)) for build in builds]
    room = max(8, width - max(map(len, ends)) - 10)
    yield DetailLine(f"{'Last builds':<{room + 2}} {'took':>6} {'usual':>6}", "strong")
    for build, end in zip(builds, ends, strict=True):
        name, style = outcome_style(build.outcome)
        slow = times.get(build.build_id, 0.0) >= SLOW_RATIO
        glyph = glyph_of(name, ascii_only=ascii_only)
        release = terminal_safe(f"{build.project} {build.version}")[:room]
        took = format_short_duration(build.duration_s)
        yield DetailLine(f"{glyph} {release:<{room}} {took:>6} {end}", "warning" if slow else style)


def _end(build: BuildSummary, usual_s: float | None, times: float | None) -> str:
    if build.outcome is not Outcome.BUILT:
        return str(build.cause.failure_class) if build.cause else str(build.outcome)
    if usual_s is None or times is None:
        return f"{'-':>6}"
    return f"{format_short_duration(usual_s):>6} {times:.1f}x"


def _failures_by_class(builds: Iterable[BuildSummary]) -> Iterator[DetailLine]:
    classes = Counter(str(build.cause.failure_class) for build in builds if build.cause)
    if classes:
        counts = ", ".join(f"{count} {name}" for name, count in classes.most_common(4))
        yield DetailLine(counts, "", "Failed")


def build_details(
    build: BuildSummary, when: str, *, width: int, ascii_only: bool = False
) -> list[DetailLine]:
    """A build that has ended: its outcome, and for a failed one why and what was missing.

    `when` is when it ended, as people read it.
    """
    name, style = outcome_style(build.outcome)
    glyph = glyph_of(name, ascii_only=ascii_only)
    lines = [
        DetailLine(terminal_safe(f"{build.project} {build.version}"), "strong"),
        DetailLine(terminal_safe(build.target), "", "Target"),
        DetailLine(f"{glyph} {build.outcome}", style, "Outcome"),
        DetailLine(format_short_duration(build.duration_s), "", "Took"),
        DetailLine(f"{when} on {terminal_safe(build.builder)}", "", "Ended"),
        DetailLine(str(build.build_id), "", "Build"),
    ]
    if build.will_retry is not None and name != "good":
        again = "it is built again by itself" if build.will_retry else "it is not built again"
        lines.append(DetailLine(again, "muted", "Next"))
    if build.cause is not None:
        lines += [
            DetailLine(str(build.cause.failure_class), "", "Class"),
            *_labelled("Missing", build.cause.missing),
            *_labelled("Packages", build.cause.packages),
        ]
    if build.reason and build.outcome is not Outcome.BUILT:
        number = build.cause.line_number if build.cause else 0
        title = f"Line {number} of its log" if number else "Deciding line"
        lines += [BLANK, DetailLine(title, "strong"), *paragraph(build.reason, width, "error")]
    if build.files:
        title = pluralize(len(build.files), "file").capitalize()
        lines += [BLANK, DetailLine(title, "strong")]
        lines += [line for file in build.files for line in paragraph(file, width)]
    return lines


def _labelled(label: str, names: Sequence[str]) -> Iterator[DetailLine]:
    for place, name in enumerate(names):
        yield DetailLine(terminal_safe(name), "", " " if place else label)


def paragraph(text: str, width: int, style: str = "") -> list[DetailLine]:
    """A text in lines of this width, a long one cut."""
    lines = textwrap.wrap(terminal_safe(text), max(8, width), max_lines=_MAX_TEXT_LINES)
    return [DetailLine(line, style) for line in lines]
