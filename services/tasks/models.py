"""What tasks take and answer, and what can be asked of them."""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

from pydantic import ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from services.recurrences.models import Recurrence
from services.shared import node_ids
from services.shared.external_ids import ExternalId, ExternalSource
from services.shared.inputs import (
    Bool,
    Day,
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
)
from services.shared.outputs import CreatedAt, DatabaseId, NodeId, Output, UpdatedAt, Version, only_if, unless
from services.tasks import dates
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
StartOn = Annotated[
    Day, Field(description="The day on which work on it may begin, instead of start_at.", examples=["2026-01-30"])
]
DueOn = Annotated[
    Day,
    Field(
        description="The day on which it is due, instead of due_at: it is overdue when the day has ended.",
        examples=["2026-01-31"],
    ),
]
Assignees = Annotated[list[UserId], Field(max_length=MAX_ASSIGNEES, description="The members who are to do it.")]
Tags = Annotated[
    list[TagName],
    Field(max_length=MAX_TAGS, description="Names of tags; those that the project lacks are created."),
]
Status = Annotated[TaskStatus, Field(description="Where it stands.")]
MilestoneId = Annotated[int, NodeRef("Milestone")]
Recurs = Annotated[
    Recurrence,
    Field(
        description="How it recurs; needs due_at or due_on. The next task is made once, and recurs in its place.",
        examples=[{"rule": "FREQ=WEEKLY;BYDAY=MO", "timezone": "Europe/Vienna"}],
    ),
]


class _TaskFields(Input):
    """What every new task may have."""

    title: Title
    description: Description | None = Field(default_factory=absent)
    status: Status = Field(
        default_factory=Usual(TaskStatus.PENDING), description="Where it stands; pending when left out."
    )
    priority: Priority = Field(default_factory=Usual(1), description="From 1 (lowest) to 5 (highest); 1 when left out.")
    start_at: StartAt | None = Field(default_factory=absent)
    start_on: StartOn | None = Field(default_factory=absent)
    due_at: DueAt | None = Field(default_factory=absent)
    due_on: DueOn | None = Field(default_factory=absent)
    assignee_ids: Assignees = Field(default_factory=list)
    tags: Tags = Field(default_factory=list)
    recurrence: Recurs | None = Field(default_factory=absent)

    _check_days = field_validator("start_on", "due_on")(dates.instead)
    _check_range = field_validator("due_at", "due_on")(dates.in_order)


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
    start_on: StartOn | None = Field(default_factory=absent)
    due_at: DueAt | None = Field(default_factory=absent)
    due_on: DueOn | None = Field(default_factory=absent)
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
    recurrence: Recurs | None = Field(default_factory=absent)

    _check_days = field_validator("start_on", "due_on")(dates.instead)

    @field_validator("add_assignees", "remove_assignees", "add_tags", "remove_tags")
    @classmethod
    def _check_edit(cls, names: list[object], info: ValidationInfo) -> list[object]:
        whole = "tags" if str(info.field_name).endswith("tags") else "assignee_ids"
        if info.data.get(whole) is not None:
            raise PydanticCustomError("exclusive", "not together with {whole}", {"whole": whole})
        return names


class TaskOut(Output):
    """A task."""

    # of a record, by the attributes that are meant; of an object, by the names of the members
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    id: DatabaseId
    node_id: NodeId
    ref: str = Field(description="The project's key and the task's number.", examples=["WEB-12"])
    number: int = Field(description="Counts within the project.", examples=[12])
    project_id: int = Field(description="The project that it belongs to.")
    title: str = Field(description="What is to be done.")
    description: str | None = Field(description="Details.")
    status: TaskStatus = Field(description="Where it stands.")
    priority: int = Field(description="From 1 (lowest) to 5 (highest).")
    start_at: datetime | None = Field(
        validation_alias="start_moment", description="When work on it may begin, in UTC; null where that is a day."
    )
    start_on: date | None = Field(description="The day on which work on it may begin; null where that is an instant.")
    due_at: datetime | None = Field(
        validation_alias="due_moment", description="When it is due, in UTC; null where that is a day."
    )
    due_on: date | None = Field(
        description="The day on which it is due, wherever one is; null where that is an instant."
    )
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
    """A task as it is read; ``start_at`` and ``due_at`` may stand for days (``services.tasks.dates``)."""

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
    start_all_day: bool | None = None
    due_all_day: bool | None = None

    @property
    @unless("start_all_day", "start_at")
    def start_moment(self) -> datetime | None:
        return None if self.start_all_day else self.start_at

    @property
    @only_if("start_all_day")
    def start_on(self) -> date | None:
        return self.start_at.date() if self.start_all_day and self.start_at else None

    @property
    @unless("due_all_day", "due_at")
    def due_moment(self) -> datetime | None:
        return None if self.due_all_day else self.due_at

    @property
    @only_if("due_all_day")
    def due_on(self) -> date | None:
        return self.due_at.date() if self.due_all_day and self.due_at else None

    def fields(self) -> dict[str, Any]:
        """The values by the names that callers know them by: days are days."""
        days = {"start_on": self.start_on, "due_on": self.due_on}
        return self._asdict() | days | {"start_at": self.start_moment, "due_at": self.due_moment}

    @property
    def ref(self) -> str:
        return f"{self.project_key}-{self.number}"

    @property
    def node_id(self) -> str:
        return node_ids.encode("Task", self.id)

    @property
    def parent_node_id(self) -> str | None:
        return None if self.parent_id is None else node_ids.encode("Task", self.parent_id)


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
    RECURRENCE = "recurrence"
