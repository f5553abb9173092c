"""The calendar of a series: where its next tasks fall, in its time zone, over changes of the clocks.

Dates come of the rule, and the time of day stays as the clocks show it. What the clocks never show, because they are
put forward, is taken by the offset before (02:30 is then 03:30); of what they show twice, the first is meant (RFC 5545,
section 3.3.5).
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, NamedTuple

from services.recurrences.models import CreateNext, Occurrence, Recurrence, RecurrenceRecord, RepeatFrom
from services.recurrences.rules import Looked
from services.shared.errors import BadUserInput
from services.shared.time_zones import zone_named
from services.tasks.dates import by_clock

_DAY = timedelta(days=1)
_LENGTH_OF_DAY = len("2026-01-31")


class Dates(NamedTuple):
    """When a task may begin, and is due: at an instant, or on a day."""

    start_at: datetime | None
    due_at: datetime | None
    start_on: date | None = None
    due_on: date | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Dates | None":
        """Those of a task, by its fields; None for one that is not due."""
        dates = cls(*(values[name] for name in cls._fields))
        return dates if dates.are_due else None

    @property
    def are_due(self) -> bool:
        """Whether there is a due date among them."""
        return self.due_at is not None or self.due_on is not None


class Place(NamedTuple):
    """Where a rule puts a task: which occurrence of the series that is, and when, as the clocks show it."""

    number: int
    local: datetime
    """The time at which it is due; of a day, its beginning."""
    all_day: bool

    @property
    def text(self) -> str:
        """As it is kept."""
        return self.local.date().isoformat() if self.all_day else self.local.isoformat()

    @property
    def over(self) -> datetime:
        """When it is over, as the clocks show it."""
        return self.local + _DAY if self.all_day else self.local


def begun(
    recurrence: Recurrence,
    dates: Dates | None,
    zone: str,
    looked: Looked,
    *,
    current: RecurrenceRecord | None = None,
    pointer: str = "/recurrence",
) -> RecurrenceRecord:
    """The series of a task that is to recur so: a new one, without an id yet; or the ``current`` one, from where the
    task is due now. Where the rule stays, it counts on. Raises ``BadUserInput``."""
    if dates is None:
        raise BadUserInput.at(pointer, "needs due_at or due_on: the next one is counted from there", "recurrence")
    name = recurrence.timezone or (current.timezone if current else zone)
    if not _is_shown(dates.due_at, zone_named(name)):
        raise BadUserInput.at(pointer, "due_at is outside the calendar of its time zone", "recurrence")
    local = _due(dates, zone_named(name))
    occurrence = Place(1, local, dates.due_on is not None).text
    number = current.number if current and current.rule == recurrence.rule else 1
    how = (str(recurrence.repeat_from), str(recurrence.create_next))
    ids = (current.id, current.task_id) if current else (0, 0)
    record = RecurrenceRecord(*ids, recurrence.rule, name, *how, number=number, occurrence=occurrence)
    if current is not None and record == current._replace(next_at=None):
        return current
    if next(_after(record, local.date(), looked), None) is None:
        raise BadUserInput.at(
            f"{pointer}/rule", f"does not occur again after {local.date()}, as far as it is looked through", "rrule"
        )
    return scheduled(record, dates, looked)


def scheduled(record: RecurrenceRecord, dates: Dates, looked: Looked) -> RecurrenceRecord:
    """The series, with when the next task is to be made if its task has these dates."""
    return record._replace(next_at=_next_at(record, dates, looked))


def on_completion(record: RecurrenceRecord, moment: datetime, looked: Looked) -> Place | None:
    """The task that follows one which is completed at an instant; None where the series ends.

    What was missed is passed over: it is the first that is not in the past. Where that is further than is looked
    through, it is the last of what was.
    """
    last, here = None, _local(record, moment)
    for last in _coming(record, moment, looked):
        if record.repeat_from == RepeatFrom.COMPLETION_DATE or not _is_past(record, last.over, moment, here):
            return last
    return None if record.parsed.ends else last


def on_schedule(record: RecurrenceRecord, dates: Dates, moment: datetime, looked: Looked) -> Place | None:
    """The task that is to be made by an instant; None where its time has not come, or the series has ended.

    Of several that were missed, it is the latest; the others are passed over.
    """
    latest, here = None, _local(record, moment)
    lead = _lead(record, dates)
    for place in _coming(record, moment, looked):
        begins = place.local - lead if place.local - datetime.min > lead else datetime.min
        # of a day on which it may begin, the beginning is looked at
        if not _is_past(record, begins, moment, here) and _begins(record, moved(record, dates, place)) > moment:
            break
        latest = place
    return latest


def upcoming(record: RecurrenceRecord, dates: Dates, moment: datetime, most: int, looked: Looked) -> list[Occurrence]:
    """The tasks that are to come, if each is done on the day on which it is due, and the one before it now."""
    found: list[Place] = []
    passed, here = None, _local(record, moment)
    passes_over = record.repeat_from == RepeatFrom.DUE_DATE and record.create_next == CreateNext.ON_COMPLETION
    for place in _coming(record, moment, looked):
        if passes_over and _is_past(record, place.over, moment, here):
            passed = place
            continue
        found.append(place)
        if len(found) == most:
            break
    if not found and passed is not None and not record.parsed.ends:
        found = [passed]
    return [Occurrence(place.number, *moved(record, dates, place)) for place in found]


def moved(record: RecurrenceRecord, dates: Dates, place: Place) -> Dates:
    """The dates of the task at a place: as far from each other as those of the former one are, by the clocks."""
    due_at = None if place.all_day else instant(record, place.local)
    due_on = place.local.date() if place.all_day else None
    start_at, start_on = None, None
    try:
        if dates.start_on is not None:
            start_on = (place.local - _lead(record, dates)).date()
        elif dates.start_at is not None:
            start_at = instant(record, place.local - _lead(record, dates))
    except OverflowError:
        start_at, start_on = due_at, due_on
    # the clocks may be put forward in between
    if start_at is not None and due_at is not None:
        start_at = min(start_at, due_at)
    return Dates(start_at, due_at, start_on, due_on)


def _begins(record: RecurrenceRecord, dates: Dates) -> datetime:
    """When the time of a task has come: when it may begin, or else is due; on a day, with the day."""
    for moment, day in ((dates.start_at, dates.start_on), (dates.due_at, dates.due_on)):
        if moment is not None:
            return moment
        if day is not None:
            return instant(record, datetime.combine(day, time.min))
    raise ValueError("a task that recurs is due")


def _is_shown(moment: datetime | None, zone: tzinfo) -> bool:
    """Whether the clocks of a zone show an instant, which they do not at the ends of the calendar."""
    try:
        if moment is not None:
            moment.astimezone(zone)
    except OverflowError:
        return False
    return True


def _due(dates: Dates, zone: tzinfo) -> datetime:
    """When a task is due, as the clocks show it; on a day, its beginning."""
    if dates.due_at is not None:
        return by_clock(dates.due_at, zone).replace(tzinfo=None)
    return datetime.combine(dates.due_on or date.min, time.min)


def _lead(record: RecurrenceRecord, dates: Dates) -> timedelta:
    """How long before it is due a task may begin, by the clocks; of a day on which it may, in whole days."""
    due = _due(dates, zone_named(record.timezone))
    if dates.start_on is not None:
        return timedelta(days=(due.date() - dates.start_on).days)
    return timedelta() if dates.start_at is None else due - _local(record, dates.start_at)


def _is_past(record: RecurrenceRecord, local: datetime, moment: datetime, here: datetime) -> bool:
    """Whether what the clocks show was at an instant, or before, at which they show ``here``. What is more than a day
    away is known without its instant, which takes longer to find than the date."""
    if abs(local - here) > _DAY:
        return local < here
    return instant(record, local) <= moment


def shifted(record: RecurrenceRecord, dates: Dates, by: timedelta) -> Dates:
    """Dates, so much later by the clocks, days by whole days; none where that is outside of the calendar."""
    try:
        start_at, due_at = (
            None if moment is None else instant(record, _local(record, moment) + by)
            for moment in (dates.start_at, dates.due_at)
        )
        start_on, due_on = (None if day is None else day + by for day in (dates.start_on, dates.due_on))
    except OverflowError:
        return Dates(None, None)
    return Dates(start_at, due_at, start_on, due_on)


def distance(record: RecurrenceRecord, dates: Dates, place: Place) -> timedelta:
    """How much later a place is than a due date, by the clocks."""
    return place.local - _due(dates, zone_named(record.timezone))


def instant(record: RecurrenceRecord, local: datetime) -> datetime:
    """When the clocks of the series' time zone show this; at the ends of the calendar, when those of UTC do."""
    try:
        return local.replace(tzinfo=zone_named(record.timezone), fold=0).astimezone(UTC)
    except OverflowError:
        return local.replace(tzinfo=UTC)


def _local(record: RecurrenceRecord, moment: datetime) -> datetime:
    return by_clock(moment, zone_named(record.timezone)).replace(tzinfo=None)


def _coming(record: RecurrenceRecord, moment: datetime, looked: Looked) -> Iterator[Place]:
    """The places after the one that the series has come to, or after the day of its completion."""
    if record.repeat_from == RepeatFrom.COMPLETION_DATE:
        return _after(record, _local(record, moment).date(), looked)
    return _after(record, datetime.fromisoformat(record.occurrence).date(), looked)


def _after(record: RecurrenceRecord, day: date, looked: Looked) -> Iterator[Place]:
    rule, number, all_day = record.parsed, record.number, len(record.occurrence) == _LENGTH_OF_DAY
    time_of_day = datetime.fromisoformat(record.occurrence).time()
    for each in rule.dates(day, looked):
        if each <= day:
            continue
        number += 1
        local = datetime.combine(each, time_of_day)
        if (rule.count is not None and number > rule.count) or _is_over(record, rule.until, local):
            return
        yield Place(number, local, all_day)


def _is_over(record: RecurrenceRecord, until: date | datetime | None, local: datetime) -> bool:
    if isinstance(until, datetime):
        return instant(record, local) > until
    return until is not None and local.date() > until


def _next_at(record: RecurrenceRecord, dates: Dates, looked: Looked) -> datetime | None:
    if record.create_next != CreateNext.ON_SCHEDULE:
        return None
    # from the due date alone: the moment is of no importance
    place = next(_coming(record, datetime.min, looked), None)
    return None if place is None else _begins(record, moved(record, dates, place))
