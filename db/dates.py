"""Dates made of instants by the database itself."""

from typing import Any

from sqlalchemy import ColumnElement, String
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.expression import FunctionElement

from db.driver.dialects import written


@written(
    # the Sunday that ends the week, six days back
    sqlite="date(substr({}, 1, 10), 'weekday 0', '-6 days')",
    postgresql="to_char(date_trunc('week', timezone('UTC', {})), 'YYYY-MM-DD')",
)
class monday_of(FunctionElement[str]):
    """The Monday of the week of an instant, in UTC, as text: ``2026-11-23``."""

    type = String()
    inherit_cache = True

    def __init__(self, moment: ColumnElement[Any] | InstrumentedAttribute[Any]) -> None:
        super().__init__(moment)
