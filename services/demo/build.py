"""Makes the demonstration, each part by whom it is of: so that histories tell who did what."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

from sqlalchemy import select

from core.clock import now
from core.passwords import PasswordHasher
from db.driver.database import Database
from db.driver.sessions import Session
from db.models import Project as ProjectRow
from db.models import User
from services import comments, email_verifications, members, milestones, relations, saved_views, tags
from services.accounts import OPERATOR
from services.comments import CommentCreate
from services.demo.content import DONE, DROPPED, PEOPLE, PROJECTS, VIEWS, Milestone, Project, Task
from services.members import MemberAdd
from services.milestones import MilestoneCreate, MilestoneState, MilestoneUpdate
from services.projects import commands as projects
from services.projects.models import ProjectCreate
from services.relations import RelationCreate
from services.saved_views import SavedViewCreate
from services.shared.actors import ALL_SCOPES, Actor, Scope
from services.shared.errors import Conflict
from services.tags import TagCreate
from services.tasks import commands as tasks
from services.tasks.models import TaskCreate, TaskStatus, TaskUpdate
from services.users import commands as users
from services.users.models import UserCreate

DOMAIN = "example.com"
DAY_ENDS = time(17, 0, tzinfo=UTC)


class Demo(NamedTuple):
    """What was made, and how to log in: each of the people has the password."""

    people: Sequence[tuple[str, str]]
    password: str
    projects: Sequence[tuple[str, str, int]]
    """Keys, names, and how many tasks."""


async def build(database: Database, *, hasher: PasswordHasher) -> Demo:
    """Make people, projects and all that is in them, in one transaction.

    Raises ``Conflict`` where there is one already, or something else of the same name: nothing is made then.
    """
    password = secrets.token_urlsafe(9)
    password_hash = await hasher.hash(password)
    async with database.writing() as session:
        session.takes_long()
        await _refuse_twice(session)
        actors = {}
        for person in PEOPLE:
            data = UserCreate(
                username=person.username,
                full_name=person.full_name,
                timezone=person.timezone,
                email=f"{person.username}@{DOMAIN}",
                password=password,
            )
            user = await users.create(session, Actor("anonymous"), data, password_hash=password_hash)
            await email_verifications.mark(session, OPERATOR, user.id, user.email)
            actors[person.username] = Actor("system", user_id=user.id, scopes=ALL_SCOPES - {Scope.ADMIN})
        for project in PROJECTS:
            await _make(session, actors, project)
        for name, condition, order in VIEWS:
            view = SavedViewCreate.model_validate({"name": name, "filter": condition, "sort_by": order, "order": "asc"})
            await saved_views.create(session, actors[PEOPLE[0].username], view)
    made = [(project.key, project.name, len(project.tasks)) for project in PROJECTS]
    return Demo([(person.username, person.full_name) for person in PEOPLE], password, made)


async def _refuse_twice(session: Session) -> None:
    names = [person.username for person in PEOPLE]
    taken = [row[0] for row in await session.all(select(User.username).where(User.username_folded.in_(names)))]
    keys = [project.key for project in PROJECTS]
    taken += [row[0] for row in await session.all(select(ProjectRow.key).where(ProjectRow.key.in_(keys)))]
    if taken:
        raise Conflict(f"There is a demonstration here already, or what has its names: {', '.join(sorted(taken))}")


async def _make(session: Session, actors: Mapping[str, Actor], project: Project) -> None:
    owner = actors[project.members[0][0]]
    made = await projects.create(
        session, owner, ProjectCreate(name=project.name, key=project.key, description=project.description)
    )
    for username, role in project.members[1:]:
        await members.add(session, owner, made.id, MemberAdd(username=username, role=role))
    for name, color in project.tags:
        await tags.create(session, owner, made.id, TagCreate(name=name, color=color))
    reached = [await _milestone(session, owner, made.id, milestone) for milestone in project.milestones]
    places = {milestone.name: place for milestone, place in zip(project.milestones, reached, strict=True)}
    ids: dict[str, int] = {}
    writers = [actors[username] for username, role in project.members if role != "viewer"]
    for index, task in enumerate(project.tasks):
        author = writers[index % len(writers)]
        ids[task.title] = await _task(session, actors, author, made.id, task, ids, places)
    for source, kind, target in project.relations:
        relation = RelationCreate(kind=kind, target_id=ids[target])
        await relations.create(session, owner, ids[source], relation)
    for milestone in project.milestones:
        if milestone.closed:
            closed = MilestoneUpdate(state=MilestoneState.CLOSED)
            await milestones.update(session, owner, places[milestone.name], closed)


async def _milestone(session: Session, actor: Actor, project_id: int, milestone: Milestone) -> int:
    data = MilestoneCreate(name=milestone.name, due_at=_day(milestone.due))
    return (await milestones.create(session, actor, project_id, data)).id


async def _task(
    session: Session,
    actors: Mapping[str, Actor],
    author: Actor,
    project_id: int,
    task: Task,
    ids: Mapping[str, int],
    places: Mapping[str, int],
) -> int:
    data = TaskCreate.model_validate(
        {
            "project_id": project_id,
            "title": task.title,
            "description": task.description,
            "priority": task.priority,
            "assignee_ids": [actors[username].user_id for username in task.who],
            "tags": list(task.tags),
            "start_at": None if task.start is None else _day(task.start),
            "due_at": None if task.due is None else _day(task.due),
            "parent_id": None if task.below is None else ids[task.below],
            "milestone_id": None if task.milestone is None else places[task.milestone],
        }
    )
    made = await tasks.create(session, author, data)
    for status in _steps(task.status):
        await tasks.update(session, author, made.id, TaskUpdate(status=status))
    for username, body in task.comments:
        await comments.create(session, actors[username], made.id, CommentCreate(body=body))
    return made.id


def _steps(status: TaskStatus) -> Sequence[TaskStatus]:
    """How a new task comes to a status."""
    if status == DONE:
        return [TaskStatus.IN_PROGRESS, DONE]
    return [status] if status in (TaskStatus.IN_PROGRESS, DROPPED) else []


def _day(days: int) -> datetime:
    """The end of work, so many days from today."""
    return datetime.combine(now().date() + timedelta(days=days), DAY_ENDS)
