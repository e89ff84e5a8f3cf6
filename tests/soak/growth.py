"""Judges whether a measured quantity grows: a robust slope against a tolerance. Pure."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Tolerance:
    """How much a quantity may grow over the time that is judged: the larger of the two."""

    absolute: float
    share: float = 0.0  # of its median


@dataclass
class Quantity:
    """What is measured again and again, with the times in seconds."""

    name: str
    unit: str
    tolerance: Tolerance
    times_s: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, at_s: float, value: float) -> None:
        """Note a value."""
        self.times_s.append(at_s)
        self.values.append(value)

    def between(self, since_s: float, until_s: float) -> "Quantity":
        """The part of it that was measured in this time."""
        kept = [
            (at_s, value)
            for at_s, value in zip(self.times_s, self.values, strict=True)
            if since_s <= at_s <= until_s
        ]
        part = Quantity(self.name, self.unit, self.tolerance)
        for at_s, value in kept:
            part.add(at_s, value)
        return part

    @property
    def slope_per_s(self) -> float:
        """The median slope of all pairs (Theil-Sen): single outliers do not count."""
        return slope(self.times_s, self.values)

    @property
    def growth(self) -> float:
        """How much it grew from the first to the last measurement, by its slope."""
        if len(self.times_s) < 2:
            return 0.0
        return self.slope_per_s * (self.times_s[-1] - self.times_s[0])

    @property
    def allowed(self) -> float:
        """How much it may grow."""
        middle = median(self.values) if self.values else 0.0
        return max(self.tolerance.absolute, self.tolerance.share * middle)

    @property
    def is_steady(self) -> bool:
        """Whether its growth is within the limit."""
        return self.growth <= self.allowed


def slope(times_s: Sequence[float], values: Sequence[float]) -> float:
    """The median slope of all pairs of points; 0 with fewer than two."""
    points = list(zip(times_s, values, strict=True))
    slopes = [
        (later - earlier) / (end - begin)
        for (begin, earlier), (end, later) in itertools.combinations(points, 2)
        if end > begin
    ]
    return median(slopes) if slopes else 0.0
