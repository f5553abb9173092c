from typing import TYPE_CHECKING, Annotated

import strawberry
from pydantic import Field

from graphql_schema.base import Node, attribute, described, narrow, service_input, shown
from graphql_schema.context import Info
from graphql_schema.ids import NodeId, parse_id
from graphql_schema.loading import loaded
from services import node_ids, tags
from services.errors import NotFound
from services.idempotency import KeyText
from services.inputs import Input, ProjectId, TagId, absent
from services.projects import queries as projects
from services.tags import TagCreate, TagOut, TagRecord, TagUpdate

if TYPE_CHECKING:
    from graphql_schema.projects import Project


@described(TagOut, record=TagRecord)
class Tag(Node):
    database_id: int = attribute("id")
    name: str
    color: str | None

    project: Annotated["Project", strawberry.lazy("graphql_schema.projects")] = loaded(
        "projects", projects.by_ids, by="project_id", description="The project that it belongs to."
    )


@service_input()
class CreateTagInput(TagCreate):
    """Creates a tag in a project."""

    project_id: ProjectId = Field(description="The project.")
    idempotency_key: KeyText | None = Field(default_factory=absent)


@service_input()
class UpdateTagInput(TagUpdate):
    """Changes a tag. Fields that are left out stay as they are."""

    id: TagId = Field(description="The tag.")


@strawberry.type(description="The new tag.")
class CreateTagPayload:
    tag: Tag = strawberry.field(description="The tag.")


@strawberry.type(description="The tag after the change.")
class UpdateTagPayload:
    tag: Tag = strawberry.field(description="The tag.")


@service_input()
class DeleteTagInput(Input):
    """Deletes a tag."""

    id: TagId = Field(description="The id.")


@strawberry.type(description="The tag that was deleted.")
class DeleteTagPayload:
    deleted_tag_id: strawberry.ID = strawberry.field(description="The id of the tag.")


@strawberry.type
class TagQueries:
    @strawberry.field(description="A tag of a project that the caller may read; null where there is none.")
    async def tag(self, info: Info, id: NodeId) -> Tag | None:
        tag_id = parse_id("Tag", id)
        async with info.context.reading() as session:
            try:
                return shown(await tags.get(session, info.context.actor, tag_id))
            except NotFound:
                return None


@strawberry.type
class TagMutations:
    @strawberry.mutation(description="Create a tag in a project.")
    async def create_tag(self, info: Info, input: CreateTagInput) -> CreateTagPayload | None:
        data = narrow(TagCreate, input)
        async with info.context.writing() as session:
            tag = await info.context.once(session, input.idempotency_key, tags.create, input.project_id, data)
        return CreateTagPayload(tag=shown(tag))

    @strawberry.mutation(description="Rename or recolour a tag; fields that are left out stay as they are.")
    async def update_tag(self, info: Info, input: UpdateTagInput) -> UpdateTagPayload | None:
        async with info.context.writing() as session:
            tag = await tags.update(session, info.context.actor, input.id, narrow(TagUpdate, input))
        return UpdateTagPayload(tag=shown(tag))

    @strawberry.mutation(description="Delete a tag, and take it off its tasks.")
    async def delete_tag(self, info: Info, input: DeleteTagInput) -> DeleteTagPayload | None:
        async with info.context.writing() as session:
            await tags.delete(session, info.context.actor, input.id)
        return DeleteTagPayload(deleted_tag_id=strawberry.ID(node_ids.encode("Tag", input.id)))
