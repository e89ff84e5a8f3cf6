"""The details of a build beside its table: lines of styled text."""

from collections.abc import Iterator, Sequence

from piwheels.formatting import format_short_duration, pluralize
from piwheels.model import BuildSummary, Outcome
from piwheels.tui.model.detail_lines import BLANK, DetailLine, paragraph
from piwheels.tui.model.glyphs import glyph as glyph_of
from piwheels.tui.model.tables.builds import outcome_style
from piwheels.tui.model.terminal_text import terminal_safe


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
