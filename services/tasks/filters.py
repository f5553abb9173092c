"""One filter language: the same object is REST's ``filter`` JSON and GraphQL's ``filter`` input.

Every key of an object must hold (AND); ``and``, ``or`` and ``not`` nest. Conditions on what may be missing are
null-aware: ``not`` of a condition is true for rows where the value is missing.
"""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from services.inputs import (
    Bool,
    Composed,
    Input,
    Int,
    ProjectId,
    ShownText,
    TagName,
    TaskId,
    Text,
    Timestamp,
    UserId,
    absent,
    out_of_order,
)
from services.tasks.models import TaskStatus

SearchText = Annotated[
    ShownText,
    Field(
        max_length=100,
        description="In the title, the description or a comment, whatever the case; % and _ are letters.",
    ),
]

TitleText = Annotated[Text, Composed, Field(max_length=1000)]


def _one_of(description: str) -> Any:
    return Field(default_factory=absent, min_length=1, max_length=100, alias="in", description=description)


class StatusFilter(Input):
    """Conditions on the status."""

    eq: TaskStatus = Field(default_factory=absent, description="Is this one.")
    in_: list[TaskStatus] = _one_of("Is one of these.")


class IntFilter(Input):
    """Conditions on a number."""

    eq: Int = Field(default_factory=absent, description="Is this one.")
    in_: list[Int] = _one_of("Is one of these.")
    gt: Int = Field(default_factory=absent, description="Is greater than this.")
    gte: Int = Field(default_factory=absent, description="Is this or greater.")
    lt: Int = Field(default_factory=absent, description="Is less than this.")
    lte: Int = Field(default_factory=absent, description="Is this or less.")


class TimestampFilter(Input):
    """Conditions on an instant. A range whose end is before its start is refused."""

    gt: Timestamp = Field(default_factory=absent, description="Is after this.")
    gte: Timestamp = Field(default_factory=absent, description="Is this or after.")
    lt: Timestamp = Field(default_factory=absent, description="Is before this.")
    lte: Timestamp = Field(default_factory=absent, description="Is this or before.")
    is_null: Bool = Field(default_factory=absent, description="Is missing (true) or is there (false).")

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        starts: list[datetime] = [moment for name, moment in self.sent().items() if name in ("gt", "gte")]
        ends: list[datetime] = [moment for name, moment in self.sent().items() if name in ("lt", "lte")]
        if starts and ends and max(starts) > min(ends):
            raise out_of_order("the range ends before it starts")
        return self


class TitleFilter(Input):
    """Conditions on the title. To look for words, use ``search``."""

    eq: TitleText = Field(default_factory=absent, description="Is exactly this.")
    in_: list[TitleText] = _one_of("Is exactly one of these.")


class ProjectRefFilter(Input):
    """Conditions on the project."""

    eq: ProjectId = Field(default_factory=absent, description="Is this one.")
    in_: list[ProjectId] = _one_of("Is one of these.")


class TaskRefFilter(Input):
    """Conditions on a reference to a task."""

    eq: TaskId = Field(default_factory=absent, description="Is this one.")
    in_: list[TaskId] = _one_of("Is one of these.")
    is_null: Bool = Field(default_factory=absent, description="Is missing (true) or is there (false).")


class UserRefFilter(Input):
    """Conditions on a reference to a user."""

    eq: UserId = Field(default_factory=absent, description="Is this one.")
    in_: list[UserId] = _one_of("Is one of these.")
    is_null: Bool = Field(default_factory=absent, description="Is missing (true) or is there (false).")


class AssigneesFilter(Input):
    """Conditions on the people a task is assigned to."""

    any: list[UserId] = Field(
        default_factory=absent, min_length=1, max_length=100, description="At least one of these."
    )
    all: list[UserId] = Field(default_factory=absent, min_length=1, max_length=20, description="All of these.")
    none: list[UserId] = Field(default_factory=absent, min_length=1, max_length=100, description="None of these.")
    me: Bool = Field(default_factory=absent, description="The caller is (true) or is not (false) among them.")
    is_empty: Bool = Field(default_factory=absent, description="There is nobody (true) or somebody (false).")


class TagsFilter(Input):
    """Conditions on the tags, by name, whatever the case."""

    any: list[TagName] = Field(
        default_factory=absent, min_length=1, max_length=100, description="At least one of these."
    )
    all: list[TagName] = Field(default_factory=absent, min_length=1, max_length=20, description="All of these.")
    none: list[TagName] = Field(default_factory=absent, min_length=1, max_length=100, description="None of these.")
    is_empty: Bool = Field(default_factory=absent, description="There are none (true) or some (false).")


class RelationsFilter(Input):
    """Conditions on the tasks that a task relates to, in any way and from either end; the trash does not count."""

    any: list[TaskId] = Field(
        default_factory=absent, min_length=1, max_length=100, description="At least one of these."
    )
    none: list[TaskId] = Field(default_factory=absent, min_length=1, max_length=100, description="None of these.")
    is_empty: Bool = Field(default_factory=absent, description="There are none (true) or some (false).")


class TaskFilter(Input):
    """Which tasks. Every condition given must hold."""

    status: StatusFilter = Field(default_factory=absent, description="Where it stands.")
    priority: IntFilter = Field(default_factory=absent, description="From 1 (lowest) to 5 (highest).")
    number: IntFilter = Field(default_factory=absent, description="The number within the project.")
    title: TitleFilter = Field(default_factory=absent, description="What is to be done.")
    search: SearchText = Field(default_factory=absent)
    project: ProjectRefFilter = Field(default_factory=absent, description="The project that it belongs to.")
    parent: TaskRefFilter = Field(default_factory=absent, description="The task that it is a subtask of.")
    created_by: UserRefFilter = Field(default_factory=absent, description="The user who created it.")
    assignees: AssigneesFilter = Field(default_factory=absent, description="The people who are to do it.")
    tags: TagsFilter = Field(default_factory=absent, description="Its tags.")
    relations: RelationsFilter = Field(default_factory=absent, description="The tasks that it relates to.")
    blocked: Bool = Field(
        default_factory=absent, description="A task that is still open blocks it (true), or none does (false)."
    )
    start_at: TimestampFilter = Field(default_factory=absent, description="When work on it may begin.")
    due_at: TimestampFilter = Field(default_factory=absent, description="When it is due.")
    completed_at: TimestampFilter = Field(default_factory=absent, description="When it was completed.")
    created_at: TimestampFilter = Field(default_factory=absent, description="When it was created.")
    updated_at: TimestampFilter = Field(default_factory=absent, description="When it was last changed.")
    overdue: Bool = Field(default_factory=absent, description="Due in the past and still open (true), or not (false).")
    and_: list["TaskFilter"] = Field(
        default_factory=absent, alias="and", min_length=1, max_length=50, description="All of these hold."
    )
    or_: list["TaskFilter"] = Field(
        default_factory=absent,
        alias="or",
        min_length=1,
        max_length=50,
        description="At least one of these holds.",
    )
    not_: "TaskFilter" = Field(default_factory=absent, alias="not", description="This does not hold.")
