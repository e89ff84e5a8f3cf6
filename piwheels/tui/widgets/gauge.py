"""A share drawn as a bar of whole cells, which rarely changes."""


def gauge(fraction: float, cells: int, *, ascii_only: bool = False) -> str:
    """A bar of so many cells, filled by a fraction from 0 to 1."""
    full = round(max(0.0, min(1.0, fraction)) * cells)
    filled, empty = ("#", ".") if ascii_only else ("█", "░")
    return filled * full + empty * (cells - full)
