from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from api.addresses import locate
from api.dependencies import (
    AppState,
    Caller,
    ExpectedVersion,
    KnownTags,
    ListQuery,
    Notify,
    ProjectPath,
    Reading,
    Repeat,
    TaskPath,
    Writing,
    add_links,
    add_total,
    tagged,
    unless_known,
)
from api.media_types import StrictRoute
from services import probes
from services.projects import commands, queries
from services.projects.models import ProjectCreate, ProjectOut, ProjectRecord, ProjectUpdate
from services.tasks import commands as task_commands
from services.tasks.models import TaskOut, TaskRecord, TaskUpdate

router = APIRouter(route_class=StrictRoute, prefix="/projects", tags=["projects"])


class ProjectListQuery(ListQuery):
    archived: bool | None = Field(None, description="Only archived projects (true), or only active ones (false).")


@router.get("", response_model=list[ProjectOut])
async def list_projects(
    query: Annotated[ProjectListQuery, Query()], actor: Caller, session: Reading, request: Request, response: Response
) -> Sequence[ProjectRecord]:
    """The caller's projects, oldest first: the Inbox leads."""
    page = await queries.list_(session, actor, query.page, archived=query.archived)
    add_links(request, response, page)
    await add_total(response, query, lambda: queries.count(session, actor, archived=query.archived))
    return page.items


@router.post("", status_code=201, response_model=ProjectOut)
async def create_project(
    body: ProjectCreate, once: Repeat, actor: Caller, state: AppState, request: Request, response: Response
) -> ProjectRecord:
    """Create a project that the caller owns, with its tasks and their subtasks if wanted: all or nothing."""
    async with probes.bounded(state.security.limits, actor):
        project = await once(commands.create, body)
    locate(request, response, f"/projects/{project.id}")
    return tagged(response, project, project.version)


@router.get("/{project_id}", response_model=ProjectOut)
async def get_project(
    project_id: ProjectPath, actor: Caller, session: Reading, response: Response, known: KnownTags = None
) -> ProjectRecord | Response:
    """A project that the caller is a member of."""
    project = await queries.get(session, actor, project_id)
    return unless_known(response, project, project.version, known)


@router.patch("/{project_id}", response_model=ProjectOut)
async def update_project(
    project_id: ProjectPath,
    body: ProjectUpdate,
    actor: Caller,
    session: Writing,
    expected: ExpectedVersion,
    response: Response,
) -> ProjectRecord:
    """Change a project; fields that are left out stay as they are."""
    project = await commands.update(session, actor, project_id, body, expected_version=expected)
    return tagged(response, project, project.version)


@router.delete("/{project_id}", status_code=204)
async def delete_project(project_id: ProjectPath, actor: Caller, session: Writing, expected: ExpectedVersion) -> None:
    """Delete a project with all it holds, for good. Only its owners may."""
    await commands.delete(session, actor, project_id, expected_version=expected)


@router.put("/{project_id}/tasks/{task_id}", response_model=TaskOut, tags=["tasks"])
async def update_project_task(
    project_id: ProjectPath,
    task_id: TaskPath,
    body: TaskUpdate,
    actor: Caller,
    session: Writing,
    expected: ExpectedVersion,
    response: Response,
    notify: Notify = True,
) -> TaskRecord:
    """Change a task of a project; fields that are left out stay as they are."""
    task = await task_commands.update(
        session, actor, task_id, body, expected_version=expected, notify=notify, project_id=project_id
    )
    return tagged(response, task, task.version)
