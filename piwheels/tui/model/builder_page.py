"""How the page of a builder shares its lines between text, last builds and log."""

from collections.abc import Sequence
from typing import NamedTuple

from piwheels.tui.model import builder_lines
from piwheels.tui.model.builder_lines import BuilderFacts
from piwheels.tui.model.detail_lines import BLANK, DetailLine
from piwheels.tui.model.sensor_graphs import graph_lines

#: So many builds, and lines of the log, are shown before more text is.
_LEAST_BUILDS, _LEAST_LOG = 5, 3
#: Below this height it is fewer of them.
_SHORT = 18
_MOST_LOG = 30


class PageLines(NamedTuple):
    """The lines above the builds, how many builds are shown, and the lines below them."""

    about: Sequence[DetailLine]
    build_rows: int
    tail: Sequence[DetailLine]


class _Block(NamedTuple):
    """Lines that are left out first where its order is the highest."""

    order: int
    lines: Sequence[DetailLine]


def page_lines(facts: BuilderFacts, width: int, height: int) -> PageLines:
    """The page in so many lines of this width."""
    builds = len(facts.builds)
    least_log = _LEAST_LOG if facts.builder.view.build is not None else 0
    if height < _SHORT:
        least_builds, least_log = min(builds, 2), 0
    else:
        least_builds = min(builds, _LEAST_BUILDS)
    about = _about(facts, width, height - (least_builds + 1) - least_log)
    left = height - len(about) - (least_builds + 1) - least_log
    more_builds = min(builds - least_builds, max(0, left))
    log = min(_MOST_LOG, least_log + left - more_builds) if least_log else 0
    rows = least_builds + more_builds
    return PageLines(about, rows, builder_lines.log_tail(facts, log))


def _about(facts: BuilderFacts, width: int, height: int) -> list[DetailLine]:
    """The blocks that fit."""
    blocks = _blocks(facts, width)
    while len(blocks) > 1 and _length(blocks) > height:
        last = max(blocks, key=lambda block: block.order)
        blocks.remove(last)
    return [line for block in blocks for line in block.lines][: max(1, height)]


def _length(blocks: Sequence[_Block]) -> int:
    return sum(len(block.lines) for block in blocks)


def _blocks(facts: BuilderFacts, width: int) -> list[_Block]:
    """In their order on the page; an empty line is a block that is left out before any text."""
    graphs = graph_lines(facts, width)
    blank = (BLANK,)
    return [
        _Block(0, builder_lines.head(facts, width)),
        _Block(1, builder_lines.why_slow_lines(facts, width)),
        _Block(9, blank),
        _Block(2, builder_lines.running_build(facts, width)),
        _Block(3, graphs[:5]),
        _Block(8, graphs[5:]),
        _Block(4, builder_lines.facts_lines(facts, width)),
        _Block(6, builder_lines.target_lines(facts, width)),
        _Block(5, builder_lines.failure_lines(facts, width)),
        _Block(7, blank),
    ]
