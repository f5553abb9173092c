"""What projects take and answer, and the roles in them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import Field

from services import node_ids
from services.inputs import Bool, Input, Line, LongText, absent
from services.outputs import CreatedAt, DatabaseId, NodeId, Output, UpdatedAt, Version
from services.tasks.models import TaskDraft


class Role(StrEnum):
    """What a member may do: viewers read; members write tasks and comments; admins manage people; owners everything."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


RANK = {Role.VIEWER: 0, Role.MEMBER: 1, Role.ADMIN: 2, Role.OWNER: 3}

ProjectKey = Annotated[
    str,
    Field(
        min_length=2,
        max_length=10,
        pattern=r"^[A-Z][A-Z0-9]+$",
        description="Capital letters and digits, unique; the first half of refs. Made from the name when left out.",
        examples=["WEB"],
    ),
]
ProjectName = Annotated[Line, Field(max_length=100, description="The name.", examples=["Website"])]
ProjectDescription = Annotated[LongText, Field(description="What it is about.")]


class ProjectCreate(Input):
    """Creates a project, with its tasks and their subtasks if wanted: all or nothing."""

    name: ProjectName
    key: ProjectKey | None = Field(default_factory=absent)
    description: ProjectDescription | None = Field(default_factory=absent)
    tasks: list[TaskDraft] = Field(default_factory=list, max_length=100, description="Tasks to create in it.")


class ProjectUpdate(Input):
    """Changes a project. Fields that are left out stay as they are."""

    name: ProjectName = Field(default_factory=absent)
    description: ProjectDescription | None = Field(default_factory=absent)
    archived: Bool = Field(default_factory=absent, description="An archived project is read-only.")


class ProjectOut(Output):
    """A place for tasks and the people who share it."""

    id: DatabaseId
    node_id: NodeId
    key: str = Field(description="The first half of its tasks' refs.", examples=["WEB"])
    name: str = Field(description="The name.")
    description: str | None = Field(description="What it is about.")
    is_inbox: bool = Field(description="Whether it is the caller's personal Inbox.")
    role: Role = Field(description="The caller's role in it.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt
    archived_at: datetime | None = Field(description="When it was archived, in UTC; null while it is active.")


class ProjectRecord(NamedTuple):
    id: int
    key: str
    name: str
    description: str | None
    is_inbox: bool
    version: int
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None
    role: str

    @property
    def node_id(self) -> str:
        return node_ids.encode("Project", self.id)

    def allows(self, role: Role) -> bool:
        return RANK[Role(self.role)] >= RANK[role]
