"""One filter language: the same object is REST's ``filter`` JSON and GraphQL's ``filter`` input.

Every key of an object must hold (AND); ``and``, ``or`` and ``not`` nest. What can be asked of a task stands here, and
how in ``services.tasks.operators``.
"""

from pydantic import Field

from services.shared.inputs import Bool, Input, absent
from services.shared.operators import (
    DateFilter,
    ExternalFilter,
    IntFilter,
    TimestampFilter,
    UserRefFilter,
    none_of,
    one_of,
)
from services.tasks.models import MilestoneId
from services.tasks.operators import (
    AssigneesFilter,
    DescriptionFilter,
    ParentFilter,
    RelationsFilter,
    SearchText,
    StatusFilter,
    TagsFilter,
    TaskProjectFilter,
    TitleFilter,
)


class MilestoneRefFilter(Input):
    """Conditions on a reference to a milestone."""

    eq: MilestoneId = Field(default_factory=absent, description="Is this one.")
    ne: MilestoneId = Field(default_factory=absent, description="Is another one.")
    in_: list[MilestoneId] = one_of("Is one of these.")
    not_in: list[MilestoneId] = none_of("Is none of these.")
    is_null: Bool = Field(default_factory=absent, description="Is missing (true) or is there (false).")


class TaskConditions(Input):
    """What can be asked of a task, by the names of its fields; what it names by an id, without the ``_id``."""

    status: StatusFilter = Field(default_factory=absent, description="Where it stands.")
    priority: IntFilter = Field(default_factory=absent, description="From 1 (lowest) to 5 (highest).")
    number: IntFilter = Field(default_factory=absent, description="The number within the project.")
    title: TitleFilter = Field(default_factory=absent, description="What is to be done.")
    description: DescriptionFilter = Field(default_factory=absent, description="Details.")
    search: SearchText = Field(default_factory=absent)
    project: TaskProjectFilter = Field(default_factory=absent, description="The project that it belongs to.")
    parent: ParentFilter = Field(default_factory=absent, description="The task that it is a subtask of.")
    milestone: MilestoneRefFilter = Field(default_factory=absent, description="The milestone that it counts towards.")
    created_by: UserRefFilter = Field(default_factory=absent, description="The user who created it.")
    external_source: ExternalFilter = Field(
        default_factory=absent, description="The system that its external id is of."
    )
    external_id: ExternalFilter = Field(default_factory=absent, description="What that system calls it.")
    assignees: AssigneesFilter = Field(default_factory=absent, description="The people who are to do it.")
    tags: TagsFilter = Field(default_factory=absent, description="Its tags.")
    relations: RelationsFilter = Field(default_factory=absent, description="The tasks that it relates to.")
    blocked: Bool = Field(
        default_factory=absent, description="A task that is still open blocks it (true), or none does (false)."
    )
    followed: Bool = Field(default_factory=absent, description="The caller follows it (true), or does not (false).")
    start_at: TimestampFilter = Field(
        default_factory=absent, description="When work on it may begin; a day from its beginning where the caller is."
    )
    start_on: DateFilter = Field(
        default_factory=absent, description="The day on which work on it may begin, of those that have one."
    )
    due_at: TimestampFilter = Field(
        default_factory=absent, description="When it is due; a day at its end where the caller is."
    )
    due_on: DateFilter = Field(
        default_factory=absent, description="The day on which it is due, of those that have one."
    )
    completed_at: TimestampFilter = Field(default_factory=absent, description="When it was completed.")
    created_at: TimestampFilter = Field(default_factory=absent, description="When it was created.")
    updated_at: TimestampFilter = Field(default_factory=absent, description="When it was last changed.")
    overdue: Bool = Field(
        default_factory=absent,
        description="Due in the past, or on a day that is over where the caller is, and still open (true), or not "
        "(false).",
    )


class TaskFilter(TaskConditions):
    """Which tasks. Every condition given must hold."""

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
