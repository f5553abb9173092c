"""Scalars whose values look as they do on REST."""

from datetime import datetime
from typing import Any

from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

from core.clock import wire_format


def _serialize(value: Any) -> str:
    return wire_format(value) if isinstance(value, datetime) else str(value)


def _parse(value: object) -> object:
    """Only the kind is checked here: the service's input model parses the text, with the same message as on REST."""
    if not isinstance(value, str):
        raise GraphQLError("DateTime must be a string: a date and time with a UTC offset (RFC 3339)")
    return value


DATE_TIME = ScalarDefinition(
    name="DateTime",
    description="An instant, RFC 3339 with a UTC offset, e.g. 2026-01-31T12:00:00Z. Answers are in UTC.",
    specified_by_url="https://scalars.graphql.org/andimarek/date-time.html",
    serialize=_serialize,
    parse_value=_parse,
    parse_literal=None,
    origin=datetime,
)
