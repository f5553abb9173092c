"""When tasks begin and are due: at an instant, or on a day without a time.

A day is no instant: it begins and ends where one is. A task that is due on a day has its end in UTC in ``due_at``, with
``due_all_day``; one that starts on a day its beginning in UTC in ``start_at``, with ``start_all_day`` (null for
instants). So orders, cursors and indexes know one column. Who asks which tasks are due before an instant is answered by
his own clock: what that shows at the instant is compared with days (``services.tasks.listing.conditions``).
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, LiteralString, NamedTuple, Protocol

from pydantic import ValidationInfo
from pydantic_core import PydanticCustomError

from services.shared import inputs

ALL_DAY = {"start_at": "start_all_day", "due_at": "due_all_day"}
"""The columns that say of an instant that it stands for a day."""
DAYS = {"start_on": "start_at", "due_on": "due_at"}
"""The instants that days are kept as."""
DATES = frozenset({*ALL_DAY, *DAYS})
OUT_OF_ORDER: Mapping[tuple[str, str], LiteralString] = {
    ("due_at", "start_at"): "must not be before start_at",
    ("due_on", "start_at"): "must not be before start_at",
    ("due_at", "start_on"): "must not be before start_on",
    ("due_on", "start_on"): "must not be before start_on",
}
"""What is said of dates whose order is wrong."""
EASTERNMOST, WESTERNMOST = timedelta(hours=14), timedelta(hours=-12)
"""The offsets from UTC between which the world's clocks are."""


def first_instant(day: date) -> datetime:
    """When a day begins in UTC."""
    return datetime.combine(day, time.min, UTC)


def last_instant(day: date) -> datetime:
    """The last microsecond of a day in UTC."""
    return datetime.combine(day, time.max, UTC)


def by_clock(instant: datetime, zone: tzinfo) -> datetime:
    """What the clocks of a zone show at an instant, as if they showed UTC; at the ends of the calendar, the instant."""
    try:
        return instant.astimezone(zone).replace(tzinfo=UTC, fold=0)
    except OverflowError:
        return instant


def end_in(day: date, zone: tzinfo) -> datetime:
    """When a day is over where the clocks are those of a zone."""
    return (datetime.combine(day, time.min, zone) + timedelta(days=1)).astimezone(UTC)


class Dated(Protocol):
    """What may begin, and be due, at an instant or on a day."""

    @property
    def start_at(self) -> datetime | None: ...

    @property
    def start_on(self) -> date | None: ...

    @property
    def due_at(self) -> datetime | None: ...

    @property
    def due_on(self) -> date | None: ...


class Stored(NamedTuple):
    """What the columns hold."""

    start_at: datetime | None
    start_all_day: bool | None
    due_at: datetime | None
    due_all_day: bool | None


def stored(start_at: datetime | None, start_on: date | None, due_at: datetime | None, due_on: date | None) -> Stored:
    """What the columns hold for a task that begins and is due then."""
    starts_on_day, due_on_day = start_on is not None, due_on is not None
    return Stored(
        first_instant(start_on) if start_on is not None else start_at,
        starts_on_day or None,
        last_instant(due_on) if due_on is not None else due_at,
        due_on_day or None,
    )


def stored_of(values: Mapping[str, Any]) -> Stored:
    """As ``stored``, of the fields of a task."""
    return stored(values["start_at"], values["start_on"], values["due_at"], values["due_on"])


def settled(sent: Mapping[str, Any]) -> dict[str, Any]:
    """What is sent, where an instant takes the place of a day, and a day that of an instant."""
    new = dict(sent)
    for day, instant in DAYS.items():
        if sent.get(day) is not None:
            new.setdefault(instant, None)
        elif sent.get(instant) is not None:
            new.setdefault(day, None)
    return new


def require_one(instant: object, day: object, name: str) -> None:
    """Raises for an instant and a day together; ``name`` is that of the instant."""
    if instant is not None and day is not None:
        raise PydanticCustomError("exclusive", "not together with {name}", {"name": name})


def out_of_order(
    start_at: datetime | None, start_on: date | None, due_at: datetime | None, due_on: date | None
) -> tuple[str, str] | None:
    """The names of both, where a task is due before it starts: a day and an instant only where that is so
    everywhere in the world."""
    if start_on is not None and due_on is not None:
        return ("due_on", "start_on") if due_on < start_on else None
    if start_at is not None and due_at is not None:
        return ("due_at", "start_at") if due_at < start_at else None
    if start_at is not None and due_on is not None:
        # not added to the day, which may be the last one of the calendar
        return ("due_on", "start_at") if start_at - last_instant(due_on) > -WESTERNMOST else None
    if start_on is not None and due_at is not None:
        return ("due_at", "start_on") if first_instant(start_on) - due_at > EASTERNMOST else None
    return None


def instead(day: date | None, info: ValidationInfo) -> date | None:
    """The day of a model's field. Raises where there is an instant as well."""
    instant = DAYS[str(info.field_name)]
    require_one(info.data.get(instant), day, instant)
    return day


def in_order(due: date | None, info: ValidationInfo) -> date | None:
    """The due date of a model's field. Raises where the start is later."""
    values = {**dict.fromkeys(DATES), **info.data, str(info.field_name): due}
    wrong = out_of_order(values["start_at"], values["start_on"], values["due_at"], values["due_on"])
    if wrong is not None and wrong[0] == info.field_name:
        raise inputs.out_of_order(OUT_OF_ORDER[wrong])
    return due
