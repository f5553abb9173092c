from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from graphql_schema.shared.base import Node, attribute, enumeration, output_type
from graphql_schema.shared.loading import relation_field
from graphql_schema.shared.parts import Part
from graphql_schema.shared.root_fields import create_field, delete_field, node_field
from graphql_schema.users import User
from services import relations
from services.relations import RelationCreate, RelationKind, RelationOut, RelationRecord
from services.shared.inputs import RelationId, TaskId
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


@output_type(RelationOut, record=RelationRecord)
class Relation(Node):
    database_id: int = attribute("id")
    kind: RelationKind
    created_at: datetime

    source: Annotated["Task", strawberry.lazy("graphql_schema.tasks")] | None = relation_field(
        "tasks",
        tasks.by_ids,
        by="source_id",
        description="The task that blocks or duplicates; of relates_to the one with the lower id.",
    )
    target: Annotated["Task", strawberry.lazy("graphql_schema.tasks")] | None = relation_field(
        "tasks", tasks.by_ids, by="target_id", description="The task that is blocked or duplicated."
    )
    created_by: User | None = relation_field(
        "relation.created_by",
        relations.creators,
        selective="User",
        description="The user who related them; null where that is not known.",
    )


@strawberry.type
class RelationQueries:
    relation: Relation | None = node_field(
        "Relation", relations.get, "A relation whose two tasks the caller may read; null where there is none."
    )


@strawberry.type
class RelationMutations:
    create_relation = create_field(
        Relation,
        relations.create,
        RelationCreate,
        "Relate a task to another, of the same project or another one.",
        task_id=(TaskId, "The task that blocks, duplicates or relates to the other."),
    )
    delete_relation = delete_field(
        Relation,
        relations.delete,
        RelationId,
        "End a relation, as a member of the projects of both tasks.",
        about="Ends a relation.",
        payload="The relation that has ended.",
    )


PART = Part(queries=RelationQueries, mutations=RelationMutations)
