from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry
from pydantic import Field

from graphql_schema.base import Node, attribute, described, enumeration, narrow, service_input, shown
from graphql_schema.context import Info
from graphql_schema.ids import NodeId, parse_id
from graphql_schema.loading import loaded
from graphql_schema.users import User
from services import node_ids, relations
from services.errors import NotFound
from services.idempotency import KeyText
from services.inputs import Input, RelationId, TaskId, absent
from services.relations import RelationCreate, RelationKind, RelationOut, RelationRecord
from services.tasks import queries as tasks

if TYPE_CHECKING:
    from graphql_schema.tasks import Task

enumeration(
    RelationKind,
    "How the source of a relation relates to its target.",
    BLOCKS="The target cannot be done before the source is.",
    RELATES_TO="They have to do with each other.",
    DUPLICATES="The source says the same as the target.",
)


@described(RelationOut, record=RelationRecord)
class Relation(Node):
    database_id: int = attribute("id")
    kind: RelationKind
    created_at: datetime

    source: Annotated["Task", strawberry.lazy("graphql_schema.tasks")] | None = loaded(
        "tasks",
        tasks.by_ids,
        by="source_id",
        description="The task that blocks or duplicates; of relates_to the one with the lower id.",
    )
    target: Annotated["Task", strawberry.lazy("graphql_schema.tasks")] | None = loaded(
        "tasks", tasks.by_ids, by="target_id", description="The task that is blocked or duplicated."
    )
    created_by: User | None = loaded(
        "relation.created_by",
        relations.creators,
        selective="User",
        description="The user who related them; null where that is not known.",
    )


@service_input()
class CreateRelationInput(RelationCreate):
    """Relates a task to another, of the same project or another one."""

    task_id: TaskId = Field(description="The task that blocks, duplicates or relates to the other.")
    idempotency_key: KeyText | None = Field(default_factory=absent)


@strawberry.type(description="The new relation.")
class CreateRelationPayload:
    relation: Relation = strawberry.field(description="The relation.")


@service_input()
class DeleteRelationInput(Input):
    """Ends a relation."""

    id: RelationId = Field(description="The id.")


@strawberry.type(description="The relation that has ended.")
class DeleteRelationPayload:
    deleted_relation_id: strawberry.ID = strawberry.field(description="The id of the relation.")


@strawberry.type
class RelationQueries:
    @strawberry.field(description="A relation whose two tasks the caller may read; null where there is none.")
    async def relation(self, info: Info, id: NodeId) -> Relation | None:
        relation_id = parse_id("Relation", id)
        async with info.context.reading() as session:
            try:
                return shown(await relations.get(session, info.context.actor, relation_id))
            except NotFound:
                return None


@strawberry.type
class RelationMutations:
    @strawberry.mutation(description="Relate a task to another, of the same project or another one.")
    async def create_relation(self, info: Info, input: CreateRelationInput) -> CreateRelationPayload | None:
        data = narrow(RelationCreate, input)
        async with info.context.writing() as session:
            relation = await info.context.once(session, input.idempotency_key, relations.create, input.task_id, data)
        return CreateRelationPayload(relation=shown(relation))

    @strawberry.mutation(description="End a relation, as a member of the projects of both tasks.")
    async def delete_relation(self, info: Info, input: DeleteRelationInput) -> DeleteRelationPayload | None:
        async with info.context.writing() as session:
            await relations.delete(session, info.context.actor, input.id)
        return DeleteRelationPayload(deleted_relation_id=strawberry.ID(node_ids.encode("Relation", input.id)))
