from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.addresses import locate
from api.dependencies import Caller, ListQuery, Reading, RelationPath, Repeat, TaskPath, Writing, add_links, add_total
from api.media_types import StrictRoute
from services import relations
from services.relations import RelationCreate, RelationOut, RelationRecord

router = APIRouter(route_class=StrictRoute, prefix="/tasks/{task_id}/relations", tags=["relations"])


@router.get("", response_model=list[RelationOut])
async def list_relations(
    task_id: TaskPath,
    query: Annotated[ListQuery, Query()],
    actor: Caller,
    session: Reading,
    request: Request,
    response: Response,
) -> Sequence[RelationRecord]:
    """A task's relations, whichever end it is, oldest first."""
    page = await relations.list_(session, actor, task_id, query.page)
    add_links(request, response, page)
    await add_total(response, query, lambda: relations.count(session, actor, task_id))
    return page.items


@router.post("", status_code=201, response_model=RelationOut)
async def create_relation(
    task_id: TaskPath, body: RelationCreate, once: Repeat, request: Request, response: Response
) -> RelationRecord:
    """Relate a task to another, of the same project or another one."""
    relation = await once(relations.create, task_id, body)
    locate(request, response, f"/tasks/{task_id}/relations/{relation.id}")
    return relation


@router.get("/{relation_id}", response_model=RelationOut)
async def get_relation(task_id: TaskPath, relation_id: RelationPath, actor: Caller, session: Reading) -> RelationRecord:
    """A relation, from either of its tasks."""
    return await relations.get(session, actor, relation_id, task_id=task_id)


@router.delete("/{relation_id}", status_code=204)
async def delete_relation(task_id: TaskPath, relation_id: RelationPath, actor: Caller, session: Writing) -> None:
    """End a relation, from either of its tasks."""
    await relations.delete(session, actor, relation_id, task_id=task_id)
