"""Conditions on dates, which may be instants or days: a day is compared by the caller's clock, and an instant is not.

Days are kept as instants of UTC, beside the others (``services.tasks.dates``), so a bound stands for two: itself, and
what the caller's clock shows then. The outer one of both bounds what is read of an index; of what is between them, the
instants meet the condition, or the days do. For a caller in UTC both are the same, and nothing else is asked.
"""

from datetime import datetime, tzinfo
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, type_coerce

from services.shared.conditions import of_column
from services.tasks.dates import by_clock

DAYS_ALONE = "days"
"""Said of a comparison that instants do not meet."""
_DAYS, _INSTANTS = "days further", "instants further"
"""Said of one with two bounds: what meets it between them."""


def in_zone(operator: str, instant: datetime, zone: tzinfo) -> tuple[tuple[str, ...], tuple[datetime, ...]]:
    """How dates are compared with an instant, and its bounds: the outer one first."""
    shown = by_clock(instant, zone)
    if shown == instant:
        return (operator,), (instant,)
    if (shown > instant) == (operator in ("lt", "lte")):
        return (operator, _DAYS), (shown, instant)
    return (operator, _INSTANTS), (instant, shown)


def compared(column: Any, all_day: Any, values: list[Any], operator: str, how: str = "") -> ColumnElement[bool]:
    """An operator's comparison of a date with the bounds of ``in_zone``; ``all_day`` says which dates are days."""
    if how == DAYS_ALONE:
        # in a list, a parameter does not take its type from the column
        days: list[Any] = [type_coerce(value, column.type) for value in values]
        return and_(of_column(column, days, operator), all_day.is_not(None))
    outer = of_column(column, values[:1], operator)
    if not how:
        return outer
    between = all_day.is_not(None) if how == _DAYS else all_day.is_(None)
    return and_(outer, or_(of_column(column, values[1:], operator), between))
