"""Series that begin with new tasks."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from db.driver.sessions import Session
from services.recurrences import rows, series
from services.recurrences.models import Recurrence, RecurrenceRecord
from services.recurrences.rules import Looked
from services.recurrences.series import Dates
from services.shared.actors import Actor
from services.shared.time_zones import zone_name_of
from services.tasks.dates import Dated


class Recurring(Dated, Protocol):
    """A new task that may recur."""

    @property
    def recurrence(self) -> Recurrence | None: ...


Begin = Callable[..., RecurrenceRecord | None]
"""Given a new task, and where in the body it is: the series that begins with it, if any. Raises ``BadUserInput``."""


async def read(session: Session, actor: Actor, items: Iterable[Recurring]) -> Begin:
    """What makes the series of new tasks; nothing is read unless some are to recur in the caller's own time zone."""
    zoneless = any(item.recurrence is not None and item.recurrence.timezone is None for item in items)
    zone, looked = await zone_name_of(session, actor) if zoneless else "UTC", Looked()

    def begin(item: Recurring, pointer: str = "") -> RecurrenceRecord | None:
        if item.recurrence is None:
            return None
        dates = Dates(item.start_at, item.due_at, item.start_on, item.due_on)
        return series.begun(
            item.recurrence, dates if dates.are_due else None, zone, looked, pointer=f"{pointer}/recurrence"
        )

    return begin


async def write(session: Session, begun: Mapping[int, RecurrenceRecord | None]) -> Mapping[int, RecurrenceRecord]:
    """Write the series that begin with tasks, by their ids; without any, nothing happens."""
    new = [record._replace(task_id=task_id) for task_id, record in begun.items() if record is not None]
    return await rows.write(session, new)
