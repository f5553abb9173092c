"""What tasks take and answer."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import Field, ValidationInfo, field_validator

from services import node_ids
from services.inputs import (
    Input,
    Line,
    LongText,
    ProjectId,
    TagName,
    TaskId,
    Timestamp,
    UserId,
    Whole,
    absent,
    out_of_order,
)
from services.outputs import CreatedAt, DatabaseId, NodeId, Output, UpdatedAt, Version

MAX_SUBTASK_DEPTH = 10
MAX_DRAFTS = 500
MAX_ASSIGNEES, MAX_TAGS = 50, 50
"""Of one task; a task that has more, of an import, keeps them."""
TRASH_DAYS = 30


class TaskStatus(StrEnum):
    """Where a task stands."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


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


class _TaskFields(Input):
    """What every new task may have."""

    title: Title
    description: Description | None = Field(default_factory=absent)
    status: Status = TaskStatus.PENDING
    priority: Priority = 1
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


class TaskCreate(_TaskFields):
    """Creates a task, in the caller's Inbox unless a project is named."""

    project_id: ProjectId | None = Field(
        default_factory=absent, description="The project; the caller's Inbox when left out."
    )
    parent_id: TaskId | None = Field(
        default_factory=absent, description="The task of the same project that it is a subtask of."
    )


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
    assignee_ids: Assignees = Field(default_factory=absent)
    tags: Tags = Field(default_factory=absent)


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
    created_by_id: int | None = Field(description="The user who created it.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt
    deleted_at: datetime | None = Field(
        description="When it went to the trash, in UTC; it can be restored for 30 days."
    )


class TaskRecord(NamedTuple):
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

    @property
    def ref(self) -> str:
        return f"{self.project_key}-{self.number}"

    @property
    def node_id(self) -> str:
        return node_ids.encode("Task", self.id)

    @property
    def parent_node_id(self) -> str | None:
        return None if self.parent_id is None else node_ids.encode("Task", self.parent_id)
