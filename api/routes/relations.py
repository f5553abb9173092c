from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.dependencies.auth import CurrentActor
from api.dependencies.idempotency import Idempotent
from api.dependencies.lists import ListCall, ListShape, add_query
from api.dependencies.parameters import RelationPath, TaskPath
from api.dependencies.sessions import ReadSession, WriteSession
from api.http.route import StrictRoute
from services import relations
from services.relations import RelationCreate, RelationFilter, RelationOut, RelationRecord, RelationWithTasks
from services.shared.expansions import Along, Expanded
from services.tasks import queries as tasks

router = APIRouter(route_class=StrictRoute, prefix="/tasks/{task_id}/relations", tags=["relations"])


_LIST = ListShape(
    RelationWithTasks,
    "a relation",
    filter=RelationFilter,
    relations={
        "source": Along(tasks.by_ids, "source_id"),
        "target": Along(tasks.by_ids, "target_id"),
        "created_by": Along(relations.creators),
    },
)


@router.get("", response_model=list[RelationWithTasks], response_model_exclude_unset=True)
async def list_relations(
    task_id: TaskPath, listing: Annotated[ListCall[RelationFilter], Depends(_LIST.listing)]
) -> Sequence[RelationRecord | Expanded] | Response:
    """A task's relations, whichever end it is, oldest first."""
    return await listing(relations.list_, relations.count, task_id)


async def query_relations(
    task_id: TaskPath, body: RelationFilter, listing: Annotated[ListCall[RelationFilter], Depends(_LIST.querying)]
) -> Sequence[RelationRecord | Expanded] | Response:
    """As GET /tasks/{task_id}/relations, with the filter as the body. It changes nothing."""
    return await listing.by(body)(relations.list_, relations.count, task_id)


add_query(router, "", query_relations, list[RelationWithTasks], response_model_exclude_unset=True)


@router.post("", status_code=201, response_model=RelationOut)
async def create_relation(task_id: TaskPath, body: RelationCreate, once: Idempotent) -> RelationRecord:
    """Relate a task to another, of the same project or another one."""
    relation = await once(relations.create, task_id, body)
    return once.located(f"/tasks/{task_id}/relations/{relation.id}", relation)


@router.get("/{relation_id}", response_model=RelationOut)
async def get_relation(
    task_id: TaskPath, relation_id: RelationPath, actor: CurrentActor, session: ReadSession
) -> RelationRecord:
    """A relation, from either of its tasks."""
    return await relations.get(session, actor, relation_id, task_id=task_id)


@router.delete("/{relation_id}", status_code=204)
async def delete_relation(
    task_id: TaskPath, relation_id: RelationPath, actor: CurrentActor, session: WriteSession
) -> None:
    """End a relation, from either of its tasks."""
    await relations.delete(session, actor, relation_id, task_id=task_id)
