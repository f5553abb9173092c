"""Following: whom to tell of comments on tasks and of changes of where they stand. It is the person's own.

Whoever creates a task, is to do it or comments on it follows it without saying so (``services.tasks.following``), until
he says that he does not.
"""

from typing import NamedTuple

from pydantic import Field
from sqlalchemy import delete as sql_delete
from sqlalchemy import select

from core.clock import now
from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.models import ProjectFollow, Task, TaskFollow
from db.upserts import insert_or_ignore, upsert
from services.events import catalogue, log
from services.events.catalogue import EventKind
from services.projects import queries as projects
from services.projects.locks import require
from services.projects.models import Role
from services.shared.actors import Actor, Scope
from services.shared.errors import NotFound
from services.shared.features import Feature, Operation, Who
from services.shared.inputs import DescribedEnum
from services.shared.outputs import Output
from services.shared.statements import ACTOR_PARAMETER, parameter
from services.tasks.following import reasons, said
from services.tasks.updates import hold_task
from services.tasks.visibility import readable


class FollowReason(DescribedEnum):
    """Why somebody follows a task; what comes first here is told, where it is for several reasons."""

    ASKED = "asked", "The person said so."
    CREATED = "created", "The person created it."
    ASSIGNED = "assigned", "The person is to do it."
    COMMENTED = "commented", "The person commented on it."
    PROJECT = "project", "The person follows its project."


class TaskFollowOut(Output):
    """Whether the caller follows a task."""

    task_id: int = Field(description="The task.")
    following: bool = Field(description="Whether the caller is told of comments and of changes of its status.")
    reason: FollowReason | None = Field(description="Why the caller follows it; null where that is not so.")


class ProjectFollowOut(Output):
    """Whether the caller follows a project."""

    project_id: int = Field(description="The project.")
    following: bool = Field(description="Whether the caller follows all of its tasks.")


class TaskFollowRecord(NamedTuple):
    """Whether somebody follows a task, and why."""

    task_id: int
    following: bool
    reason: str | None


class ProjectFollowRecord(NamedTuple):
    """Whether somebody follows a project."""

    project_id: int
    following: bool


_reasons = reasons(ACTOR_PARAMETER)
_OF_TASK = Prepared(
    select(said(ACTOR_PARAMETER), *_reasons.values()).where(Task.id == parameter("task_id"), readable(ACTOR_PARAMETER))
)
_OF_PROJECT = Prepared(
    select(ProjectFollow.project_id).where(
        ProjectFollow.project_id == parameter("project_id"), ProjectFollow.user_id == ACTOR_PARAMETER.user_id
    )
)
_SAID = Prepared(
    select(TaskFollow.following).where(
        TaskFollow.task_id == parameter("task_id"), TaskFollow.user_id == ACTOR_PARAMETER.user_id
    )
)
_say = upsert(TaskFollow)


async def of_task(session: Session, actor: Actor, task_id: int) -> TaskFollowRecord:
    """Whether the caller follows a task, and why. Raises ``NotFound``."""
    user_id = actor.require(Scope.TASKS_READ)
    row = await session.first(_OF_TASK(task_id=task_id, caller_id=user_id))
    if row is None:
        raise NotFound("Task")
    explicit, *automatic = row
    if explicit is not None:
        return TaskFollowRecord(task_id, bool(explicit), FollowReason.ASKED.value if explicit else None)
    reason = next((name for name, holds in zip(_reasons, automatic, strict=True) if holds), None)
    return TaskFollowRecord(task_id, reason is not None, reason)


async def of_project(session: Session, actor: Actor, project_id: int) -> ProjectFollowRecord:
    """Whether the caller follows a project. Raises ``NotFound``."""
    user_id = actor.require(Scope.TASKS_READ)
    await projects.get(session, actor, project_id)
    found = await session.first(_OF_PROJECT(project_id=project_id, caller_id=user_id))
    return ProjectFollowRecord(project_id, found is not None)


async def follow_task(session: Session, actor: Actor, task_id: int) -> TaskFollowRecord:
    """Follow a task, whatever comes of it. Raises ``NotFound``, ``Forbidden``."""
    await _say_of_task(session, actor, task_id, following=True)
    return TaskFollowRecord(task_id, following=True, reason=FollowReason.ASKED.value)


async def unfollow_task(session: Session, actor: Actor, task_id: int) -> TaskFollowRecord:
    """Follow a task no more, also not for having created it, being to do it or commenting on it. Raises ``NotFound``,
    ``Forbidden``."""
    await _say_of_task(session, actor, task_id, following=False)
    return TaskFollowRecord(task_id, following=False, reason=None)


async def follow_project(session: Session, actor: Actor, project_id: int) -> ProjectFollowRecord:
    """Follow all tasks of a project, but for those of which the caller said otherwise. Raises ``NotFound``,
    ``Forbidden``."""
    user_id = await _hold_project(session, actor, project_id)
    values = {"project_id": project_id, "user_id": user_id, "created_at": now()}
    if await session.execute(insert_or_ignore(ProjectFollow).values(values)):
        await _record(session, actor, user_id, catalogue.FOLLOW_CREATED, {"project_id": (None, project_id)})
    return ProjectFollowRecord(project_id, following=True)


async def unfollow_project(session: Session, actor: Actor, project_id: int) -> ProjectFollowRecord:
    """Follow a project no more; the caller goes on following what he follows of it by himself. Raises ``NotFound``,
    ``Forbidden``."""
    user_id = await _hold_project(session, actor, project_id)
    mine = (ProjectFollow.project_id == project_id, ProjectFollow.user_id == user_id)
    if await session.execute(sql_delete(ProjectFollow).where(*mine)):
        await _record(session, actor, user_id, catalogue.FOLLOW_DELETED, {"project_id": (project_id, None)})
    return ProjectFollowRecord(project_id, following=False)


async def _say_of_task(session: Session, actor: Actor, task_id: int, *, following: bool) -> None:
    user_id = actor.require(Scope.TASKS_WRITE)
    await hold_task(session, actor, task_id)
    before = await session.first(_SAID(task_id=task_id, caller_id=user_id))
    if before is not None and bool(before[0]) is following:
        return
    values = {"task_id": task_id, "user_id": user_id, "following": following, "created_at": now()}
    new = _say.on_conflict_do_update(
        index_elements=[TaskFollow.task_id, TaskFollow.user_id], set_={"following": following}
    )
    await session.execute(new.values(values))
    if following:
        await _record(session, actor, user_id, catalogue.FOLLOW_CREATED, {"task_id": (None, task_id)})
    else:
        await _record(session, actor, user_id, catalogue.FOLLOW_DELETED, {"task_id": (task_id, None)})


async def _hold_project(session: Session, actor: Actor, project_id: int) -> int:
    """The caller's id, in a project that stays there."""
    user_id = actor.require(Scope.TASKS_WRITE)
    await require(session, actor, project_id, Role.VIEWER, archived=True)
    return user_id


async def _record(session: Session, actor: Actor, user_id: int, kind: EventKind, changes: log.Changes) -> None:
    # of no project, which others are told of
    await log.record(session, actor, log.NewEvent(kind, user_id, changes))


FEATURE = Feature(
    "follows",
    operations=(
        Operation("get_task_follow", "Query.taskFollow", Who.VIEWER, Scope.TASKS_READ),
        Operation("follow_task", "Mutation.followTask", Who.VIEWER, Scope.TASKS_WRITE),
        Operation("unfollow_task", "Mutation.unfollowTask", Who.VIEWER, Scope.TASKS_WRITE),
        Operation("get_project_follow", "Query.projectFollow", Who.VIEWER, Scope.TASKS_READ),
        Operation("follow_project", "Mutation.followProject", Who.VIEWER, Scope.TASKS_WRITE),
        Operation("unfollow_project", "Mutation.unfollowProject", Who.VIEWER, Scope.TASKS_WRITE),
    ),
    about="What a person is told of without taking part in it.",
)
