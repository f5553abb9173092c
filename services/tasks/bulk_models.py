"""What bulk calls take, answer and keep."""

from enum import StrEnum
from typing import Annotated, NamedTuple, TypeVar

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from services.shared import node_ids
from services.shared.inputs import Bool, ExpectedVersion, Input, TaskId, absent
from services.shared.outputs import Output
from services.tasks.filters import TaskFilter
from services.tasks.models import TaskCreate, TaskOut, TaskRecord, TaskUpdate

MAX_ITEMS = 1_000
MAX_MATCHING = 10_000
MAX_ERRORS = 10
"""What is told of a task that was refused: the first of the parts that were wrong."""


class BulkMode(StrEnum):
    """What becomes of a call when one of its tasks is refused."""

    ATOMIC = "atomic"
    PARTIAL = "partial"
    UPSERT = "upsert"
    UPSERT_PARTIAL = "upsert_partial"


UPSERTS = frozenset({BulkMode.UPSERT, BulkMode.UPSERT_PARTIAL})
ALL_OR_NOTHING = frozenset({BulkMode.ATOMIC, BulkMode.UPSERT})


class BulkOutcome(StrEnum):
    """What was done with a task of a bulk call."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    DELETED = "deleted"
    REFUSED = "refused"


class Bulk(Input):
    """What every bulk call says."""

    mode: BulkMode = Field(
        default=BulkMode.ATOMIC,
        description="All or nothing, or each task for itself; when creating, also upsert and upsert_partial.",
        examples=["partial"],
    )
    dry_run: Bool = Field(default=False, description="Answer what would come of it, and write nothing.")
    notify: Bool = Field(default=True, description="Whether the people concerned are told of the changes.")

    @field_validator("mode")
    @classmethod
    def _check_mode(cls, mode: BulkMode) -> BulkMode:
        if mode in UPSERTS and not issubclass(cls, BulkCreate):
            raise PydanticCustomError("mode", "is a mode of creating tasks: here it is atomic or partial")
        return mode


class BulkUpdateItem(TaskUpdate):
    """Changes one task of many. Fields that are left out stay as they are."""

    id: TaskId = Field(description="The task.")
    expected_version: ExpectedVersion | None = Field(default_factory=absent)


class BulkDeleteItem(Input):
    """Moves one task of many to the trash."""

    id: TaskId = Field(description="The task.")
    expected_version: ExpectedVersion | None = Field(default_factory=absent)


Item = TypeVar("Item", BulkUpdateItem, BulkDeleteItem)


def _once_each(items: list[Item]) -> list[Item]:
    if len({item.id for item in items}) < len(items):
        raise PydanticCustomError("duplicate", "names the same task more than once")
    return items


class BulkCreate(Bulk):
    """Creates up to 1,000 tasks; with an upsert, changes those that their external ids stand for already."""

    tasks: Annotated[list[TaskCreate], Field(min_length=1, max_length=MAX_ITEMS, description="The tasks.")]


class BulkUpdate(Bulk):
    """Changes up to 1,000 tasks, each in its own way."""

    tasks: Annotated[list[BulkUpdateItem], Field(min_length=1, max_length=MAX_ITEMS, description="The changes.")]
    _check = field_validator("tasks")(_once_each)


class BulkDelete(Bulk):
    """Moves up to 1,000 tasks and their subtasks to the trash."""

    tasks: Annotated[list[BulkDeleteItem], Field(min_length=1, max_length=MAX_ITEMS, description="The tasks.")]
    _check = field_validator("tasks")(_once_each)


class BulkUpdateMatching(Bulk):
    """Changes all tasks that meet a filter in the same way, up to 10,000."""

    filter: TaskFilter = Field(description="Which tasks; {} for all that the caller may read.")
    changes: TaskUpdate = Field(description="What is changed in each. Fields that are left out stay as they are.")


class BulkProblemOut(Output):
    """One thing wrong with a task of a bulk call."""

    pointer: str = Field(description="Where, as a JSON Pointer (RFC 6901) into the task's part of the call.")
    detail: str = Field(description="What is wrong.")
    type: str = Field(description="A stable word for the kind of error.")


class BulkErrorOut(Output):
    """Why a task of a bulk call was refused: what a call for it alone would have answered."""

    code: str = Field(description="The stable code.", examples=["VERSION_CONFLICT"])
    message: str = Field(description="What happened.")
    errors: list[BulkProblemOut] = Field(description="The first 10 parts that were refused; often empty.")
    current_version: int | None = Field(description="With VERSION_CONFLICT: the version that the task has.")


class BulkResultOut(Output):
    """What became of one task of a bulk call."""

    position: int = Field(description="Its place in the call, from 0.")
    id: int | None = Field(description="The id of the task; null for one that was not created.")
    node_id: str | None = Field(description="The global id of the task.")
    version: int | None = Field(description="Its version after the call; null where it was refused.")
    outcome: BulkOutcome | None = Field(
        description="What was done with it; null where the answer to a repeat was kept by a release before this one."
    )
    error: BulkErrorOut | None = Field(description="Why it was refused; null where it was not.")
    task: TaskOut | None = Field(
        description="The task after the call; null where it was refused or deleted, and for update-matching."
    )


class BulkOut(Output):
    """What became of a bulk call."""

    applied: bool = Field(description="Whether anything may have been written: false for a dry run.")
    succeeded: int = Field(description="How many tasks were accepted, unchanged ones included.")
    failed: int = Field(description="How many were refused; only in the mode partial.")
    results: list[BulkResultOut] = Field(description="One for each task, in the order of the call.")


class BulkProblem(NamedTuple):
    """One thing wrong with a task: where (a JSON Pointer), what, and a stable word for it."""

    pointer: str
    detail: str
    type: str


class BulkError(NamedTuple):
    """Why a task was refused: what a call for it alone would have raised."""

    code: str
    message: str
    errors: list[BulkProblem]
    current_version: int | None


class BulkResult(NamedTuple):
    """What became of one task, by its position in the call."""

    position: int
    id: int | None
    version: int | None
    error: BulkError | None
    task: TaskRecord | None
    outcome: BulkOutcome | None = None  # answers that releases before kept for repeats lack it

    @property
    def node_id(self) -> str | None:
        return None if self.id is None else node_ids.encode("Task", self.id)


class BulkRecord(NamedTuple):
    """What became of a call; ``applied`` is false for a dry run."""

    applied: bool
    succeeded: int
    failed: int
    results: list[BulkResult]
