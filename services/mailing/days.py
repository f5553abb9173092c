"""Days of somebody's calendar: when a digest is made, and of which day it is."""

from datetime import UTC, date, datetime, time, timedelta

from services.shared.time_zones import zone_named


def day_of(moment: datetime, zone: str) -> date:
    """The day that it is in a time zone."""
    return moment.astimezone(zone_named(zone)).date()


def bounds_of(day: date, zone: str) -> tuple[datetime, datetime]:
    """When a day begins and ends in a time zone, in UTC."""
    there = zone_named(zone)
    begins, ends = (datetime.combine(each, time(), there) for each in (day, day + timedelta(days=1)))
    return begins.astimezone(UTC), ends.astimezone(UTC)


def next_digest(moment: datetime, zone: str, hour: int, *, after: date | None = None) -> datetime:
    """The first instant behind another at which it is a full hour in a time zone, on a day ``after`` one, if any.

    There is one a day: an hour that there is twice, as clocks are set back, counts the first time; one that there is
    not, as they are set forward, is told an hour later by the clock.
    """
    there = zone_named(zone)
    day = moment.astimezone(there).date()
    if after is not None and day <= after:
        day = after + timedelta(days=1)
    found = datetime.combine(day, time(hour), there).astimezone(UTC)
    if found > moment:
        return found
    return datetime.combine(day + timedelta(days=1), time(hour), there).astimezone(UTC)
