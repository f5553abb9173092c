from fastapi import APIRouter

from api.dependencies.auth import CurrentActor
from api.dependencies.parameters import ProjectPath, TaskPath
from api.dependencies.sessions import ReadSession, WriteSession
from api.http.route import StrictRoute
from services import follows
from services.follows import ProjectFollowOut, ProjectFollowRecord, TaskFollowOut, TaskFollowRecord

router = APIRouter(route_class=StrictRoute, tags=["follows"])


@router.get("/tasks/{task_id}/follow", response_model=TaskFollowOut)
async def get_task_follow(task_id: TaskPath, actor: CurrentActor, session: ReadSession) -> TaskFollowRecord:
    """Whether the caller follows a task, and why."""
    return await follows.of_task(session, actor, task_id)


@router.put("/tasks/{task_id}/follow", response_model=TaskFollowOut)
async def follow_task(task_id: TaskPath, actor: CurrentActor, session: WriteSession) -> TaskFollowRecord:
    """Follow a task: be told of comments on it, and of changes of its status."""
    return await follows.follow_task(session, actor, task_id)


@router.delete("/tasks/{task_id}/follow", response_model=TaskFollowOut)
async def unfollow_task(task_id: TaskPath, actor: CurrentActor, session: WriteSession) -> TaskFollowRecord:
    """Follow a task no more, also not for having created it, being to do it or commenting on it."""
    return await follows.unfollow_task(session, actor, task_id)


@router.get("/projects/{project_id}/follow", response_model=ProjectFollowOut)
async def get_project_follow(project_id: ProjectPath, actor: CurrentActor, session: ReadSession) -> ProjectFollowRecord:
    """Whether the caller follows a project."""
    return await follows.of_project(session, actor, project_id)


@router.put("/projects/{project_id}/follow", response_model=ProjectFollowOut)
async def follow_project(project_id: ProjectPath, actor: CurrentActor, session: WriteSession) -> ProjectFollowRecord:
    """Follow all tasks of a project, but for those that the caller does not want to follow."""
    return await follows.follow_project(session, actor, project_id)


@router.delete("/projects/{project_id}/follow", response_model=ProjectFollowOut)
async def unfollow_project(project_id: ProjectPath, actor: CurrentActor, session: WriteSession) -> ProjectFollowRecord:
    """Follow a project no more. What the caller follows of it by itself stays followed."""
    return await follows.unfollow_project(session, actor, project_id)
