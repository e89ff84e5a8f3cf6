"""Times and delays in the texts of statuses."""

from datetime import UTC, datetime

from piwheels.formatting import approximate_duration


def elapsed_text(moment: datetime, now: datetime | None) -> str:
    """How long ago a time was, or that time."""
    if now is None:
        return f"since {utc_text(moment)}"
    return f"for {approximate_duration((now - moment).total_seconds())}"


def time_until_text(moment: datetime, now: datetime | None) -> str:
    """How far away a time is, or that time."""
    if now is None:
        return f"after {utc_text(moment)}"
    return f"in {approximate_duration((moment - now).total_seconds())}"


def utc_text(moment: datetime) -> str:
    """A time in UTC, to the minute."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
