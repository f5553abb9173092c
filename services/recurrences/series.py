"""The calendar of a series: where its next tasks fall, in its time zone, over changes of the clocks.

Dates come of the rule, and the time of day stays as the clocks show it. What the clocks never show, because they are
put forward, is taken by the offset before (02:30 is then 03:30); of what they show twice, the first is meant (RFC 5545,
section 3.3.5).
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from services.recurrences.models import CreateNext, Occurrence, Recurrence, RecurrenceRecord, RepeatFrom
from services.recurrences.rules import Looked
from services.shared.errors import BadUserInput
from services.shared.time_zones import zone_named

_DAY = timedelta(days=1)


class Dates(NamedTuple):
    """When a task may begin, and is due."""

    start_at: datetime | None
    due_at: datetime


class Place(NamedTuple):
    """Where a rule puts a task: which occurrence of the series that is, and when, as the clocks show it."""

    number: int
    local: datetime

    @property
    def text(self) -> str:
        """As it is kept."""
        return self.local.isoformat()


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
        raise BadUserInput.at(pointer, "needs due_at: the next one is counted from there", "recurrence")
    name = recurrence.timezone or (current.timezone if current else zone)
    try:
        local = dates.due_at.astimezone(zone_named(name)).replace(tzinfo=None, fold=0)
    except OverflowError:
        raise BadUserInput.at(pointer, "due_at is outside the calendar of its time zone", "recurrence") from None
    number = current.number if current and current.rule == recurrence.rule else 1
    how = (str(recurrence.repeat_from), str(recurrence.create_next))
    ids = (current.id, current.task_id) if current else (0, 0)
    record = RecurrenceRecord(*ids, recurrence.rule, name, *how, number=number, occurrence=local.isoformat())
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
        if record.repeat_from == RepeatFrom.COMPLETION_DATE or not _is_past(record, last.local, moment, here):
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
        if not _is_past(record, begins, moment, here):
            following = moved(record, dates, place)
            if (following.start_at or following.due_at) > moment:
                break
        latest = place
    return latest


def upcoming(record: RecurrenceRecord, dates: Dates, moment: datetime, most: int, looked: Looked) -> list[Occurrence]:
    """The tasks that are to come, if each is done on the day on which it is due, and the one before it now."""
    found: list[Place] = []
    passed, here = None, _local(record, moment)
    passes_over = record.repeat_from == RepeatFrom.DUE_DATE and record.create_next == CreateNext.ON_COMPLETION
    for place in _coming(record, moment, looked):
        if passes_over and _is_past(record, place.local, moment, here):
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
    due_at = instant(record, place.local)
    if dates.start_at is None:
        return Dates(None, due_at)
    try:
        start_at = instant(record, place.local - _lead(record, dates))
    except OverflowError:
        start_at = due_at
    # the clocks may be put forward in between
    return Dates(min(start_at, due_at), due_at)


def _lead(record: RecurrenceRecord, dates: Dates) -> timedelta:
    """How long before it is due a task may begin, by the clocks."""
    if dates.start_at is None:
        return timedelta()
    return _local(record, dates.due_at) - _local(record, dates.start_at)


def _is_past(record: RecurrenceRecord, local: datetime, moment: datetime, here: datetime) -> bool:
    """Whether what the clocks show was at an instant, or before, at which they show ``here``. What is more than a day
    away is known without its instant, which takes longer to find than the date."""
    if abs(local - here) > _DAY:
        return local < here
    return instant(record, local) <= moment


def shifted(record: RecurrenceRecord, moment: datetime | None, by: timedelta) -> datetime | None:
    """An instant, so much later by the clocks; None where that is outside of the calendar."""
    if moment is None:
        return None
    try:
        return instant(record, _local(record, moment) + by)
    except OverflowError:
        return None


def distance(record: RecurrenceRecord, due_at: datetime, place: Place) -> timedelta:
    """How much later a place is than a due date, by the clocks."""
    return place.local - _local(record, due_at)


def instant(record: RecurrenceRecord, local: datetime) -> datetime:
    """When the clocks of the series' time zone show this."""
    return local.replace(tzinfo=zone_named(record.timezone), fold=0).astimezone(UTC)


def _local(record: RecurrenceRecord, moment: datetime) -> datetime:
    return moment.astimezone(zone_named(record.timezone)).replace(tzinfo=None, fold=0)


def _coming(record: RecurrenceRecord, moment: datetime, looked: Looked) -> Iterator[Place]:
    """The places after the one that the series has come to, or after the day of its completion."""
    if record.repeat_from == RepeatFrom.COMPLETION_DATE:
        return _after(record, _local(record, moment).date(), looked)
    return _after(record, datetime.fromisoformat(record.occurrence).date(), looked)


def _after(record: RecurrenceRecord, day: date, looked: Looked) -> Iterator[Place]:
    rule, number = record.parsed, record.number
    time = datetime.fromisoformat(record.occurrence).time()
    for each in rule.dates(day, looked):
        if each <= day:
            continue
        number += 1
        local = datetime.combine(each, time)
        if (rule.count is not None and number > rule.count) or _is_over(record, rule.until, local):
            return
        yield Place(number, local)


def _is_over(record: RecurrenceRecord, until: date | datetime | None, local: datetime) -> bool:
    if isinstance(until, datetime):
        return instant(record, local) > until
    return until is not None and local.date() > until


def _next_at(record: RecurrenceRecord, dates: Dates, looked: Looked) -> datetime | None:
    if record.create_next != CreateNext.ON_SCHEDULE:
        return None
    place = next(_coming(record, dates.due_at, looked), None)
    if place is None:
        return None
    following = moved(record, dates, place)
    return following.start_at or following.due_at
