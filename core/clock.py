"""The one place that asks what time it is, so that tests can move it."""

from datetime import UTC, datetime


def now() -> datetime:
    """The current instant in UTC, with an offset, to the microsecond."""
    return datetime.now(UTC)


def to_utc(moment: datetime) -> datetime:
    """Convert an aware datetime to UTC.

    Raises ``ValueError`` for a naive datetime, and where the instant has no UTC date (year 1 or 9999 at
    the edge of the calendar).
    """
    if moment.tzinfo is None:
        raise ValueError("a UTC offset is required")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the date is outside the calendar") from None


def wire_format(moment: datetime) -> str:
    """RFC 3339 in UTC with a ``Z``: what both doors print for an instant."""
    return moment.isoformat().replace("+00:00", "Z")
