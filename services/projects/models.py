"""What projects take and answer, and the roles in them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import Field

from core.sentences import pattern
from services.shared import node_ids
from services.shared.external_ids import ExternalId, ExternalSource
from services.shared.filters import Filter
from services.shared.inputs import Bool, Input, Line, LongText, absent
from services.shared.operators import ExternalFilter, KeyFilter, NameFilter, TimestampFilter, none_of, one_of
from services.shared.outputs import CreatedAt, DatabaseId, NodeId, Output, UpdatedAt, Version
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
        pattern=pattern(r"^[A-Z][A-Z0-9]+$", "must be capital letters and digits, and begin with a letter"),
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
    external_source: ExternalSource | None = Field(default_factory=absent)
    external_id: ExternalId | None = Field(default_factory=absent)
    tasks: list[TaskDraft] = Field(default_factory=list, max_length=100, description="Tasks to create in it.")


class ProjectUpdate(Input):
    """Changes a project. Fields that are left out stay as they are."""

    name: ProjectName = Field(default_factory=absent)
    description: ProjectDescription | None = Field(default_factory=absent)
    archived: Bool = Field(default_factory=absent, description="An archived project is read-only.")
    external_source: ExternalSource | None = Field(default_factory=absent)
    external_id: ExternalId | None = Field(default_factory=absent)


class RoleFilter(Input):
    """Conditions on a role in a project."""

    eq: Role = Field(default_factory=absent, description="Is this one.")
    ne: Role = Field(default_factory=absent, description="Is another one.")
    in_: list[Role] = one_of("Is one of these.")
    not_in: list[Role] = none_of("Is none of these.")


class ProjectFilter(Filter):
    """Which of the caller's projects. Every condition given must hold."""

    key: KeyFilter = Field(default_factory=absent, description="The first half of its tasks' refs, in any case.")
    name: NameFilter = Field(default_factory=absent, description="The name.")
    role: RoleFilter = Field(default_factory=absent, description="The caller's role.")
    is_inbox: Bool = Field(default_factory=absent, description="It is the caller's Inbox (true), or is not (false).")
    archived: Bool = Field(default_factory=absent, description="It is archived (true), or active (false).")
    followed: Bool = Field(default_factory=absent, description="The caller follows it (true), or does not (false).")
    external_source: ExternalFilter = Field(
        default_factory=absent, description="The system that its external id is of."
    )
    external_id: ExternalFilter = Field(default_factory=absent, description="What that system calls it.")
    created_at: TimestampFilter = Field(default_factory=absent, description="When it was created.")
    updated_at: TimestampFilter = Field(default_factory=absent, description="When it was last changed.")
    archived_at: TimestampFilter = Field(default_factory=absent, description="When it was archived.")


class ProjectOut(Output):
    """A place for tasks and the people who share it."""

    id: DatabaseId
    node_id: NodeId
    key: str = Field(description="The first half of its tasks' refs.", examples=["WEB"])
    name: str = Field(description="The name.")
    description: str | None = Field(description="What it is about.")
    is_inbox: bool = Field(description="Whether it is the caller's personal Inbox.")
    role: Role = Field(description="The caller's role in it.")
    external_source: str | None = Field(description="The system that its external_id is of.")
    external_id: str | None = Field(
        description="What that system calls it; unique among what the account gave that named it so."
    )
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt
    archived_at: datetime | None = Field(description="When it was archived, in UTC; null while it is active.")


class ProjectRecord(NamedTuple):
    """A project as a member reads it; ``role`` is the reader's."""

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
    # answers that releases before kept for repeats lack them
    external_source: str | None = None
    external_id: str | None = None

    @property
    def node_id(self) -> str:
        return node_ids.encode("Project", self.id)

    def allows(self, role: Role) -> bool:
        """Whether the reader's role is this one or a higher one."""
        return RANK[Role(self.role)] >= RANK[role]
