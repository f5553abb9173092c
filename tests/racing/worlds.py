"""Small worlds that are alike: people, two projects, tasks. Each pair of calls gets some of its own."""

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

import httpx
from sqlalchemy import BigInteger, Integer, String, and_, bindparam, func, insert, or_, select, update
from sqlalchemy.orm import aliased

from api.state import State
from core.clock import now
from core.tokens import fingerprint
from db.driver.sessions import Session
from db.driver.statements import Bound, Prepared
from db.lists import in_list
from db.models import (
    ApiKey,
    Base,
    Comment,
    CommentText,
    Event,
    LoginSession,
    Membership,
    Project,
    RefreshToken,
    Relation,
    Reminder,
    SavedView,
    Tag,
    Task,
    TaskAssignee,
    TaskTag,
    TaskText,
    User,
    Webhook,
)
from tests.actors import Anonymous, password_hash
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
    hashed = await password_hash(state)
    async with state.database.writing() as session:
        world.id["event"] = await session.scalar(_NEWEST_EVENT) or 0
        await _make_people(session, state, client, world, hashed)
        await _make_projects(session, world)
        await _make_tasks(session, world)
    return world


async def _make_people(session: Session, state: State, client: httpx.AsyncClient, world: World, hashed: str) -> None:
    moment = now()
    rows = [
        {
            "username": world.name(person),
            "username_folded": world.name(person),
            "email": f"{world.name(person)}@example.com",
            "password_hash": hashed,
            "is_admin": person == "boss",
            "updated_at": moment,
        }
        for person in PEOPLE
    ]
    made = {row.username: row.id for row in await _insert(session, User, rows, "id", "username")}
    world.id |= {person: made[world.name(person)] for person in PEOPLE}
    logins = [
        {"user_id": world.id[person], "last_used_at": moment, "expires_at": moment + timedelta(days=1)}
        for person in PEOPLE
    ]
    opened = await _insert(session, LoginSession, logins, "id", "user_id")
    sessions = {row.user_id: row.id for row in opened}
    for person in PEOPLE:
        user_id = world.id[person]
        token = state.security.tokens.issue(user_id=user_id, session_id=sessions[user_id])
        world.people[person] = Anonymous(client, {"Authorization": f"Bearer {token}"})
    world.people |= {"server": Anonymous(client, {"X-API-Key": SERVER_KEY}), "nobody": Anonymous(client)}
    world.id["session"] = sessions[world.id["member"]]
    refresh: dict[str, Any] = {"session_id": world.id["session"], "token_hash": fingerprint(world.name("token"))}
    await _insert(session, RefreshToken, [refresh])
    view = {"owner_id": world.id["member"], "name": "view", "filter": {}, "sort_by": "title", "order": "asc"}
    [(world.id["view"],)] = await _insert(session, SavedView, [view | {"updated_at": moment}], "id")


async def _make_projects(session: Session, world: World) -> None:
    moment = now()
    for place, roles in ROLES.items():
        # keys of the two differ in their first letter
        row = {"key": f"{place[0].upper()}{world.id['owner']}", "name": place, "last_number": len(TASKS)}
        [(world.id[place],)] = await _insert(session, Project, [row | {"updated_at": moment}], "id")
        members = [
            {"project_id": world.id[place], "user_id": world.id[who], "role": role} for who, role in roles.items()
        ]
        await _insert(session, Membership, members)
    hook = {"owner_id": world.id["member"], "project_id": world.id["home"], "name": "hook", "kinds": [], "since": 0}
    hook |= {"url": "https://example.com/", "content": "thin", "salt": "0" * 32, "updated_at": moment}
    [(world.id["hook"],)] = await _insert(session, Webhook, [hook], "id")


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
    world.id |= {row.title: row.id for row in await _insert(session, Task, rows, "id", "title")}
    tags = [{"project_id": world.id["home"], "name": name, "name_folded": name} for name in ("bug", "ux")]
    world.id |= {row.name: row.id for row in await _insert(session, Tag, tags, "id", "name")}
    await session.execute(_BELOW(child=world.id["child"], parent=world.id["parent"]))
    texts = [{"task_id": world.id[name], "folded": name} for name in TASKS]
    await _insert(session, TaskText, texts)
    bug = [{"task_id": world.id[name], "tag_id": world.id["bug"]} for name in ("target", "second")]
    await _insert(session, TaskTag, bug)
    target = {"task_id": world.id["target"]}
    await _insert(session, TaskAssignee, [target | {"user_id": world.id["other"]}])
    comment = target | {"author_id": world.id["member"], "body": "said"}
    [(world.id["comment"],)] = await _insert(session, Comment, [comment], "id")
    await _insert(session, CommentText, [{"comment_id": world.id["comment"], "folded": "said"}])
    ends = {"source_id": world.id["target"], "target_id": world.id["remote"]}
    [(world.id["relation"],)] = await _insert(session, Relation, [{"kind": "blocks"} | ends], "id")


_BELOW: Prepared[Any] = Prepared(
    update(Task).where(Task.id == bindparam("child")).values(parent_id=bindparam("parent", type_=Integer))
)


@cache
def _prepared(model: type[Base], keys: tuple[str, ...], returning: tuple[str, ...]) -> Prepared[Any]:
    statement = insert(model)
    return Prepared(
        statement.returning(*(getattr(model, name) for name in returning)) if returning else statement, keys=keys
    )


async def _insert(session: Session, model: type[Base], rows: list[dict[str, Any]], *returning: str) -> Sequence[Any]:
    """What is returned of each. Thousands of worlds are made: a statement is built once."""
    statement = _prepared(model, tuple(rows[0]), returning)
    if returning:
        return await session.all(statement, rows)
    await session.execute(statement, rows)
    return ()


def _statements() -> dict[str, Prepared[Any]]:
    """What reads all that a world holds, by what it reads.

    Parameters are the ids of its people and of all their projects, and after which user and event it was made: nothing
    of the thousands of others is read.
    """
    project, other = Project.name.label("project"), aliased(Task)
    places = in_list(Project.id, "places")
    within = [Task.project_id == Project.id, places]
    named = or_(in_list(User.id, "people"), User.username.like(bindparam("marked", type_=String)))
    mark = and_(User.id >= bindparam("first", type_=Integer), named)
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
        "reminders": select(Task.number, Reminder.before_due, Reminder.version).where(
            Reminder.task_id == Task.id, *within
        ),
        "relations": select(Relation.kind, Task.title, other.title.label("other")).where(
            Relation.source_id == Task.id, Relation.target_id == other.id, *within
        ),
        "accounts": select(User.username, User.email, User.disabled).where(mark),
        "sessions": select(User.username, LoginSession.ended_at.is_not(None)).where(
            LoginSession.user_id == User.id, mark
        ),
        "keys": select(User.username, ApiKey.name).where(ApiKey.user_id == User.id, mark),
        "views": select(SavedView.name, SavedView.version).where(in_list(SavedView.owner_id, "people")),
        "webhooks": select(
            Webhook.name, Webhook.state, Webhook.content, Webhook.filter.is_not(None), Webhook.version
        ).where(in_list(Webhook.owner_id, "people")),
        "events": select(Event.kind, Event.entity_version, Event.actor_id, Event.task_id).where(
            Event.id > bindparam("since", type_=BigInteger),
            or_(in_list(Event.project_id, "both"), in_list(Event.actor_id, "people")),
        ),
    }
    return {name: Prepared(statement) for name, statement in statements.items()}


_STATEMENTS = _statements()
_MINE: Prepared[Any] = Prepared(select(Membership.project_id).where(in_list(Membership.user_id, "people")))
_NEWEST_EVENT: Bound[Any] = Prepared(select(func.max(Event.id)))()


async def contents(session: Session, world: World) -> dict[str, list[Any]]:
    """All that the world holds, by names instead of ids, so that two worlds can be compared."""
    people, both = [world.id[person] for person in PEOPLE], [world.id[place] for place in ROLES]
    given = {
        "people": people,
        "both": both,
        "places": sorted({*both, *await session.scalars(_MINE(people=people))}),
        "first": min(people),
        "marked": f"%{world.mark}",
        "since": world.id["event"],
    }
    found = {}
    for table, statement in _STATEMENTS.items():
        rows = [tuple(row) for row in await session.all(statement(**given))]
        if table == "events":  # of tasks, those that were there have a name
            actors = {world.id[person]: person for person in PEOPLE}
            tasks = {world.id[task]: task for task in TASKS}
            rows = [(*row[:2], actors.get(row[2]), tasks.get(row[3], row[3] and "new")) for row in rows]
        found[table] = sorted((tuple(_unmarked(value, world) for value in row) for row in rows), key=repr)
    return found


def _unmarked(value: Any, world: World) -> Any:
    return value.replace(world.mark, "~").replace(world.mark.upper(), "~") if isinstance(value, str) else value
