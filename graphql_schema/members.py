from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry
from pydantic import Field

from graphql_schema.base import Node, attribute, described, enumeration, narrow, service_input, shown
from graphql_schema.context import Info
from graphql_schema.loading import loaded
from graphql_schema.users import User
from services import members, node_ids, probes
from services.idempotency import KeyText
from services.inputs import Input, ProjectId, UserId, absent
from services.members import MemberAdd, MemberOut, MemberRecord, MemberUpdate
from services.projects import queries as projects
from services.projects.models import Role

if TYPE_CHECKING:
    from graphql_schema.projects import Project

enumeration(
    Role,
    "What a person may do in a project.",
    name="ProjectRole",
    OWNER="Everything, deleting the project included.",
    ADMIN="Also manages people and the project itself.",
    MEMBER="Writes tasks, comments and tags.",
    VIEWER="Reads.",
)


@described(MemberOut, record=MemberRecord)
class Member(Node):
    database_id: int = attribute("id")
    user: User
    role: Role
    created_at: datetime

    project: Annotated["Project", strawberry.lazy("graphql_schema.projects")] = loaded(
        "projects", projects.by_ids, by="project_id", description="The project."
    )


@service_input()
class AddMemberInput(MemberAdd):
    """Adds a person to a project, by id or by username."""

    project_id: ProjectId = Field(description="The project.")
    idempotency_key: KeyText | None = Field(default_factory=absent)


@service_input()
class UpdateMemberInput(MemberUpdate):
    """Changes a member's role."""

    project_id: ProjectId = Field(description="The project.")
    user_id: UserId = Field(description="The member.")


@service_input()
class RemoveMemberInput(Input):
    """Removes a person from a project."""

    project_id: ProjectId = Field(description="The project.")
    user_id: UserId = Field(description="The member.")


@strawberry.type(description="The new member.")
class AddMemberPayload:
    member: Member = strawberry.field(description="The member.")


@strawberry.type(description="The member after the change.")
class UpdateMemberPayload:
    member: Member = strawberry.field(description="The member.")


@strawberry.type(description="The member who was removed.")
class RemoveMemberPayload:
    removed_user_id: strawberry.ID = strawberry.field(description="The id of the account.")


@strawberry.type
class MemberMutations:
    @strawberry.mutation(description="Add a person to a project. Admins and owners may.")
    async def add_member(self, info: Info, input: AddMemberInput) -> AddMemberPayload | None:
        data = narrow(MemberAdd, input)
        context = info.context
        async with probes.bounded(context.security.limits, context.actor), context.writing() as session:
            member = await context.once(session, input.idempotency_key, members.add, input.project_id, data)
        return AddMemberPayload(member=shown(member))

    @strawberry.mutation(description="Change a person's role. Nobody gives a role above their own.")
    async def update_member(self, info: Info, input: UpdateMemberInput) -> UpdateMemberPayload | None:
        async with info.context.writing() as session:
            member = await members.update(
                session, info.context.actor, input.project_id, input.user_id, narrow(MemberUpdate, input)
            )
        return UpdateMemberPayload(member=shown(member))

    @strawberry.mutation(description="Remove a person from a project, or leave it.")
    async def remove_member(self, info: Info, input: RemoveMemberInput) -> RemoveMemberPayload | None:
        async with info.context.writing() as session:
            await members.remove(session, info.context.actor, input.project_id, input.user_id)
        return RemoveMemberPayload(removed_user_id=strawberry.ID(node_ids.encode("User", input.user_id)))
