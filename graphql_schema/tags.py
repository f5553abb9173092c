from typing import TYPE_CHECKING, Annotated

import strawberry

from graphql_schema.shared.base import Node, attribute, output_type
from graphql_schema.shared.loading import relation_field
from graphql_schema.shared.parts import Part
from graphql_schema.shared.root_fields import create_field, delete_field, node_field, update_field
from services import tags
from services.projects import queries as projects
from services.shared.inputs import ProjectId, TagId
from services.tags import TagCreate, TagOut, TagRecord, TagUpdate

if TYPE_CHECKING:
    from graphql_schema.projects import Project


@output_type(TagOut, record=TagRecord)
class Tag(Node):
    database_id: int = attribute("id")
    name: str
    color: str | None

    project: Annotated["Project", strawberry.lazy("graphql_schema.projects")] = relation_field(
        "projects", projects.by_ids, by="project_id", description="The project that it belongs to."
    )


@strawberry.type
class TagQueries:
    tag: Tag | None = node_field(
        "Tag", tags.get, "A tag of a project that the caller may read; null where there is none."
    )


@strawberry.type
class TagMutations:
    create_tag = create_field(Tag, tags.create, TagCreate, "Create a tag in a project.", project_id=ProjectId)
    update_tag = update_field(
        Tag, tags.update, TagUpdate, "Rename or recolour a tag; fields that are left out stay as they are.", id=TagId
    )
    delete_tag = delete_field(Tag, tags.delete, TagId, "Delete a tag, and take it off its tasks.")


PART = Part(queries=TagQueries, mutations=TagMutations)
