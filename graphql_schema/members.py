from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry
from pydantic import Field

from graphql_schema.shared.base import Node, attribute, enumeration, output_type, service_input
from graphql_schema.shared.loading import relation_field
from graphql_schema.shared.parts import Part
from graphql_schema.shared.root_fields import Telling, create_field, removal_field, update_field
from graphql_schema.users import User
from services import members
from services.members import MemberAdd, MemberOut, MemberRecord, MemberUpdate
from services.projects import queries as projects
from services.projects.models import Role
from services.shared.inputs import Input, ProjectId, UserId

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


@output_type(MemberOut, record=MemberRecord)
class Member(Node):
    database_id: int = attribute("id")
    user: User
    role: Role
    created_at: datetime

    project: Annotated["Project", strawberry.lazy("graphql_schema.projects")] = relation_field(
        "projects", projects.by_ids, by="project_id", description="The project."
    )


@service_input()
class RemoveMemberInput(Input):
    """Removes a person from a project."""

    project_id: ProjectId = Field(description="The project.")
    user_id: UserId = Field(description="The member.")
    notify: Telling = True


@strawberry.type
class MemberMutations:
    add_member = create_field(
        Member,
        members.add,
        MemberAdd,
        "Add a person to a project. Admins and owners may.",
        verb="Add",
        telling=True,
        project_id=ProjectId,
    )
    update_member = update_field(
        Member,
        members.update,
        MemberUpdate,
        "Change a person's role. Nobody gives a role above their own.",
        telling=True,
        project_id=ProjectId,
        user_id=(UserId, "The member."),
    )
    remove_member = removal_field(
        User,
        members.remove,
        RemoveMemberInput,
        "Remove a person from a project, or leave it.",
        payload="The member who was removed.",
        name="removed_user_id",
        thing="account",
    )


PART = Part(mutations=MemberMutations)
