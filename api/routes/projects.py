from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Response
from pydantic import Field

from api.dependencies.auth import TellingActor
from api.dependencies.idempotency import IdempotentTelling
from api.dependencies.lists import ExternalShorthands, ListCall, ListShape, add_query
from api.dependencies.parameters import ProjectPath, TaskPath
from api.dependencies.preconditions import ExpectedVersion, VersionedRead, VersionedWrite, with_etag
from api.dependencies.sessions import WriteSession
from api.http.route import StrictRoute
from services.projects import commands, duplication, queries
from services.projects.duplication import ProjectDuplicate
from services.projects.models import ProjectCreate, ProjectFilter, ProjectOut, ProjectRecord, ProjectUpdate
from services.tasks import commands as task_commands
from services.tasks.models import TaskOut, TaskRecord, TaskUpdate

router = APIRouter(route_class=StrictRoute, prefix="/projects", tags=["projects"])


class ProjectShorthands(ExternalShorthands):
    archived: bool | None = Field(None, description="Only archived projects (true), or only active ones (false).")

    def conditions(self) -> Iterable[dict[str, Any]]:
        yield from super().conditions()
        if self.archived is not None:
            yield {"archived": self.archived}


_LIST = ListShape(ProjectOut, "a project", filter=ProjectFilter, shorthands=ProjectShorthands)


@router.get("", response_model=list[ProjectOut])
async def list_projects(
    listing: Annotated[ListCall[ProjectFilter], Depends(_LIST.listing)],
) -> Sequence[ProjectRecord] | Response:
    """The caller's projects, oldest first: the Inbox leads."""
    return await listing(queries.list_, queries.count)


async def query_projects(
    body: ProjectFilter, listing: Annotated[ListCall[ProjectFilter], Depends(_LIST.querying)]
) -> Sequence[ProjectRecord] | Response:
    """As GET /projects, with the filter as the body. It changes nothing."""
    return await listing.by(body)(queries.list_, queries.count)


add_query(router, "", query_projects, list[ProjectOut])


@router.post("", status_code=201, response_model=ProjectOut)
async def create_project(body: ProjectCreate, once: IdempotentTelling) -> ProjectRecord:
    """Create a project that the caller owns, with its tasks and their subtasks if wanted: all or nothing."""
    project = await once(commands.create, body)
    return once.located(f"/projects/{project.id}", project)


@router.get("/{project_id}", response_model=ProjectOut)
async def get_project(project_id: ProjectPath, read: VersionedRead) -> ProjectRecord | Response:
    """A project that the caller is a member of."""
    return await read(queries.get, project_id)


@router.patch("/{project_id}", response_model=ProjectOut)
async def update_project(project_id: ProjectPath, body: ProjectUpdate, write: VersionedWrite) -> ProjectRecord:
    """Change a project; fields that are left out stay as they are."""
    return await write(commands.update, project_id, body, expected_version=write.expected)


@router.delete("/{project_id}", status_code=204)
async def delete_project(
    project_id: ProjectPath, actor: TellingActor, session: WriteSession, expected: ExpectedVersion
) -> None:
    """Delete a project with all it holds, for good. Only its owners may."""
    await commands.delete(session, actor, project_id, expected_version=expected)


@router.post("/{project_id}/duplicate", status_code=201, response_model=ProjectOut)
async def duplicate_project(
    project_id: ProjectPath,
    body: Annotated[ProjectDuplicate, Body(default_factory=ProjectDuplicate)],
    once: IdempotentTelling,
) -> ProjectRecord:
    """Make a project again, which the caller owns: its tags, milestones and tasks, all pending, with the relations
    among them; if wanted, with its people."""
    project = await once(duplication.duplicate, project_id, body)
    return once.located(f"/projects/{project.id}", project)


@router.put("/{project_id}/tasks/{task_id}", response_model=TaskOut, tags=["tasks"])
async def update_project_task(
    project_id: ProjectPath,
    task_id: TaskPath,
    body: TaskUpdate,
    actor: TellingActor,
    session: WriteSession,
    expected: ExpectedVersion,
    response: Response,
) -> TaskRecord:
    """Change a task of a project; fields that are left out stay as they are."""
    task = await task_commands.update(session, actor, task_id, body, expected_version=expected, project_id=project_id)
    return with_etag(response, task, task.version)
