from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Body, Path, Query, Request, Response

from api.dependencies.auth import CurrentActor, TellingActor
from api.dependencies.conditional_lists import if_none_match_of, unmodified
from api.dependencies.idempotency import Idempotent, IdempotentTelling
from api.dependencies.lists import ACCEPT_QUERY, add_query
from api.dependencies.pages import items_of
from api.dependencies.parameters import TaskPath
from api.dependencies.preconditions import ExpectedVersion, IfNoneMatch, not_modified, not_modified_or, with_etag
from api.dependencies.sessions import ReadSession, WriteSession
from api.http.addresses import locate
from api.http.open_paths import open_end
from api.http.route import StrictRoute
from api.http.sparse_fieldsets import Fields, sparse, sparse_list
from api.routes.task_parameters import Id, TaskCountQuery, TaskListQuery, in_project
from db.driver.sessions import Session
from services.shared.actors import Actor
from services.shared.expansions import Expanded
from services.shared.external_ids import WHAT_IT_IS_CALLED, ExternalId, ExternalSource
from services.tasks import aggregates, bulk, commands, duplication, moving, queries, refs, trash, upserts
from services.tasks.aggregates import TaskCount
from services.tasks.bulk_models import BulkCreate, BulkDelete, BulkOut, BulkRecord, BulkUpdate, BulkUpdateMatching
from services.tasks.expansions import TaskWithRelations, expand
from services.tasks.filters import TaskFilter
from services.tasks.models import (
    Expansion,
    TaskCountOut,
    TaskCreate,
    TaskDuplicate,
    TaskGrouping,
    TaskOut,
    TaskRecord,
    TaskUpdate,
    TaskUpsert,
)
from services.tasks.moving import Move, MoveOut, TaskMove

router = APIRouter(route_class=StrictRoute, prefix="/tasks", tags=["tasks"])

_IN_A_PATH = "It is all of the path behind the source: percent-encoded, but a / may stand in it as it is."

Expand = Annotated[
    list[Expansion], Query(description="Relations to read along; each costs one statement, however many tasks.")
]


@router.get("", response_model=list[TaskWithRelations], response_model_exclude_unset=True)
async def list_tasks(
    query: Annotated[TaskListQuery, Query()],
    actor: CurrentActor,
    session: ReadSession,
    request: Request,
    response: Response,
    if_none_match: IfNoneMatch = None,
) -> Sequence[TaskRecord | Expanded] | Response:
    """The caller's tasks as a plain array, newest first unless sorted otherwise; more pages are in the Link header."""
    return await _listed(query, actor, session, request, response, if_none_match)


async def query_tasks(
    body: TaskFilter,
    query: Annotated[TaskListQuery, Query()],
    actor: CurrentActor,
    session: ReadSession,
    request: Request,
    response: Response,
) -> Sequence[TaskRecord | Expanded] | Response:
    """As GET /tasks, with the filter as the body: it needs no escaping there, and no proxy's bound of addresses counts.

    It changes nothing. QUERY /tasks (RFC 10008) is the same, and may be repeated by whoever passes it on; POST is for
    those that do not know that method, as OpenAPI 3.1 does not.
    """
    return await _listed(query.filtered_by(body), actor, session, request, response, if_none_match_of(request))


add_query(router, "", query_tasks, list[TaskWithRelations], response_model_exclude_unset=True)


async def _listed(
    query: TaskListQuery,
    actor: Actor,
    session: Session,
    request: Request,
    response: Response,
    if_none_match: str | None,
) -> Sequence[TaskRecord | Expanded] | Response:
    response.raw_headers.append(ACCEPT_QUERY)
    known = await unmodified(session, actor, request, response, if_none_match, body=query.filter or "")
    if known is not None:
        return known
    wanted = await query.resolve(session, actor)
    page = await queries.list_(session, actor, wanted, query.page, wanted=query.reads)
    items = await items_of(page, query, request, response, partial(queries.count, session, actor, wanted))
    tasks = await expand(session, actor, items, query.expand)
    if query.fields:
        return await sparse_list(tasks, TaskWithRelations, query.fields, query.expand, response, request)
    return tasks


@router.get("/counts/{group_by}", response_model=list[TaskCountOut])
async def count_tasks(
    group_by: Annotated[TaskGrouping, Path(description="What tasks are counted by.", examples=["status"])],
    query: Annotated[TaskCountQuery, Query()],
    actor: CurrentActor,
    session: ReadSession,
) -> Sequence[TaskCount]:
    """How many tasks there are in each group, by key; of more than 1,000 groups the largest.

    Where more than 10,000 tasks match, groups say whether their count is exact."""
    wanted = await query.resolve(session, actor)
    return await aggregates.count_by(session, actor, group_by, wanted, exact=query.exact)


@router.post("", status_code=201, response_model=TaskOut)
async def create_task(body: TaskCreate, once: IdempotentTelling, request: Request, response: Response) -> TaskRecord:
    """Create a task, in the caller's Inbox unless a project is named."""
    task = await once(commands.create, body)
    locate(request, response, f"/tasks/{task.id}")
    return _tagged(response, task)


@router.post("/bulk/create", response_model=BulkOut)
async def create_tasks(body: BulkCreate, actor: CurrentActor, session: WriteSession, once: Idempotent) -> BulkRecord:
    """Create up to 1,000 tasks: all or nothing, or (mode partial) each for itself."""
    return await once.run(lambda call: bulk.run(session, actor, call, body))


@router.post("/bulk/update", response_model=BulkOut)
async def update_tasks(body: BulkUpdate, actor: CurrentActor, session: WriteSession, once: Idempotent) -> BulkRecord:
    """Change up to 1,000 tasks, each in its own way; fields that are left out stay as they are."""
    return await once.run(lambda call: bulk.run(session, actor, call, body))


@router.post("/bulk/delete", response_model=BulkOut)
async def delete_tasks(body: BulkDelete, actor: CurrentActor, session: WriteSession, once: Idempotent) -> BulkRecord:
    """Move up to 1,000 tasks and their subtasks to the trash."""
    return await once.run(lambda call: bulk.run(session, actor, call, body))


@router.post("/bulk/update-matching", response_model=BulkOut)
async def update_matching_tasks(
    body: BulkUpdateMatching, actor: CurrentActor, session: WriteSession, once: Idempotent
) -> BulkRecord:
    """Change all tasks that meet a filter in the same way, up to 10,000, in the order of their ids."""
    return await once.run(lambda call: bulk.run(session, actor, call, body))


@router.get("/by-ref/{ref}", response_model=TaskWithRelations, response_model_exclude_unset=True)
async def get_task_by_ref(
    ref: Annotated[
        str, Path(max_length=30, description="The project's key and the task's number.", examples=["WEB-12"])
    ],
    actor: CurrentActor,
    session: ReadSession,
    response: Response,
    expand: Expand = [],  # noqa: B006 - FastAPI copies defaults
    fields: Fields = [],  # noqa: B006 - FastAPI copies defaults
    if_none_match: IfNoneMatch = None,
) -> TaskRecord | Expanded | Response:
    """A task by its ref."""
    return await _answer(
        session, actor, await refs.by_ref(session, actor, ref), expand, fields, if_none_match, response
    )


@router.put(
    "/by-external-id/{external_source}" + open_end("external_id"),
    response_model=TaskOut,
    responses={201: {"model": TaskOut, "description": "Created"}},
)
async def upsert_task(
    external_source: Annotated[ExternalSource, Path()],
    external_id: Annotated[ExternalId, Path(description=f"{WHAT_IT_IS_CALLED} {_IN_A_PATH}")],
    body: TaskUpsert,
    actor: TellingActor,
    session: WriteSession,
    expected: ExpectedVersion,
    request: Request,
    response: Response,
    project_id: Annotated[Id | None, Query(description="The project, where the body does not name it.")] = None,
) -> TaskRecord:
    """Create the task that another system calls so (201), or change it (200); one that is the same is not written.

    An id that is one or two dots, which clients take for another address, goes into the body of a bulk call.
    """
    done = await upserts.upsert(
        session,
        actor,
        external_source,
        external_id,
        in_project(body, project_id),
        expected_version=expected,
    )
    if done.created:
        response.status_code = 201
        locate(request, response, f"/tasks/{done.task.id}")
    return _tagged(response, done.task)


@router.get("/{task_id}", response_model=TaskWithRelations, response_model_exclude_unset=True)
async def get_task(
    task_id: TaskPath,
    actor: CurrentActor,
    session: ReadSession,
    response: Response,
    expand: Expand = [],  # noqa: B006 - FastAPI copies defaults
    fields: Fields = [],  # noqa: B006 - FastAPI copies defaults
    if_none_match: IfNoneMatch = None,
) -> TaskRecord | Expanded | Response:
    """A task."""
    if if_none_match is not None and not expand and not fields:
        # whoever asks so has it already, as a rule: the rest is read where it has changed
        known = not_modified(await queries.version(session, actor, task_id), if_none_match)
        if known is not None:
            return known
    return await _answer(
        session, actor, await queries.get(session, actor, task_id), expand, fields, if_none_match, response
    )


@router.patch("/{task_id}", response_model=TaskOut)
async def update_task(
    task_id: TaskPath,
    body: TaskUpdate,
    actor: TellingActor,
    session: WriteSession,
    expected: ExpectedVersion,
    response: Response,
) -> TaskRecord:
    """Change a task; fields that are left out stay as they are."""
    task = await commands.update(session, actor, task_id, body, expected_version=expected)
    return _tagged(response, task)


@router.put("/{task_id}", response_model=TaskOut)
async def put_task(
    task_id: TaskPath,
    body: TaskUpdate,
    actor: TellingActor,
    session: WriteSession,
    expected: ExpectedVersion,
    response: Response,
) -> TaskRecord:
    """The same as PATCH: only the fields that are sent change."""
    return await update_task(task_id, body, actor, session, expected, response)


@router.delete("/{task_id}", status_code=204)
async def delete_task(task_id: TaskPath, actor: TellingActor, session: WriteSession, expected: ExpectedVersion) -> None:
    """Move a task and its subtasks to the trash, from where they can be restored for 30 days."""
    await commands.delete(session, actor, task_id, expected_version=expected)


@router.post("/{task_id}/duplicate", status_code=201, response_model=TaskOut)
async def duplicate_task(
    task_id: TaskPath,
    body: Annotated[TaskDuplicate, Body(default_factory=TaskDuplicate)],
    once: IdempotentTelling,
    request: Request,
    response: Response,
) -> TaskRecord:
    """Make a task again, pending, with its subtasks, tags and assignees; comments and relations stay behind."""
    task = await once(duplication.duplicate, task_id, body)
    locate(request, response, f"/tasks/{task.id}")
    return _tagged(response, task)


@router.post("/{task_id}/move", response_model=MoveOut)
async def move_task(task_id: TaskPath, body: TaskMove, once: IdempotentTelling, response: Response) -> Move:
    """Move a task to another project, with its subtasks, comments and relations; its former ref finds it, too."""
    done = await once(moving.move, task_id, body)
    return with_etag(response, done, done.task.version)


@router.post("/{task_id}/restore", response_model=TaskOut)
async def restore_task(
    task_id: TaskPath,
    once: IdempotentTelling,
    response: Response,
    with_parents: Annotated[bool, Query(description=trash.WITH_PARENTS)] = False,
) -> TaskRecord:
    """Bring a task back from the trash, with the subtasks that went with it."""
    task = await once(trash.restore, task_id, with_parents=with_parents)
    return _tagged(response, task)


def _tagged(response: Response, task: TaskRecord) -> TaskRecord:
    return with_etag(response, task, task.version)


async def _answer(
    session: Session,
    actor: Actor,
    task: TaskRecord,
    names: list[Expansion],
    fields: list[str],
    if_none_match: str | None,
    response: Response,
) -> TaskRecord | Expanded | Response:
    if not names and not fields:
        return not_modified_or(response, task, task.version, if_none_match)
    # no ETag: a part says too little of the task's version, and what is read along has versions of its own
    [answer] = await expand(session, actor, [task], names)
    return sparse(answer, TaskWithRelations, fields, names, response) if fields else answer
