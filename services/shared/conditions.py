"""Conditions of the filter language as SQL, whatever they are on; and the bounds of a filter."""

import operator as operators
from collections.abc import Sequence
from datetime import date, datetime, tzinfo
from typing import Any

from sqlalchemy import ColumnElement, func, literal, not_

from core.clock import now
from db.driver.sessions import AnyColumn
from services.shared.errors import BadUserInput
from services.shared.moments import RelativeMoment
from services.shared.prices import MAX_CONDITIONS, MAX_TEXT, MAX_VALUES

SMALL = 100
"""Values of a filter that is worth keeping what was made of it; of their text, ten bytes for each."""


class ZoneWanted(Exception):
    """A filter speaks of days, and it is not known whose."""


class PresentWanted(Exception):
    """A filter speaks of the present, and is to mean the same later on."""


class Budget:
    """What is left of the bounds of a filter."""

    __slots__ = ("_lasts", "_moment", "_zone", "conditions", "text", "values")

    def __init__(self, zone: tzinfo | None = None, *, lasts: bool = False) -> None:
        """``zone`` is the caller's, for days and instants relative to the present; a filter that ``lasts`` is to mean
        the same later on."""
        self._zone, self._lasts = zone, lasts
        self.conditions, self.values, self.text = MAX_CONDITIONS, MAX_VALUES, MAX_TEXT
        self._moment: datetime | None = None

    @property
    def is_of_now(self) -> bool:
        """Whether something in the filter depends on the present."""
        return self._moment is not None

    @property
    def is_small(self) -> bool:
        """Whether little is in the filter."""
        return self.values >= MAX_VALUES - SMALL and self.text >= MAX_TEXT - 10 * SMALL

    def moment(self) -> datetime:
        """The present, the same for the whole filter. Raises ``PresentWanted``."""
        if self._lasts:
            raise PresentWanted
        self._moment = self._moment or now()
        return self._moment

    def instant(self, relative: RelativeMoment) -> datetime:
        """The instant that is meant, for the caller and now. Raises ``ZoneWanted``, ``PresentWanted``,
        ``BadUserInput``."""
        if self._zone is None:
            raise ZoneWanted
        try:
            return relative.at(self.moment(), self._zone)
        except ValueError as error:
            raise BadUserInput.at("/filter", f"{relative}: {error}", "moment") from None

    def day(self, moment: date | RelativeMoment) -> date:
        """The day that is meant, for the caller and now. Raises as ``instant`` does."""
        if isinstance(moment, date):
            return moment
        instant = self.instant(moment)
        try:
            return instant.astimezone(self._zone).date()
        except OverflowError:
            raise BadUserInput.at("/filter", f"{moment}: the date is outside the calendar", "moment") from None

    @property
    def zone(self) -> tzinfo:
        """Whose days are meant. Raises ``ZoneWanted``."""
        if self._zone is None:
            raise ZoneWanted
        return self._zone

    def spend_condition(self) -> None:
        """One condition more. Raises ``BadUserInput`` where that is too many."""
        self.conditions -= 1
        if self.conditions < 0:
            raise BadUserInput.at("/filter", f"more than {MAX_CONDITIONS} conditions")

    def spend(self, values: Sequence[object]) -> None:
        """Values that are compared with. Raises ``BadUserInput`` where these are too many, or too much text."""
        self.values -= len(values)
        if self.values < 0:
            raise BadUserInput.at("/filter", f"more than {MAX_VALUES:,} values")
        texts = [value for value in values if isinstance(value, str)]
        if texts:
            self.text -= sum(len(text) if text.isascii() else len(text.encode()) for text in texts)
            if self.text < 0:
                raise BadUserInput.at("/filter", f"more than {MAX_TEXT:,} bytes of text")


def negated(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """The opposite, which is also true of what the condition is unknown of: that has no value."""
    return not_(func.coalesce(condition, literal(False)))


def of_column(
    column: AnyColumn, values: list[object], operator: str, wanted: bool | None = None
) -> ColumnElement[bool]:
    """An operator's comparison of a column with values; ``wanted`` is the value of one that takes true or false."""
    if operator == "is_null":
        found: ColumnElement[bool] = column.is_(None) if wanted else column.is_not(None)
    elif operator in ("in_", "not_in"):
        found = column.in_(values) if operator == "in_" else column.not_in(values)
    else:
        found = _COMPARISONS[operator](column, values[0])
    return found


_COMPARISONS: dict[str, Any] = {
    "eq": operators.eq,
    "ne": operators.ne,
    "gt": operators.gt,
    "gte": operators.ge,
    "lt": operators.lt,
    "lte": operators.le,
}
