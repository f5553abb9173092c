"""What a recurrence takes and answers."""

from datetime import date, datetime
from functools import lru_cache
from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, Field, TypeAdapter, field_validator, model_validator
from pydantic_core import PydanticCustomError

from services.recurrences import rules
from services.recurrences.rules import MAX_RULE, Rule
from services.shared.inputs import Day, DescribedEnum, Input, Text, Timestamp, Whole, absent
from services.shared.outputs import Output
from services.tasks import dates
from services.users.models import Timezone

_DUE = "2026-01-31T17:00:00Z"
MAX_OCCURRENCES = 10
"""Of those to come, that are told at once."""


class RepeatFrom(DescribedEnum):
    """From where the next task of a series is counted."""

    DUE_DATE = "due_date", "From where the rule put the former task, whenever that is done: every Monday."
    COMPLETION_DATE = "completion_date", "From the day on which the former task is done: three days later."


class CreateNext(DescribedEnum):
    """What makes the next task of a series."""

    ON_COMPLETION = "on_completion", "The completion of the former task."
    ON_SCHEDULE = "on_schedule", "Its time: when it may begin, or is due, whatever became of the former task."


parse = lru_cache(1_000)(rules.parse)
"""As ``rules.parse``; what was parsed is remembered."""


def _canonical(text: str) -> str:
    return str(parse(text))


RuleText = Annotated[
    Text,
    Field(
        max_length=MAX_RULE,
        description="When it recurs: an RRULE of RFC 5545 by FREQ=DAILY, WEEKLY, MONTHLY or YEARLY, with INTERVAL, "
        "COUNT or UNTIL, BYMONTH, BYMONTHDAY, BYDAY, BYSETPOS and WKST. It is kept in its canonical form.",
        examples=["FREQ=WEEKLY;BYDAY=MO"],
    ),
    AfterValidator(_canonical),
]


class Recurrence(Input):
    """How a task recurs."""

    rule: RuleText
    timezone: Timezone | None = Field(
        default_factory=absent,
        description="The time zone of the IANA database in whose calendar it recurs; the caller's own when left out.",
    )
    repeat_from: RepeatFrom = Field(default=RepeatFrom.DUE_DATE, description="From where the next one is counted.")
    create_next: CreateNext = Field(default=CreateNext.ON_COMPLETION, description="What makes the next one.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.repeat_from is RepeatFrom.COMPLETION_DATE and self.create_next is CreateNext.ON_SCHEDULE:
            raise PydanticCustomError(
                "recurrence",
                "what is counted from the completion date is made on completion: there is no other schedule",
            )
        return self


class RecurrenceOut(Output):
    """How a task recurs."""

    series_id: int = Field(description="The same for all tasks of a series.")
    rule: str = Field(description="When it recurs, in its canonical form.", examples=["FREQ=WEEKLY;BYDAY=MO"])
    timezone: str = Field(description="The time zone in whose calendar it recurs.", examples=["Europe/Vienna"])
    repeat_from: RepeatFrom = Field(description="From where the next one is counted.")
    create_next: CreateNext = Field(description="What makes the next one.")
    number: int = Field(description="Which occurrence of the series the task is; those that were passed over count.")
    occurrence: str = Field(
        description="Where the rule puts the task, as clocks in the time zone show it, whatever it is due now.",
        examples=["2026-01-31T09:00:00"],
    )


class RecurrenceRecord(NamedTuple):
    """A series, at the task that it has come to."""

    id: int
    task_id: int
    rule: str
    timezone: str
    repeat_from: str
    create_next: str
    number: int
    occurrence: str
    next_at: datetime | None = None

    @property
    def series_id(self) -> int:
        return self.id

    @property
    def parsed(self) -> Rule:
        """The rule."""
        return parse(self.rule)

    def told(self) -> dict[str, object]:
        """What events tell of it: what ``RecurrenceOut`` has."""
        return {name: getattr(self, name) for name in RecurrenceOut.model_fields}


Limit = Annotated[
    int, Field(ge=1, le=MAX_OCCURRENCES, description=f"How many at most, 1 to {MAX_OCCURRENCES}.", examples=[5])
]
LIMIT: TypeAdapter[int] = TypeAdapter(Limit)


class Occurrences(Recurrence):
    """Asks when a task would recur that has these dates."""

    start_at: Timestamp | None = Field(default_factory=absent, description="When work on it may begin.")
    start_on: Day | None = Field(
        default_factory=absent, description="The day on which work on it may begin, instead of start_at."
    )
    due_at: Timestamp | None = Field(
        default_factory=absent, description="When the task is due, from where it is counted.", examples=[_DUE]
    )
    due_on: Day | None = Field(default_factory=absent, description="The day on which it is due, instead of due_at.")
    limit: Annotated[Limit, Field(strict=True), Whole] = MAX_OCCURRENCES

    _check_days = field_validator("start_on", "due_on")(dates.instead)
    _check_range = field_validator("due_at", "due_on")(dates.in_order)


class OccurrenceOut(Output):
    """A task of a series that is to come."""

    number: int = Field(description="Which occurrence of the series it is.")
    start_at: datetime | None = Field(description="When work on it may begin, in UTC.")
    start_on: date | None = Field(description="The day on which work on it may begin.")
    due_at: datetime | None = Field(description="When it is due, in UTC; null where that is a day.")
    due_on: date | None = Field(description="The day on which it is due.")


class Occurrence(NamedTuple):
    """A task of a series that is to come."""

    number: int
    start_at: datetime | None
    due_at: datetime | None
    start_on: date | None = None
    due_on: date | None = None
