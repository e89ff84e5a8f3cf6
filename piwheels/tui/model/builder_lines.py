"""A builder in lines of text: blocks for its page, and for the pane beside the table."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from piwheels.alerts.texts import format_age
from piwheels.formatting import format_coarse_duration, format_short_duration, pluralize
from piwheels.model import Alert, AlertState, BuilderPage, BuildSummary, SeriesBars, SeriesWindow
from piwheels.tui.model.detail_lines import BLANK, DetailLine, paragraph
from piwheels.tui.model.glyphs import ALERT_STATES, STATE_STYLE
from piwheels.tui.model.glyphs import glyph as glyph_of
from piwheels.tui.model.state import Builder
from piwheels.tui.model.terminal_text import terminal_safe
from piwheels.tui.model.why_slow import why_slow

_GIB = 2**30
_CLOCK_WRONG_S = 30.0
_MAX_ROOTS = 6
#: Why no series are shown beside a running build.
SERIES_ELSEWHERE = "The page of the builder has its history."


@dataclass(frozen=True, slots=True)
class BuilderFacts:
    """All that is known of a builder; what was not answered yet is empty or None.

    Attributes:
        builder: As last reported.
        now: UNIX seconds.
        alerts: Of the whole farm.
        builds: Its builds that ended last, the newest first.
        page: The master's answer about it.
        series: Its time series over the window, by their kinds (`load`).
        series_note: Why there are none; "" while the master has not answered.
        log_lines: The last lines of the log of its running build.
        ascii_only: Draw with ASCII only.
    """

    builder: Builder
    now: float
    alerts: Sequence[Alert] = ()
    builds: Sequence[BuildSummary] = ()
    page: BuilderPage | None = None
    series: Mapping[str, SeriesBars] = field(default_factory=dict)
    series_note: str = ""
    window: SeriesWindow = SeriesWindow.HOUR
    log_lines: Sequence[str] = ()
    ascii_only: bool = False

    @property
    def usual_s(self) -> Mapping[int, float]:
        """By number, how long other builders take for what a build made."""
        return self.page.usual_s if self.page else {}

    def glyph(self, name: str) -> str:
        """The glyph of a state or a result."""
        return glyph_of(name, ascii_only=self.ascii_only)


def pair(left: str, right: str, width: int, style: str = "") -> list[DetailLine]:
    """Two texts at both ends of a line, or of two lines where they do not fit."""
    left, right = terminal_safe(left), terminal_safe(right)
    if right and len(left) + 2 + len(right) <= width:
        return [DetailLine(f"{left}{right:>{width - len(left)}}", style)]
    return [*paragraph(left, width, style), *paragraph(right, width)]


# --- its head ---


def head(facts: BuilderFacts, width: int) -> list[DetailLine]:
    """Its name and state since when, and what machine it is; why it is in that state."""
    view = facts.builder.view
    lines = pair(f"{view.label}  {state_text(facts)}", machine_text(facts), width, "strong")
    if view.reason:
        lines += paragraph(view.reason, width, STATE_STYLE.get(view.state, ""))
    return lines


def state_text(facts: BuilderFacts) -> str:
    """Its alerts with their age, else its state and for how long it has been in it."""
    view = facts.builder.view
    since_s = view.state_s + max(0.0, facts.now - facts.builder.received_at)
    state = f"{facts.glyph(view.state)} {view.state} {format_coarse(since_s)}"
    if view.state in ALERT_STATES:
        return state
    standing = [
        alert
        for alert in facts.alerts
        if alert.alert_id == f"{alert.rule}:{view.label}"
        and alert.state in {AlertState.ACTIVE, AlertState.ACKNOWLEDGED}
    ]
    if not standing:
        return state
    at = datetime.fromtimestamp(facts.now, UTC)
    told = ", ".join(f"{alert.rule} {format_age(alert, at)}" for alert in standing)
    return f"{facts.glyph('warning')} {told}, {view.state}"


def format_coarse(seconds: float) -> str:
    """A duration that changes once a minute beyond the first one."""
    return format_short_duration(seconds) if seconds < 60 else format_coarse_duration(seconds)


def machine_text(facts: BuilderFacts) -> str:
    """Board, cores, memory and system, as far as they are known."""
    view, host = facts.builder.view, facts.builder.view.host
    parts = [short_board(view.board)]
    if host.cores:
        parts.append(pluralize(host.cores, "core"))
    if host.memory_total >= _GIB // 2:
        parts.append(f"{round(host.memory_total / _GIB) or 0.5} GiB")
    parts.append(short_system(view.os))
    return ", ".join(filter(None, parts))


def short_board(board: str) -> str:
    """`Raspberry Pi 4B` for `Raspberry Pi 4 Model B Rev 1.4`."""
    return re.sub(r"^(Raspberry Pi \w+) Model (\w+?)( Plus)?( Rev .*)?$", r"\1\2\3", board)


def short_system(name: str) -> str:
    """`Debian 12` for `Debian GNU/Linux 12 (bookworm)`; roots are told elsewhere."""
    return re.sub(r" GNU/Linux| \(.*", "", name.partition(";")[0])


def why_slow_lines(facts: BuilderFacts, width: int) -> list[DetailLine]:
    """What makes it slow; nothing if nothing is known to."""
    peers = facts.page.peers if facts.page else 0
    view = facts.builder.view
    text = why_slow(view.host, facts.builds, facts.usual_s, ratio=view.peer_ratio, peers=peers)
    return paragraph(f"Why slow: {text}", width, "warning") if text else []


# --- its work ---


def running_build(facts: BuilderFacts, width: int) -> list[DetailLine]:
    """What it builds, the phase, and the time that it took, that is usual, and that is allowed."""
    builder, view = facts.builder, facts.builder.view
    if view.build is None:
        return [DetailLine("No running build.", "muted")]
    spent_s = builder.build_s(facts.now)
    parts = [f"{view.phase or view.state} {format_short_duration(spent_s)}"]
    usual_s = facts.page.running_usual_s if facts.page else None
    if usual_s:
        parts.append(f"{format_short_duration(usual_s)} usual")
    if view.limit_s:
        parts.append(f"limit {format_short_duration(view.limit_s)}")
    late = 0 < view.expected_s < spent_s
    release = f"{view.project} {view.release_version} for {view.target}"
    return pair(release, ", ".join(parts), width, "warning" if late else "")


def log_tail(facts: BuilderFacts, lines: int) -> list[DetailLine]:
    """The last lines of the log of the running build, under a heading."""
    build = facts.builder.view.build
    if build is None or lines < 2:
        return []
    shown = [DetailLine(terminal_safe(line)) for line in facts.log_lines[-(lines - 1) :]]
    return [DetailLine(f"Log of {build}, last lines", "strong"), *shown]


def failures_by_class(builds: Iterable[BuildSummary]) -> str:
    """Its last failures by their classes; "" without any."""
    classes = Counter(str(build.cause.failure_class) for build in builds if build.cause)
    return ", ".join(f"{count} {name}" for name, count in classes.most_common(4))


# --- what else is known ---


def day_text(facts: BuilderFacts) -> str:
    """What it built and failed in 24 hours, and what is usual."""
    page = facts.page
    if page is None:
        view = facts.builder.view
        return f"1h: {view.built_last_hour} built, {view.failed_last_hour} failed"
    usual = "" if page.usual_built is None else f"; usual {page.usual_built}"
    return f"24h: {page.built} built, {page.failed} failed{usual}"


def health_text(facts: BuilderFacts) -> str:
    """Uptime, clock, version, sandbox, and the last message if it is late."""
    builder, view = facts.builder, facts.builder.view
    parts = []
    late_s = max(0.0, facts.now - builder.received_at)
    if view.host.uptime_s is not None:
        parts.append(f"up {format_coarse(view.host.uptime_s + late_s)}")
    if view.clock_offset_s is not None:
        parts.append(f"clock {clock_text(view.clock_offset_s)}")
    parts.append(f"piwheels {view.version or '-'}")
    parts.append("sandboxed" if view.sandboxed else "not sandboxed")
    if view.since_last_message_s:
        silent_s = view.since_last_message_s + late_s
        parts.append(f"last message {format_coarse_duration(silent_s)} ago")
    return ", ".join(parts)


def clock_text(offset_s: float) -> str:
    """How far a clock is ahead: `-0.2s`, `+2m10s`."""
    if abs(offset_s) < 10:
        return f"{offset_s:+.1f}s"
    return f"{'-' if offset_s < 0 else '+'}{format_short_duration(abs(offset_s))}"


def facts_lines(facts: BuilderFacts, width: int) -> list[DetailLine]:
    """Its last day and its health, in sentences."""
    view = facts.builder.view
    offset_s = view.clock_offset_s or 0.0
    unusual = not view.sandboxed or abs(offset_s) >= _CLOCK_WRONG_S
    health = health_text(facts)
    text = f"{day_text(facts)}. {health[:1].upper()}{health[1:]}"
    return paragraph(text, width, "warning" if unusual else "")


def target_lines(facts: BuilderFacts, width: int) -> list[DetailLine]:
    """The targets that it serves, and its roots."""
    names = ", ".join(facts.builder.view.targets)
    lines = paragraph(f"Targets: {names or '-'}", width)
    roots = facts.page.roots if facts.page else ()
    if roots:
        told = ", ".join(
            f"{root.name} of {root.made_at:%Y-%m-%d} ({root.key[:8]})"
            for root in roots[:_MAX_ROOTS]
        )
        lines += paragraph(f"Roots: {told}", width)
    return lines


def failure_lines(facts: BuilderFacts, width: int) -> list[DetailLine]:
    """Its failures by class."""
    classes = failures_by_class(facts.builds)
    return paragraph(f"Failed: {classes}", width) if classes else []


def blocks_with_blanks(blocks: Iterable[list[DetailLine]]) -> list[DetailLine]:
    """Blocks, with an empty line between those that have any."""
    lines: list[DetailLine] = []
    for block in filter(None, blocks):
        lines += [BLANK, *block] if lines else block
    return lines
