"""Small worlds that are alike: people, two projects, tasks. Each pair of calls gets some of its own."""

import itertools
import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
from sqlalchemy import insert, or_, select, update
from sqlalchemy.orm import aliased

from api.state import State
from core.clock import now
from core.tokens import fingerprint
from db.models import (
    ApiKey,
    Comment,
    CommentText,
    Event,
    LoginSession,
    Membership,
    Project,
    RefreshToken,
    Relation,
    SavedView,
    Tag,
    Task,
    TaskAssignee,
    TaskTag,
    TaskText,
    User,
)
from db.sessions import Session
from tests.actors import PASSWORD, Anonymous
from tests.conftest import SERVER_KEY

ROLES = {
    "home": {"owner": "owner", "admin": "admin", "member": "member", "other": "member"},
    "far": {"owner": "owner", "other": "owner", "admin": "admin", "member": "member"},
}
PEOPLE = ("owner", "admin", "member", "other", "guest", "boss")
TASKS: dict[str, dict[str, Any]] = {
    "parent": {},
    "child": {},
    "target": {},
    "second": {},
    "trashed": {"trashed": True},
    "remote": {"project": "far"},
}
"""The child is below the parent; the target is assigned to the other, has a comment, and blocks the remote one."""
_numbers = itertools.count(1)


@dataclass
class World:
    """``mark`` is in every name that is unique on the server; ``id`` has the ids by name."""

    mark: str
    id: dict[str, int] = field(default_factory=dict)
    people: dict[str, Anonymous] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The key of a project that is not there yet."""
        return f"K{self.id['home']}"

    def name(self, person: str) -> str:
        return f"{person}_{self.mark}"


async def make_world(state: State, client: httpx.AsyncClient) -> World:
    """A world like any other but for its ids and mark, written past the services."""
    world = World(f"w{os.getpid()}x{next(_numbers)}w")
    password_hash = await _password_hash(state)
    async with state.database.writing() as session:
        await _make_people(session, state, client, world, password_hash)
        await _make_projects(session, world)
        await _make_tasks(session, world)
    return world


_hashes: dict[str, str] = {}


async def _password_hash(state: State) -> str:
    if PASSWORD not in _hashes:
        _hashes[PASSWORD] = await state.security.hasher.hash(PASSWORD)
    return _hashes[PASSWORD]


async def _make_people(
    session: Session, state: State, client: httpx.AsyncClient, world: World, password_hash: str
) -> None:
    moment = now()
    rows = [
        {
            "username": world.name(person),
            "username_folded": world.name(person),
            "email": f"{world.name(person)}@example.com",
            "password_hash": password_hash,
            "is_admin": person == "boss",
            "updated_at": moment,
        }
        for person in PEOPLE
    ]
    made = {row.username: row.id for row in await session.all(insert(User).returning(User.id, User.username), rows)}
    world.id |= {person: made[world.name(person)] for person in PEOPLE}
    logins = [
        {"user_id": world.id[person], "last_used_at": moment, "expires_at": moment + timedelta(days=1)}
        for person in PEOPLE
    ]
    opened = await session.all(insert(LoginSession).returning(LoginSession.id, LoginSession.user_id), logins)
    sessions = {row.user_id: row.id for row in opened}
    for person in PEOPLE:
        user_id = world.id[person]
        token = state.security.tokens.issue(user_id=user_id, session_id=sessions[user_id])
        world.people[person] = Anonymous(client, {"Authorization": f"Bearer {token}"})
    world.people |= {"server": Anonymous(client, {"X-API-Key": SERVER_KEY}), "nobody": Anonymous(client)}
    world.id["session"] = sessions[world.id["member"]]
    token_hash = fingerprint(world.name("token"))
    await session.execute(insert(RefreshToken).values(session_id=world.id["session"], token_hash=token_hash))
    view = {"owner_id": world.id["member"], "name": "view", "filter": {}, "sort_by": "title", "order": "asc"}
    world.id["view"] = await session.scalar(insert(SavedView).values(**view, updated_at=moment).returning(SavedView.id))


async def _make_projects(session: Session, world: World) -> None:
    moment = now()
    for place, roles in ROLES.items():
        # keys of the two differ in their first letter
        row = {"key": f"{place[0].upper()}{world.id['owner']}", "name": place, "last_number": len(TASKS)}
        world.id[place] = await session.scalar(insert(Project).values(**row, updated_at=moment).returning(Project.id))
        members = [
            {"project_id": world.id[place], "user_id": world.id[who], "role": role} for who, role in roles.items()
        ]
        await session.execute(insert(Membership), members)


async def _make_tasks(session: Session, world: World) -> None:
    moment = now()
    rows = [
        {
            "project_id": world.id[given.get("project", "home")],
            "number": number,
            "title": name,
            "deleted_at": moment if given.get("trashed") else None,
            "created_by_id": world.id["member"],
            "updated_at": moment,
        }
        for number, (name, given) in enumerate(TASKS.items(), start=1)
    ]
    made = await session.all(insert(Task).returning(Task.id, Task.title), rows)
    world.id |= {row.title: row.id for row in made}
    tags = [{"project_id": world.id["home"], "name": name, "name_folded": name} for name in ("bug", "ux")]
    world.id |= {row.name: row.id for row in await session.all(insert(Tag).returning(Tag.id, Tag.name), tags)}
    below = {"parent_id": world.id["parent"]}
    await session.execute(update(Task).where(Task.id == world.id["child"]).values(below))
    texts = [{"task_id": world.id[name], "folded": name} for name in TASKS]
    await session.execute(insert(TaskText), texts)
    bug = [{"task_id": world.id[name], "tag_id": world.id["bug"]} for name in ("target", "second")]
    await session.execute(insert(TaskTag), bug)
    target = {"task_id": world.id["target"]}
    await session.execute(insert(TaskAssignee).values(**target, user_id=world.id["other"]))
    world.id["comment"] = await session.scalar(
        insert(Comment).values(**target, author_id=world.id["member"], body="said").returning(Comment.id)
    )
    await session.execute(insert(CommentText).values(comment_id=world.id["comment"], folded="said"))
    ends = {"source_id": world.id["target"], "target_id": world.id["remote"]}
    world.id["relation"] = await session.scalar(insert(Relation).values(kind="blocks", **ends).returning(Relation.id))


async def contents(session: Session, world: World) -> dict[str, list[Any]]:
    """All that the world holds, by names instead of ids, so that two worlds can be compared."""
    people = [world.id[person] for person in PEOPLE]
    home, far, project, other = world.id["home"], world.id["far"], Project.name.label("project"), aliased(Task)
    mine = select(Membership.project_id).where(Membership.user_id.in_(people))
    places = or_(Project.id.in_(mine), Project.id.in_([home, far]))
    within = [Task.project_id == Project.id, places]
    mark = or_(User.id.in_(people), User.username.like(f"%{world.mark}"))
    statements = {
        "projects": select(
            Project.name,
            Project.description,
            Project.archived_at.is_not(None),
            Project.last_number,
            Project.version,
        ).where(places),
        "members": select(project, User.username, Membership.role).where(
            Membership.project_id == Project.id, Membership.user_id == User.id, places
        ),
        "tasks": select(
            project,
            Task.number,
            Task.title,
            Task.status,
            Task.priority,
            Task.version,
            Task.deleted_at.is_not(None),
            other.title.label("parent"),
            TaskText.folded,
        )
        .select_from(Project)
        .join(Task, Task.project_id == Project.id)
        .join(TaskText, TaskText.task_id == Task.id)
        .outerjoin(other, other.id == Task.parent_id)
        .where(places),
        "tags": select(project, Tag.name, Tag.color).where(Tag.project_id == Project.id, places),
        "tagged": select(Task.number, Tag.name).where(TaskTag.task_id == Task.id, TaskTag.tag_id == Tag.id, *within),
        "assigned": select(Task.number, User.username).where(
            TaskAssignee.task_id == Task.id, TaskAssignee.user_id == User.id, *within
        ),
        "comments": select(Task.title, Comment.body, Comment.version, CommentText.folded).where(
            Comment.task_id == Task.id, CommentText.comment_id == Comment.id, *within
        ),
        "relations": select(Relation.kind, Task.title, other.title.label("other")).where(
            Relation.source_id == Task.id, Relation.target_id == other.id, *within
        ),
        "accounts": select(User.username, User.email, User.disabled).where(mark),
        "sessions": select(User.username, LoginSession.ended_at.is_not(None)).where(
            LoginSession.user_id == User.id, mark
        ),
        "keys": select(User.username, ApiKey.name).where(ApiKey.user_id == User.id, mark),
        "views": select(SavedView.name, SavedView.version).where(SavedView.owner_id.in_(people)),
        "events": select(Event.kind, Event.entity_version, Event.actor_id, Event.task_id).where(
            or_(Event.project_id.in_([home, far]), Event.actor_id.in_(people))
        ),
    }
    found = {}
    for table, statement in statements.items():
        rows = [tuple(row) for row in await session.all(statement)]
        if table == "events":  # of tasks, those that were there have a name
            actors = {world.id[person]: person for person in PEOPLE}
            tasks = {world.id[task]: task for task in TASKS}
            rows = [(*row[:2], actors.get(row[2]), tasks.get(row[3], row[3] and "new")) for row in rows]
        found[table] = sorted((tuple(_unmarked(value, world) for value in row) for row in rows), key=repr)
    return found


def _unmarked(value: Any, world: World) -> Any:
    return value.replace(world.mark, "~").replace(world.mark.upper(), "~") if isinstance(value, str) else value
