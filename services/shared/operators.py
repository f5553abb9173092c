"""What conditions are made of, whatever they are on: what a field of a kind can be compared with.

Conditions on what may be missing are null-aware: ``not`` of a condition is true for rows where the value is missing.
"""

from datetime import date, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from services.shared.external_ids import ExternalText
from services.shared.inputs import (
    Bool,
    Composed,
    Input,
    Int,
    ProjectId,
    ShownText,
    TaskId,
    Text,
    UserId,
    absent,
    one_line,
    out_of_order,
)
from services.shared.moments import DayMoment, Moment, are_out_of_order

TextPart = Annotated[ShownText, Field(max_length=100)]
LinePart = Annotated[TextPart, AfterValidator(one_line)]
"""What is looked for in names and titles, which are one line."""


def one_of(description: str) -> Any:
    """The field of a filter whose value is one of a list."""
    return Field(default_factory=absent, min_length=1, max_length=100, alias="in", description=description)


def none_of(description: str) -> Any:
    """The field of a filter whose value is none of a list."""
    return Field(default_factory=absent, min_length=1, max_length=100, description=description)


class IntFilter(Input):
    """Conditions on a number."""

    eq: Int = Field(default_factory=absent, description="Is this one.")
    ne: Int = Field(default_factory=absent, description="Is another one.")
    in_: list[Int] = one_of("Is one of these.")
    not_in: list[Int] = none_of("Is none of these.")
    gt: Int = Field(default_factory=absent, description="Is greater than this.")
    gte: Int = Field(default_factory=absent, description="Is this or greater.")
    lt: Int = Field(default_factory=absent, description="Is less than this.")
    lte: Int = Field(default_factory=absent, description="Is this or less.")


class TimestampFilter(Input):
    """Conditions on an instant, which may be relative to the present: today+7d. A range whose end is before its start
    is refused, unless one of them is relative."""

    gt: Moment = Field(default_factory=absent, description="Is after this.")
    gte: Moment = Field(default_factory=absent, description="Is this or after.")
    lt: Moment = Field(default_factory=absent, description="Is before this.")
    lte: Moment = Field(default_factory=absent, description="Is this or before.")
    is_null: Bool = Field(default_factory=absent, description="Is missing (true) or is there (false).")

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        starts: list[datetime] = [moment for name, moment in self.sent().items() if name in ("gt", "gte")]
        ends: list[datetime] = [moment for name, moment in self.sent().items() if name in ("lt", "lte")]
        if any(are_out_of_order(start, end) for start in starts for end in ends):
            raise out_of_order("the range ends before it starts")
        return self


class DateFilter(Input):
    """Conditions on a day without a time, which may be relative to the present: today+7d. A range whose end is before
    its start is refused, unless one of them is relative."""

    eq: DayMoment = Field(default_factory=absent, description="Is this one.")
    ne: DayMoment = Field(default_factory=absent, description="Is another one.")
    in_: list[DayMoment] = one_of("Is one of these.")
    not_in: list[DayMoment] = none_of("Is none of these.")
    gt: DayMoment = Field(default_factory=absent, description="Is after this.")
    gte: DayMoment = Field(default_factory=absent, description="Is this or after.")
    lt: DayMoment = Field(default_factory=absent, description="Is before this.")
    lte: DayMoment = Field(default_factory=absent, description="Is this or before.")
    is_null: Bool = Field(default_factory=absent, description="Is missing (true) or is there (false).")

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        starts: list[date] = [day for name, day in self.sent().items() if name in ("gt", "gte")]
        ends: list[date] = [day for name, day in self.sent().items() if name in ("lt", "lte")]
        if any(are_out_of_order(start, end) for start in starts for end in ends):
            raise out_of_order("the range ends before it starts")
        return self


LineText = Annotated[Text, Composed, Field(max_length=1000)]
"""What names are compared with as a whole."""


class WholeNameFilter(Input):
    """Conditions on a name as a whole, to the letter."""

    eq: LineText = Field(default_factory=absent, description="Is exactly this.")
    ne: LineText = Field(default_factory=absent, description="Is another one.")
    in_: list[LineText] = one_of("Is exactly one of these.")
    not_in: list[LineText] = none_of("Is none of these.")


class NameFilter(WholeNameFilter):
    """Conditions on a name."""

    contains: LinePart = Field(default_factory=absent, description="Has this in it, whatever the case.")
    starts_with: LinePart = Field(default_factory=absent, description="Begins with this, whatever the case.")


class KeyFilter(Input):
    """Conditions on a short text that is compared as a whole."""

    eq: ExternalText = Field(default_factory=absent, description="Is this one.")
    ne: ExternalText = Field(default_factory=absent, description="Is another one.")
    in_: list[ExternalText] = one_of("Is one of these.")
    not_in: list[ExternalText] = none_of("Is none of these.")


class TextFilter(Input):
    """Conditions on a longer text."""

    contains: TextPart = Field(default_factory=absent, description="Has this in it, whatever the case.")
    starts_with: TextPart = Field(default_factory=absent, description="Begins with this, whatever the case.")


class ExternalFilter(Input):
    """Conditions on what something is called in another system."""

    eq: ExternalText = Field(default_factory=absent, description="Is exactly this.")
    ne: ExternalText = Field(default_factory=absent, description="Is another one.")
    in_: list[ExternalText] = one_of("Is exactly one of these.")
    not_in: list[ExternalText] = none_of("Is none of these.")
    is_null: Bool = Field(default_factory=absent, description="Is missing (true) or is there (false).")


class ProjectRefFilter(Input):
    """Conditions on the project."""

    eq: ProjectId = Field(default_factory=absent, description="Is this one.")
    ne: ProjectId = Field(default_factory=absent, description="Is another one.")
    in_: list[ProjectId] = one_of("Is one of these.")
    not_in: list[ProjectId] = none_of("Is none of these.")


class TaskRefFilter(Input):
    """Conditions on a reference to a task."""

    eq: TaskId = Field(default_factory=absent, description="Is this one.")
    ne: TaskId = Field(default_factory=absent, description="Is another one.")
    in_: list[TaskId] = one_of("Is one of these.")
    not_in: list[TaskId] = none_of("Is none of these.")
    is_null: Bool = Field(default_factory=absent, description="Is missing (true) or is there (false).")


class UserRefFilter(Input):
    """Conditions on a reference to a user."""

    eq: UserId = Field(default_factory=absent, description="Is this one.")
    ne: UserId = Field(default_factory=absent, description="Is another one.")
    in_: list[UserId] = one_of("Is one of these.")
    not_in: list[UserId] = none_of("Is none of these.")
    is_null: Bool = Field(default_factory=absent, description="Is missing (true) or is there (false).")
