from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from api.addresses import locate
from api.dependencies import (
    Caller,
    ExpectedVersion,
    KnownTags,
    Notify,
    Reading,
    Repeat,
    TaskPath,
    Writing,
    add_links,
    add_total,
    tagged,
    unless_known,
)
from api.fields import Fields, sparse, sparse_list
from api.media_types import StrictRoute
from api.task_query import TaskFilterQuery, TaskListQuery
from db.sessions import Session
from services.actors import Actor
from services.tasks import aggregates, bulk, commands, queries, removal
from services.tasks.aggregates import TaskCount, TaskCountOut, TaskGrouping
from services.tasks.bulk_models import BulkCreate, BulkDelete, BulkOut, BulkRecord, BulkUpdate, BulkUpdateMatching
from services.tasks.expansions import Expanded, Expansion, TaskWithRelations, expand
from services.tasks.models import TaskCreate, TaskOut, TaskRecord, TaskUpdate

router = APIRouter(route_class=StrictRoute, prefix="/tasks", tags=["tasks"])

Expand = Annotated[
    list[Expansion], Query(description="Relations to read along; each costs one statement, however many tasks.")
]


@router.get("", response_model=list[TaskWithRelations], response_model_exclude_unset=True)
async def list_tasks(
    query: Annotated[TaskListQuery, Query()], actor: Caller, session: Reading, request: Request, response: Response
) -> Sequence[TaskRecord | Expanded] | Response:
    """The caller's tasks as a plain array, newest first unless sorted otherwise; more pages are in the Link header."""
    wanted = await query.resolve(session, actor)
    page = await queries.list_(session, actor, wanted, query.page, wanted=query.reads)
    add_links(request, response, page)
    await add_total(response, query, lambda: queries.count(session, actor, wanted))
    tasks = await expand(session, actor, page.items, query.expand)
    if query.fields:
        return await sparse_list(tasks, TaskWithRelations, query.fields, query.expand, response, request)
    return tasks


@router.get("/counts/{group_by}", response_model=list[TaskCountOut])
async def count_tasks(
    group_by: Annotated[TaskGrouping, Path(description="What tasks are counted by.", examples=["status"])],
    query: Annotated[TaskFilterQuery, Query()],
    actor: Caller,
    session: Reading,
) -> Sequence[TaskCount]:
    """How many tasks there are in each group, by key; of more than 1,000 groups the largest."""
    return await aggregates.count_by(session, actor, group_by, await query.resolve(session, actor))


@router.post("", status_code=201, response_model=TaskOut)
async def create_task(body: TaskCreate, once: Repeat, request: Request, response: Response) -> TaskRecord:
    """Create a task, in the caller's Inbox unless a project is named."""
    task = await once(commands.create, body)
    locate(request, response, f"/tasks/{task.id}")
    return _tagged(response, task)


@router.post("/bulk/create", response_model=BulkOut)
async def create_tasks(body: BulkCreate, actor: Caller, session: Writing, once: Repeat) -> BulkRecord:
    """Create up to 1,000 tasks: all or nothing, or (mode partial) each for itself."""
    return await once.carry_out(lambda call: bulk.run(session, actor, call, body))


@router.post("/bulk/update", response_model=BulkOut)
async def update_tasks(body: BulkUpdate, actor: Caller, session: Writing, once: Repeat) -> BulkRecord:
    """Change up to 1,000 tasks, each in its own way; fields that are left out stay as they are."""
    return await once.carry_out(lambda call: bulk.run(session, actor, call, body))


@router.post("/bulk/delete", response_model=BulkOut)
async def delete_tasks(body: BulkDelete, actor: Caller, session: Writing, once: Repeat) -> BulkRecord:
    """Move up to 1,000 tasks and their subtasks to the trash."""
    return await once.carry_out(lambda call: bulk.run(session, actor, call, body))


@router.post("/bulk/update-matching", response_model=BulkOut)
async def update_matching_tasks(body: BulkUpdateMatching, actor: Caller, session: Writing, once: Repeat) -> BulkRecord:
    """Change all tasks that meet a filter in the same way, up to 10,000, in the order of their ids."""
    return await once.carry_out(lambda call: bulk.run(session, actor, call, body))


@router.get("/by-ref/{ref}", response_model=TaskWithRelations, response_model_exclude_unset=True)
async def get_task_by_ref(
    ref: Annotated[
        str, Path(max_length=30, description="The project's key and the task's number.", examples=["WEB-12"])
    ],
    actor: Caller,
    session: Reading,
    response: Response,
    expand: Expand = [],  # noqa: B006 - FastAPI copies defaults
    fields: Fields = [],  # noqa: B006 - FastAPI copies defaults
    known: KnownTags = None,
) -> TaskRecord | Expanded | Response:
    """A task by its ref."""
    return await _answer(session, actor, await queries.by_ref(session, actor, ref), expand, fields, known, response)


@router.get("/{task_id}", response_model=TaskWithRelations, response_model_exclude_unset=True)
async def get_task(
    task_id: TaskPath,
    actor: Caller,
    session: Reading,
    response: Response,
    expand: Expand = [],  # noqa: B006 - FastAPI copies defaults
    fields: Fields = [],  # noqa: B006 - FastAPI copies defaults
    known: KnownTags = None,
) -> TaskRecord | Expanded | Response:
    """A task."""
    return await _answer(session, actor, await queries.get(session, actor, task_id), expand, fields, known, response)


@router.patch("/{task_id}", response_model=TaskOut)
async def update_task(
    task_id: TaskPath,
    body: TaskUpdate,
    actor: Caller,
    session: Writing,
    expected: ExpectedVersion,
    response: Response,
    notify: Notify = True,
) -> TaskRecord:
    """Change a task; fields that are left out stay as they are."""
    task = await commands.update(session, actor, task_id, body, expected_version=expected, notify=notify)
    return _tagged(response, task)


@router.put("/{task_id}", response_model=TaskOut)
async def put_task(
    task_id: TaskPath,
    body: TaskUpdate,
    actor: Caller,
    session: Writing,
    expected: ExpectedVersion,
    response: Response,
    notify: Notify = True,
) -> TaskRecord:
    """The same as PATCH: only the fields that are sent change."""
    return await update_task(task_id, body, actor, session, expected, response, notify)


@router.delete("/{task_id}", status_code=204)
async def delete_task(task_id: TaskPath, actor: Caller, session: Writing, expected: ExpectedVersion) -> None:
    """Move a task and its subtasks to the trash, from where they can be restored for 30 days."""
    await commands.delete(session, actor, task_id, expected_version=expected)


@router.post("/{task_id}/restore", response_model=TaskOut)
async def restore_task(task_id: TaskPath, once: Repeat, response: Response) -> TaskRecord:
    """Bring a task back from the trash, with the subtasks that went with it."""
    task = await once(removal.restore, task_id)
    return _tagged(response, task)


def _tagged(response: Response, task: TaskRecord) -> TaskRecord:
    return tagged(response, task, task.version)


async def _answer(
    session: Session,
    actor: Actor,
    task: TaskRecord,
    names: list[Expansion],
    fields: list[str],
    known: str | None,
    response: Response,
) -> TaskRecord | Expanded | Response:
    if not names and not fields:
        return unless_known(response, task, task.version, known)
    # no ETag: a part says too little of the task's version, and what is read along has versions of its own
    [answer] = await expand(session, actor, [task], names)
    return sparse(answer, TaskWithRelations, fields, names, response) if fields else answer
