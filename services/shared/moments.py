"""Instants that are said by the calendar: ``today+7d`` means another one tomorrow.

An anchor is followed by up to three steps, which are taken from left to right in the caller's time zone. Days, weeks,
months and years are steps of the calendar: they keep the time of day, also over a change of the clocks, and in a month
that has no such day lead to its last (31 January and a month is 28 February). Hours are of 60 minutes.
"""

import re
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from core.clock import now, to_utc
from services.shared.inputs import parse_day, parse_timestamp

MAX_STEPS = 3
_ANCHORS = "now|today|start_of_week|start_of_month|start_of_year"
PATTERN = rf"^({_ANCHORS})([+-][0-9]{{1,4}}[hdwmy]){{0,{MAX_STEPS}}}$"
# in an address, a + that is not escaped is a blank
_MOMENT = re.compile(rf"({_ANCHORS})((?:[+ -][0-9]{{1,4}}[hdwmy]){{0,{MAX_STEPS}}})", re.ASCII)
_STEP = re.compile(r"([+-])([0-9]+)([hdwmy])", re.ASCII)


class RelativeMoment(str):
    """An instant relative to the present, as it is said: ``start_of_month+1m-1d``. Weeks begin on Monday."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> "RelativeMoment | None":
        """None for what is none. Raises ``ValueError`` for one outside the calendar."""
        match = _MOMENT.fullmatch(text)
        if match is None:
            return None
        moment = cls(match[1] + match[2].replace(" ", "+"))
        moment.at(now(), UTC)
        return moment

    def at(self, present: datetime, zone: tzinfo) -> datetime:
        """The instant, in UTC. Raises ``ValueError`` for one outside the calendar."""
        local = present.astimezone(zone)
        anchor = str(self).partition("+")[0].partition("-")[0]
        if anchor != "now":
            local = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        if anchor == "start_of_week":
            local -= timedelta(days=local.weekday())
        elif anchor == "start_of_month":
            local = local.replace(day=1)
        elif anchor == "start_of_year":
            local = local.replace(month=1, day=1)
        try:
            for sign, number, unit in _STEP.findall(self):
                local = _stepped(local, int(sign + number), unit, zone)
            return to_utc(local)
        except (OverflowError, ValueError):
            raise ValueError("the date is outside the calendar") from None


def _stepped(local: datetime, number: int, unit: str, zone: tzinfo) -> datetime:
    if unit == "h":
        return (local.astimezone(UTC) + timedelta(hours=number)).astimezone(zone)
    if unit in "dw":
        return (local + timedelta(days=number * (7 if unit == "w" else 1))).replace(fold=0)
    year, month = divmod(local.year * 12 + local.month - 1 + number * (12 if unit == "y" else 1), 12)
    if not 1 <= year <= 9999:
        raise OverflowError
    day = min(local.day, monthrange(year, month + 1)[1])
    return local.replace(year=year, month=month + 1, day=day, fold=0)


def _parse(value: object) -> datetime | RelativeMoment:
    if not isinstance(value, str) or value[:1].isdigit():
        return parse_timestamp(value)
    moment = RelativeMoment.parse(value)
    if moment is None:
        raise ValueError(
            "must be a date and time with a UTC offset, such as 2026-01-31T12:00:00Z, or one such as today+7d"
        )
    return moment


_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "pattern": PATTERN, "examples": ["today+7d"]},
    ]
}
Moment = Annotated[
    datetime,
    PlainValidator(_parse),
    PlainSerializer(lambda moment: moment, return_type=Any),  # as text, whichever it is
    WithJsonSchema(_SCHEMA),
]
"""An instant, or a ``RelativeMoment``, which mypy is not told of."""


def _parse_day(value: object) -> date | RelativeMoment:
    if not isinstance(value, str) or value[:1].isdigit():
        return parse_day(value)
    moment = RelativeMoment.parse(value)
    if moment is None:
        raise ValueError("must be a date without a time, such as 2026-01-31, or one such as today+7d")
    return moment


DayMoment = Annotated[
    date,
    PlainValidator(_parse_day),
    PlainSerializer(lambda moment: moment, return_type=Any),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date"},
                {"type": "string", "pattern": PATTERN, "examples": ["today+7d"]},
            ]
        }
    ),
]
"""A day, or the ``RelativeMoment`` whose day is meant."""


def are_out_of_order(start: object, end: object) -> bool:
    """Whether an instant, or a day, is after another; of relative ones nobody knows, for it may not be so tomorrow."""
    return isinstance(start, date) and isinstance(end, date) and start > end
