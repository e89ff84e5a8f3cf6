"""The labels below a chart, chosen so that they do not overlap at any width."""

from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

from piwheels.website.filters import mark_invisible, truncate

CHART_HEIGHT_PX = 248
_MAX_LABEL_LENGTH = 20
#: The width of a digit, the gap between labels, and how far a label may overflow to the right.
_DIGIT_PX, _GAP_PX, _EDGE_PX = 8.3, 6.0, 14.0
#: The narrowest plot, on a phone; and the width from which style.css shows all labels.
_MIN_PLOT_PX, _WIDE_PX = 225.0, 490.0


class _AxisLabel(NamedTuple):
    """A label below the plot: centered at its position, or at the right edge."""

    text: str
    x_percent: float
    at_edge: bool

    def span(self, width_px: float) -> tuple[float, float]:
        """Its start and end, in pixels, below a plot of this width."""
        long = len(self.text) * _DIGIT_PX
        start = width_px * self.x_percent / 100 - (long if self.at_edge else long / 2)
        return start, start + long

    def fits(self, width_px: float) -> bool:
        """Whether it does not overflow to the right; to the left there is space."""
        return self.span(width_px)[1] <= width_px + _EDGE_PX


def x_labels(labels: Sequence[str], places: Sequence[float]) -> str:
    """Labels below the plot at even distances; a narrow plot shows some of them.

    Only the last label may be moved to the right edge, because its position is there. Another
    label that does not fit is left out.
    """
    texts = [truncate(label, _MAX_LABEL_LENGTH) for label in labels]
    axis_labels = [
        _AxisLabel(text, at, at_edge=False) for text, at in zip(texts, places, strict=True)
    ]
    if axis_labels and not axis_labels[-1].fits(_MIN_PLOT_PX):
        axis_labels[-1] = _AxisLabel(axis_labels[-1].text, 100.0, at_edge=True)
    step = _label_step(axis_labels, _WIDE_PX, 1)
    narrow_step = _label_step(axis_labels, _MIN_PLOT_PX, step)
    return "".join(
        _label_svg(
            axis_labels[at],
            wide_only=at % narrow_step > 0 or not axis_labels[at].fits(_MIN_PLOT_PX),
        )
        for at in range(0, len(axis_labels), step)
        if axis_labels[at].fits(_WIDE_PX)
    )


def _label_step(axis_labels: Sequence[_AxisLabel], width_px: float, unit: int) -> int:
    """The smallest multiple of a unit at which every nth label fits without overlaps."""
    step = unit
    while not _do_not_overlap(axis_labels[::step], width_px):
        step += unit
    return step


def _do_not_overlap(axis_labels: Sequence[_AxisLabel], width_px: float) -> bool:
    spans = [label.span(width_px) for label in axis_labels if label.fits(width_px)]
    return all(end + _GAP_PX <= start for (_, end), (start, _) in pairwise(spans))


def _label_svg(label: _AxisLabel, *, wide_only: bool) -> str:
    extra = ' class="wide-only"' if wide_only else ""
    anchor = "end" if label.at_edge else "middle"
    return (
        f'<text{extra} x="{label.x_percent:.2f}%" y="{CHART_HEIGHT_PX - 8}" text-anchor="{anchor}">'
        f"{escape(mark_invisible(label.text))}</text>"
    )
