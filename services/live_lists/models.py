"""What is told of a live list."""

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import Field

from services.shared.inputs import DescribedEnum
from services.shared.outputs import Output
from services.tasks.models import TaskOut, TaskRecord

MAX_TASKS = 1_000
"""As many as a live list has at most: what it has is kept in memory for as long as it is followed."""
PART = 100
"""The tasks of a part of a snapshot at most, as of a page."""


class LiveKind(DescribedEnum):
    """What a message says of a live list."""

    SNAPSHOT = "snapshot", "The list, or a part of it, in its order: what is known of it before is to be dropped."
    ENTER = "enter", "A task is in the list now; where it is there already, it takes its place."
    CHANGE = "change", "A task of the list has changed."
    LEAVE = "leave", "A task is not in the list any more."


class LiveChangeOut(Output):
    """What is new in a live list."""

    kind: LiveKind = Field(description="Whether it is a snapshot, or a task that enters, has changed or leaves.")
    cursor: str = Field(
        description="Where to go on after it; 0 where a part of the snapshot is still to come.",
        examples=["1207-5f0c3a9e-1b9d6bcd"],
    )
    task_id: int | None = Field(description="The database id of the task; null for a snapshot.")
    task: TaskOut | None = Field(description="The task as it is now; null where it leaves, and for a snapshot.")
    tasks: list[TaskOut] = Field(description=f"Of a snapshot, its tasks, or the next {PART} of them; else none.")
    complete: bool = Field(
        description="Whether all is told up to the cursor; false where more comes that belongs to it."
    )


class LiveChange(NamedTuple):
    """As ``LiveChangeOut``."""

    kind: LiveKind
    cursor: str
    task_id: int | None
    task: TaskRecord | None
    tasks: Sequence[TaskRecord]
    complete: bool
