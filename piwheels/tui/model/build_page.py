"""The page of a build: its summary, its phases, and what it was made with."""

import re
from collections.abc import Iterator

from piwheels.formatting import format_count, format_percent, format_short_duration, pluralize
from piwheels.model import BuildDetails, FailureCause
from piwheels.tui.model.detail_lines import BLANK, DetailLine, paragraph
from piwheels.tui.model.details import build_details
from piwheels.tui.model.terminal_text import terminal_safe

#: So many files that a build used are listed.
_MAX_FILES = 40
#: An input that is a file: its digest and its name.
_FILE = re.compile(r"[0-9a-f]{64} (\S+)")


def build_page_lines(
    details: BuildDetails, when: str, *, width: int, ascii_only: bool = False
) -> list[DetailLine]:
    """A build that has ended; `when` is that, as people read it."""
    lines = build_details(details.build, when, width=width, ascii_only=ascii_only)
    if details.usual_s is not None:
        usual = f"{format_short_duration(details.usual_s)} on other builders"
        lines.insert(4, DetailLine(usual, "muted", "Usual"))
    if group := group_text(details):
        lines += [BLANK, DetailLine(group, "accent")]
    lines += _phase_block(details)
    return [*lines, BLANK, *_inputs(details, width)]


def build_pane_lines(
    details: BuildDetails, when: str, *, width: int, ascii_only: bool = False
) -> list[DetailLine]:
    """A build that has ended, beside its table: what its page has, without its inputs."""
    lines = build_details(details.build, when, width=width, ascii_only=ascii_only)
    return [*lines, *_phase_block(details)]


def _phase_block(details: BuildDetails) -> list[DetailLine]:
    if not details.phases:
        return []
    return [BLANK, DetailLine("Phases", "strong"), *_phases(details)]


def group_text(details: BuildDetails) -> str:
    """How many releases fail as this build did; "" for none or it alone."""
    if details.group_releases < 2:
        return ""
    return f"{pluralize(details.group_releases, 'release')} fail so (Enter: them)"


def cause_words(cause: FailureCause) -> str:
    """Why a build failed, in one line: `missing-package: header libpq-fe.h, in libpq-dev`."""
    missing = ", ".join(cause.missing)
    where = f", in {', '.join(cause.packages)}" if missing and cause.packages else ""
    return terminal_safe(f"{cause.failure_class}{': ' if missing else ''}{missing}{where}")


def _phases(details: BuildDetails) -> Iterator[DetailLine]:
    whole_s = sum(phase.duration_s for phase in details.phases)
    for phase in details.phases:
        took = format_short_duration(phase.duration_s)
        share = format_percent(phase.duration_s, whole_s) if whole_s else ""
        yield DetailLine(f"{took:>6} {share:>5}  {terminal_safe(phase.name)}")


def _inputs(details: BuildDetails, width: int) -> Iterator[DetailLine]:
    """The sdist, what the system, the recipe and pip were, and the files that were downloaded."""
    yield DetailLine("Inputs", "strong")
    yield DetailLine(terminal_safe(details.sdist or "-"), "", "Sdist")
    if details.attempt > 1:
        yield DetailLine(format_count(details.attempt), "", "Attempt")
    files = [found[1] for text in details.build_inputs if (found := _FILE.fullmatch(text))]
    for text in details.build_inputs:
        if not _FILE.fullmatch(text):
            yield from paragraph(text, width)
    for name in files[:_MAX_FILES]:
        yield DetailLine(terminal_safe(name), "muted")
    more = details.inputs - len(details.build_inputs) + max(0, len(files) - _MAX_FILES)
    if more:
        yield DetailLine(f"and {format_count(more)} more", "muted")
