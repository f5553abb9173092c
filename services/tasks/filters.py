"""One filter language: the same object is REST's ``filter`` JSON and GraphQL's ``filter`` input.

Every key of an object must hold (AND); ``and``, ``or`` and ``not`` nest. What can be asked of a task stands in
``services.tasks.models``, and how in ``services.tasks.operators``.
"""

from pydantic import Field

from services.shared.inputs import absent
from services.tasks.models import TaskConditions


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
