"""What tasks take and answer, and what can be asked of them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from services.shared import node_ids
from services.shared.external_ids import ExternalId, ExternalSource
from services.shared.inputs import (
    Bool,
    DescribedEnum,
    Input,
    Line,
    LongText,
    NodeRef,
    ProjectId,
    TagName,
    TaskId,
    Timestamp,
    UserId,
    Usual,
    Whole,
    absent,
    out_of_order,
)
from services.shared.operators import (
    ExternalFilter,
    IntFilter,
    TimestampFilter,
    UserRefFilter,
    none_of,
    one_of,
)
from services.shared.outputs import CreatedAt, DatabaseId, NodeId, Output, UpdatedAt, Version
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
from services.tasks.reminders import MAX_REMINDERS, ReminderCreate
from services.tasks.statuses import TaskStatus as TaskStatus

MAX_SUBTASK_DEPTH = 10
MAX_DRAFTS = 500
MAX_ASSIGNEES, MAX_TAGS = 50, 50
"""Of one task; a task that has more, of an import, keeps them."""
TRASH_DAYS = 30


Title = Annotated[
    Line,
    Field(max_length=200, description="What is to be done; 1 to 200 characters.", examples=["Write the docs"]),
]
Description = Annotated[LongText, Field(description="Details, at most 65,536 characters.")]
Priority = Annotated[
    int,
    Field(strict=True, ge=1, le=5, description="From 1 (lowest) to 5 (highest).", examples=[3]),
    Whole,
]
StartAt = Annotated[Timestamp, Field(description="When work on it may begin.", examples=["2026-01-31T08:00:00Z"])]
DueAt = Annotated[
    Timestamp, Field(description="When it is due; not before its start.", examples=["2026-01-31T17:00:00Z"])
]
Assignees = Annotated[list[UserId], Field(max_length=MAX_ASSIGNEES, description="The members who are to do it.")]
Tags = Annotated[
    list[TagName],
    Field(max_length=MAX_TAGS, description="Names of tags; those that the project lacks are created."),
]
Status = Annotated[TaskStatus, Field(description="Where it stands.")]
MilestoneId = Annotated[int, NodeRef("Milestone")]


class _TaskFields(Input):
    """What every new task may have."""

    title: Title
    description: Description | None = Field(default_factory=absent)
    status: Status = Field(
        default_factory=Usual(TaskStatus.PENDING), description="Where it stands; pending when left out."
    )
    priority: Priority = Field(default_factory=Usual(1), description="From 1 (lowest) to 5 (highest); 1 when left out.")
    start_at: StartAt | None = Field(default_factory=absent)
    due_at: DueAt | None = Field(default_factory=absent)
    assignee_ids: Assignees = Field(default_factory=list)
    tags: Tags = Field(default_factory=list)

    @field_validator("due_at")
    @classmethod
    def _check_range(cls, due_at: datetime | None, info: ValidationInfo) -> datetime | None:
        start_at = info.data.get("start_at")
        if start_at is not None and due_at is not None and due_at < start_at:
            raise out_of_order("due_at must not be before start_at")
        return due_at


class TaskDraft(_TaskFields):
    """A task to be created together with its project or parent."""

    subtasks: list["TaskDraft"] = Field(default_factory=list, max_length=100, description="Its subtasks.")


class TaskUpsert(_TaskFields):
    """Creates a task, or changes the one that another system's id stands for: then, fields that are left out stay."""

    project_id: ProjectId | None = Field(
        default_factory=absent, description="The project; the caller's Inbox when left out."
    )
    parent_id: TaskId | None = Field(
        default_factory=absent, description="The task of the same project that it is a subtask of."
    )
    milestone_id: MilestoneId | None = Field(
        default_factory=absent, description="The milestone of the same project that it counts towards."
    )


class TaskCreate(TaskUpsert):
    """Creates a task, in the caller's Inbox unless a project is named."""

    external_source: ExternalSource | None = Field(default_factory=absent)
    external_id: ExternalId | None = Field(default_factory=absent)
    reminders: list[ReminderCreate] = Field(
        default_factory=list,
        max_length=MAX_REMINDERS,
        description=f"The caller's reminders of it, at most {MAX_REMINDERS}; an upsert sets them for a new task alone.",
    )


class TaskDuplicate(Input):
    """Makes a task again."""

    title: Title = Field(default_factory=absent, description="What the new one is called; as the old one if left out.")
    subtasks: Bool = Field(default=True, description="Whether its subtasks are made again, too.")


class TaskUpdate(Input):
    """Changes a task. Fields that are left out stay as they are."""

    title: Title = Field(default_factory=absent)
    description: Description | None = Field(default_factory=absent)
    status: Status = Field(default_factory=absent)
    priority: Priority = Field(default_factory=absent)
    start_at: StartAt | None = Field(default_factory=absent)
    due_at: DueAt | None = Field(default_factory=absent)
    parent_id: TaskId | None = Field(
        default_factory=absent,
        description="The task of the same project that it is a subtask of; null for none.",
    )
    milestone_id: MilestoneId | None = Field(
        default_factory=absent,
        description="The milestone of the same project that it counts towards; null for none.",
    )
    assignee_ids: Assignees = Field(default_factory=absent)
    tags: Tags = Field(default_factory=absent)
    add_assignees: Assignees = Field(
        default_factory=absent, description="Members who are to do it as well; not together with assignee_ids."
    )
    remove_assignees: Assignees = Field(
        default_factory=absent, description="Who is not to do it any more; not together with assignee_ids."
    )
    add_tags: Tags = Field(
        default_factory=absent,
        description="Tags that it gets as well; those that the project lacks are created. Not together with tags.",
    )
    remove_tags: Tags = Field(
        default_factory=absent, description="Names of tags that it loses; not together with tags."
    )
    external_source: ExternalSource | None = Field(default_factory=absent)
    external_id: ExternalId | None = Field(default_factory=absent)

    @field_validator("add_assignees", "remove_assignees", "add_tags", "remove_tags")
    @classmethod
    def _check_edit(cls, names: list[object], info: ValidationInfo) -> list[object]:
        whole = "tags" if str(info.field_name).endswith("tags") else "assignee_ids"
        if info.data.get(whole) is not None:
            raise PydanticCustomError("exclusive", "not together with {whole}", {"whole": whole})
        return names


class TaskOut(Output):
    """A task."""

    id: DatabaseId
    node_id: NodeId
    ref: str = Field(description="The project's key and the task's number.", examples=["WEB-12"])
    number: int = Field(description="Counts within the project.")
    project_id: int = Field(description="The project that it belongs to.")
    title: str = Field(description="What is to be done.")
    description: str | None = Field(description="Details.")
    status: TaskStatus = Field(description="Where it stands.")
    priority: int = Field(description="From 1 (lowest) to 5 (highest).")
    start_at: datetime | None = Field(description="When work on it may begin, in UTC.")
    due_at: datetime | None = Field(description="When it is due, in UTC.")
    completed_at: datetime | None = Field(description="When it was completed, in UTC.")
    parent_id: int | None = Field(description="The task that it is a subtask of, also where that is in the trash.")
    milestone_id: int | None = Field(description="The milestone that it counts towards.")
    created_by_id: int | None = Field(description="The user who created it.")
    external_source: str | None = Field(description="The system that its external_id is of.")
    external_id: str | None = Field(description="What that system calls it.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt
    deleted_at: datetime | None = Field(
        description="When it went to the trash, in UTC; it can be restored for 30 days."
    )


class TaskRecord(NamedTuple):
    """A task as it is read."""

    id: int
    project_id: int
    project_key: str
    number: int
    title: str
    description: str | None
    status: str
    priority: int
    start_at: datetime | None
    due_at: datetime | None
    completed_at: datetime | None
    parent_id: int | None
    created_by_id: int | None
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    # answers that releases before kept for repeats lack them
    milestone_id: int | None = None
    external_source: str | None = None
    external_id: str | None = None

    @property
    def ref(self) -> str:
        return f"{self.project_key}-{self.number}"

    @property
    def node_id(self) -> str:
        return node_ids.encode("Task", self.id)

    @property
    def parent_node_id(self) -> str | None:
        return None if self.parent_id is None else node_ids.encode("Task", self.parent_id)


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
    start_at: TimestampFilter = Field(default_factory=absent, description="When work on it may begin.")
    due_at: TimestampFilter = Field(default_factory=absent, description="When it is due.")
    completed_at: TimestampFilter = Field(default_factory=absent, description="When it was completed.")
    created_at: TimestampFilter = Field(default_factory=absent, description="When it was created.")
    updated_at: TimestampFilter = Field(default_factory=absent, description="When it was last changed.")
    overdue: Bool = Field(default_factory=absent, description="Due in the past and still open (true), or not (false).")


class TaskGrouping(DescribedEnum):
    """What tasks are counted by."""

    STATUS = "status", "Where it stands."
    PRIORITY = "priority", "From 1 to 5."
    PROJECT = "project", "The project, by its key."
    ASSIGNEE = "assignee", "Who is to do it, by username."
    TAG = "tag", "The tag, by its name in lower case."
    MILESTONE = "milestone", "The milestone, by its name in lower case."
    CREATED_WEEK = "created_week", "The week in which it was created, by its Monday in UTC."


class TaskCountOut(Output):
    """How many tasks there are in one group."""

    key: str | None = Field(
        description="What the group has in common: the status, the priority, the project's key, the assignee's "
        "username, the tag's or the milestone's name in lower case, or the Monday on which the week begins, in UTC "
        "(2026-11-23). Null for tasks that nobody has, or that have no tag or milestone.",
        examples=["in_progress"],
    )
    count: int = Field(description="How many tasks. A task with several assignees or tags counts for each.")
    exact: bool = Field(
        description="Whether there are just so many; else at least so many. Of 10,000 tasks that match, or fewer, all "
        "are counted, and of more where exact is asked for."
    )


class Expansion(StrEnum):
    """A relation to read along."""

    PROJECT = "project"
    ASSIGNEES = "assignees"
    TAGS = "tags"
    CREATED_BY = "created_by"
    PARENT = "parent"
    MILESTONE = "milestone"
    COMMENT_COUNT = "comment_count"
    COMMENTS = "comments"
    RELATIONS = "relations"
