"""Scalars whose values look as they do on REST."""

from datetime import date, datetime

from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

from core.clock import wire_format


def _serialize(value: object) -> str:
    return wire_format(value) if isinstance(value, datetime) else str(value)


def _parse(value: object) -> object:
    """Only the kind is checked here: the service's input model parses the text, with the same message as on REST."""
    if not isinstance(value, str):
        raise GraphQLError("DateTime must be a string: a date and time with a UTC offset (RFC 3339)")
    return value


def _parse_day(value: object) -> object:
    """As ``_parse``."""
    if not isinstance(value, str):
        raise GraphQLError("Date must be a string: a day such as 2026-01-31 (RFC 3339)")
    return value


DATE_TIME = ScalarDefinition(
    name="DateTime",
    description="An instant, RFC 3339 with a UTC offset, e.g. 2026-01-31T12:00:00Z. Answers are in UTC. Filters also "
    "take one relative to the present, in the caller's time zone: now, today, start_of_week, start_of_month or "
    "start_of_year, and up to three steps of h, d, w, m (months) or y, such as today+7d.",
    specified_by_url="https://scalars.graphql.org/andimarek/date-time.html",
    serialize=_serialize,
    parse_value=_parse,
    parse_literal=None,
    origin=datetime,
)
DATE = ScalarDefinition(
    name="Date",
    description="A day without a time, wherever one is: full-date of RFC 3339, e.g. 2026-01-31. Filters also take one "
    "relative to the present, as DateTime does: the day in the caller's time zone.",
    specified_by_url="https://scalars.graphql.org/andimarek/local-date.html",
    serialize=str,
    parse_value=_parse_day,
    parse_literal=None,
    origin=date,
)
