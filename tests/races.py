"""Two writes at once, held against the same two one after the other.

A pair is a write and a change of what it rests on. Both are carried out by the services in transactions of their own,
of which one is kept open until the other has begun. What comes of it, and every row afterwards, must be what comes of
one of the two orders in which they could have been done in turn; that is found by doing them in turn.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from sqlalchemy import insert, select

from core.clock import now
from db.engine import Database
from db.models import (
    Comment,
    Event,
    Membership,
    Project,
    Relation,
    Tag,
    Task,
    TaskAssignee,
    TaskTag,
)
from db.sessions import Session
from services import comments, members, relations, tags
from services.actors import ALL_SCOPES, SERVER_KEY, Actor, Scope
from services.comments import CommentCreate, CommentUpdate
from services.errors import TandemError
from services.failures import from_database
from services.idempotency import Repeatable
from services.members import MemberAdd, MemberUpdate
from services.projects import commands as projects
from services.projects.models import ProjectCreate, ProjectUpdate, Role
from services.relations import RelationCreate, RelationKind
from services.tags import TagCreate, TagUpdate
from services.tasks import bulk, bulk_models, commands, removal
from services.tasks.filters import TaskFilter
from services.tasks.models import TaskCreate, TaskUpdate
from services.users.commands import create as create_user
from services.users.models import UserCreate

PEOPLE = ("owner", "second", "admin", "worker", "mate", "newcomer")
"""``second`` is an owner too, ``newcomer`` is not in the project; the others are what they are called, or members."""
HOLD_SECONDS = 0.02
"""How long the first transaction stays open once the second has begun."""

Order = Literal["change first", "write first", "at once"]
Work = Callable[[Session, "World"], Awaitable[Any]]
_numbers = itertools.count()


class Someone(NamedTuple):
    id: int
    username: str


@dataclass
class World:
    """A project with one of everything, and a second one to relate tasks to."""

    people: Mapping[str, Someone]
    project: int = 0
    away: int = 0
    ids: dict[str, int] = field(default_factory=dict)

    def actor(self, name: str) -> Actor:
        return Actor("token", user_id=self.people[name].id, scopes=ALL_SCOPES - {Scope.ADMIN})


async def make_people(database: Database) -> Mapping[str, Someone]:
    """Accounts for any number of worlds."""
    found = {}
    async with database.writing() as session:
        for name in PEOPLE:
            unique = f"{name}_{next(_numbers)}_{now().timestamp():.0f}"
            data = UserCreate(username=unique, email=f"{unique}@example.com", password="correct horse battery")
            user = await create_user(session, SERVER_KEY, data, password_hash="x")
            found[name] = Someone(user.id, user.username)
    return found


async def make_world(database: Database, people: Mapping[str, Someone]) -> World:
    """A new one, in which nobody has done anything yet."""
    world = World(people)
    owner = world.actor("owner")
    async with database.writing() as session:
        world.project = (await projects.create(session, owner, ProjectCreate(name="Race"))).id
        world.away = (await projects.create(session, owner, ProjectCreate(name="Away"))).id
        for project_id in (world.project, world.away):
            for name, role in (("second", "owner"), ("admin", "admin"), ("worker", "member"), ("mate", "member")):
                row = {"project_id": project_id, "user_id": people[name].id, "role": role, "created_at": now()}
                await session.execute(insert(Membership).values(row))
        wanted = {
            "task": TaskCreate(
                title="task", project_id=world.project, tags=["kept", "tag"], assignee_ids=[people["mate"].id]
            ),
            "parent": TaskCreate(title="parent", project_id=world.project),
            "other": TaskCreate(title="other", project_id=world.away),
            "gone": TaskCreate(title="gone", project_id=world.project, tags=["tag"]),
        }
        for name, data in wanted.items():
            world.ids[name] = (await commands.create(session, owner, data)).id
        child = TaskCreate(title="child", project_id=world.project, parent_id=world.ids["parent"])
        world.ids["child"] = (await commands.create(session, owner, child)).id
        await commands.delete(session, owner, world.ids["gone"])
        found = await session.all(select(Tag.id, Tag.name).where(Tag.project_id == world.project))
        world.ids |= {row.name: row.id for row in found}
        worker = world.actor("worker")
        comment = await comments.create(session, worker, world.ids["task"], CommentCreate(body="comment"))
        world.ids["comment"] = comment.id
        relation = RelationCreate(kind=RelationKind.BLOCKS, target_id=world.ids["other"])
        world.ids["relation"] = (await relations.create(session, owner, world.ids["parent"], relation)).id
    return world


def _w(name: str, work: Callable[[Session, Actor, World], Awaitable[Any]]) -> Work:
    async def write(session: Session, world: World) -> Any:
        return await work(session, world.actor(name), world)

    return write


def _invitation(world: World) -> MemberAdd:
    return MemberAdd(username=world.people["newcomer"].username, role=Role.MEMBER)


def _bulk(make: Callable[[World], Any]) -> Work:
    async def write(session: Session, world: World) -> Any:
        record = await bulk.run(session, world.actor("worker"), Repeatable(None), make(world))
        return [result.error and (result.error.code, result.error.message) for result in record.results]

    return write


def _new(world: World, **fields: Any) -> TaskCreate:
    return TaskCreate(title="new", project_id=world.project, **fields)


def _each(ids: Sequence[int], **fields: Any) -> list[bulk_models.BulkUpdateItem]:
    return [bulk_models.BulkUpdateItem(id=id_, **fields) for id_ in ids]


WRITES: Mapping[str, Work] = {
    "create task": _w("worker", lambda s, a, w: commands.create(s, a, _new(w))),
    "create tagged task": _w("worker", lambda s, a, w: commands.create(s, a, _new(w, tags=["tag", "fresh"]))),
    "create assigned task": _w(
        "worker", lambda s, a, w: commands.create(s, a, _new(w, assignee_ids=[w.people["mate"].id]))
    ),
    "create subtask": _w("worker", lambda s, a, w: commands.create(s, a, _new(w, parent_id=w.ids["parent"]))),
    "update task": _w("worker", lambda s, a, w: commands.update(s, a, w.ids["task"], TaskUpdate(title="changed"))),
    "tag task": _w("worker", lambda s, a, w: commands.update(s, a, w.ids["task"], TaskUpdate(tags=["tag", "fresh"]))),
    "assign task": _w(
        "worker",
        lambda s, a, w: commands.update(s, a, w.ids["child"], TaskUpdate(assignee_ids=[w.people["mate"].id])),
    ),
    "move task": _w(
        "worker", lambda s, a, w: commands.update(s, a, w.ids["task"], TaskUpdate(parent_id=w.ids["parent"]))
    ),
    "delete task": _w("worker", lambda s, a, w: commands.delete(s, a, w.ids["task"])),
    "delete tree": _w("worker", lambda s, a, w: commands.delete(s, a, w.ids["parent"])),
    "restore task": _w("worker", lambda s, a, w: removal.restore(s, a, w.ids["gone"])),
    "bulk create": _bulk(
        lambda w: bulk_models.BulkCreate(
            mode=bulk_models.BulkMode.PARTIAL,
            tasks=[_new(w), _new(w, parent_id=w.ids["parent"]), TaskCreate(title="new", project_id=w.away)],
        )
    ),
    "bulk update": _bulk(
        lambda w: bulk_models.BulkUpdate(
            mode=bulk_models.BulkMode.PARTIAL, tasks=_each([w.ids["task"], w.ids["other"], w.ids["child"]], priority=4)
        )
    ),
    "bulk delete": _bulk(
        lambda w: bulk_models.BulkDelete(
            mode=bulk_models.BulkMode.PARTIAL,
            tasks=[bulk_models.BulkDeleteItem(id=w.ids["task"]), bulk_models.BulkDeleteItem(id=w.ids["other"])],
        )
    ),
    "update matching": _bulk(
        lambda w: bulk_models.BulkUpdateMatching(
            mode=bulk_models.BulkMode.PARTIAL,
            filter=TaskFilter.model_validate({"project": {"in": [w.project, w.away]}}),
            changes=TaskUpdate(priority=5, tags=["tag"]),
        )
    ),
    "comment": _w("worker", lambda s, a, w: comments.create(s, a, w.ids["task"], CommentCreate(body="new"))),
    "change comment": _w(
        "worker", lambda s, a, w: comments.update(s, a, w.ids["comment"], CommentUpdate(body="changed"))
    ),
    "delete comment": _w("worker", lambda s, a, w: comments.delete(s, a, w.ids["comment"])),
    "create tag": _w("worker", lambda s, a, w: tags.create(s, a, w.project, TagCreate(name="fresh"))),
    "rename tag": _w("worker", lambda s, a, w: tags.update(s, a, w.ids["tag"], TagUpdate(name="fresh"))),
    "delete tag": _w("worker", lambda s, a, w: tags.delete(s, a, w.ids["tag"])),
    "relate": _w(
        "worker",
        lambda s, a, w: relations.create(
            s, a, w.ids["task"], RelationCreate(kind=RelationKind.BLOCKS, target_id=w.ids["other"])
        ),
    ),
    "unrelate": _w("worker", lambda s, a, w: relations.delete(s, a, w.ids["relation"])),
    "add member": _w("admin", lambda s, a, w: members.add(s, a, w.project, _invitation(w))),
    "promote member": _w(
        "admin", lambda s, a, w: members.update(s, a, w.project, w.people["worker"].id, MemberUpdate(role=Role.ADMIN))
    ),
    "remove member": _w("admin", lambda s, a, w: members.remove(s, a, w.project, w.people["mate"].id)),
    "leave as owner": _w("owner", lambda s, a, w: members.remove(s, a, w.project, w.people["owner"].id)),
    "rename project": _w("admin", lambda s, a, w: projects.update(s, a, w.project, ProjectUpdate(name="Renamed"))),
    "delete project": _w("second", lambda s, a, w: projects.delete(s, a, w.project)),
}


CHANGES: Mapping[str, Work] = {
    "project deleted": _w("second", lambda s, a, w: projects.delete(s, a, w.project)),
    "project archived": _w("second", lambda s, a, w: projects.update(s, a, w.project, ProjectUpdate(archived=True))),
    "other project deleted": _w("second", lambda s, a, w: projects.delete(s, a, w.away)),
    "other project archived": _w("second", lambda s, a, w: projects.update(s, a, w.away, ProjectUpdate(archived=True))),
    "worker removed": _w("second", lambda s, a, w: members.remove(s, a, w.project, w.people["worker"].id)),
    "worker demoted": _w(
        "second", lambda s, a, w: members.update(s, a, w.project, w.people["worker"].id, MemberUpdate(role=Role.VIEWER))
    ),
    "admin left": _w("admin", lambda s, a, w: members.remove(s, a, w.project, w.people["admin"].id)),
    "admin demoted": _w(
        "second", lambda s, a, w: members.update(s, a, w.project, w.people["admin"].id, MemberUpdate(role=Role.MEMBER))
    ),
    "second owner left": _w("second", lambda s, a, w: members.remove(s, a, w.project, w.people["second"].id)),
    "assignee removed": _w("second", lambda s, a, w: members.remove(s, a, w.project, w.people["mate"].id)),
    "newcomer added": _w("second", lambda s, a, w: members.add(s, a, w.project, _invitation(w))),
    "task trashed": _w("mate", lambda s, a, w: commands.delete(s, a, w.ids["task"])),
    "parent trashed": _w("mate", lambda s, a, w: commands.delete(s, a, w.ids["parent"])),
    "other task trashed": _w("mate", lambda s, a, w: commands.delete(s, a, w.ids["other"])),
    "trashed task restored": _w("mate", lambda s, a, w: removal.restore(s, a, w.ids["gone"])),
    "parent moved below task": _w(
        "mate", lambda s, a, w: commands.update(s, a, w.ids["parent"], TaskUpdate(parent_id=w.ids["task"]))
    ),
    "task changed": _w("mate", lambda s, a, w: commands.update(s, a, w.ids["task"], TaskUpdate(title="mine"))),
    "task tagged": _w("mate", lambda s, a, w: commands.update(s, a, w.ids["task"], TaskUpdate(tags=["fresh"]))),
    "tasks cleared": lambda s, w: commands.clear(s, SERVER_KEY, project_id=w.project),
    "tag deleted": _w("mate", lambda s, a, w: tags.delete(s, a, w.ids["tag"])),
    "tag renamed": _w("mate", lambda s, a, w: tags.update(s, a, w.ids["tag"], TagUpdate(name="renamed"))),
    "tag renamed to fresh": _w("mate", lambda s, a, w: tags.update(s, a, w.ids["tag"], TagUpdate(name="fresh"))),
    "fresh tag created": _w("mate", lambda s, a, w: tags.create(s, a, w.project, TagCreate(name="fresh"))),
    "comment deleted": _w("admin", lambda s, a, w: comments.delete(s, a, w.ids["comment"])),
    "related the other way": _w(
        "mate",
        lambda s, a, w: relations.create(
            s, a, w.ids["other"], RelationCreate(kind=RelationKind.BLOCKS, target_id=w.ids["task"])
        ),
    ),
    "relation ended": _w("mate", lambda s, a, w: relations.delete(s, a, w.ids["relation"])),
}
PAIRS = tuple(itertools.product(WRITES, CHANGES))
ORDERS: tuple[Order, ...] = ("change first", "write first", "at once")


class Came(NamedTuple):
    """What came of two calls, and what is in the world then."""

    of_write: Any
    of_change: Any
    rows: Any


class Races:
    """Runs pairs on one database."""

    def __init__(self, database: Database, people: Mapping[str, Someone]) -> None:
        self._database, self._people = database, people
        self._serial: dict[tuple[str, str], tuple[Came, Came]] = {}

    async def wrong(self, write: str, change: str, order: Order) -> str | None:
        """What is wrong with what came of a pair; None where it is what comes of one of the serial orders."""
        came = await self._together(write, change, order)
        if (write, change) not in self._serial:
            self._serial[write, change] = (
                await self._in_turn(write, change, change_first=True),
                await self._in_turn(write, change, change_first=False),
            )
        serial = self._serial[write, change]
        if came in serial:
            return None
        return f"{write} / {change}, {order}:\n  {came}\nis neither\n  {serial[0]}\nnor\n  {serial[1]}"

    async def _in_turn(self, write: str, change: str, *, change_first: bool) -> Came:
        world = await make_world(self._database, self._people)
        works = [WRITES[write], CHANGES[change]]
        first, second = reversed(works) if change_first else works
        outcomes = [await self._run(first, world), await self._run(second, world)]
        of_write, of_change = reversed(outcomes) if change_first else outcomes
        return Came(of_write, of_change, await rows_of(self._database, world))

    async def _together(self, write: str, change: str, order: Order) -> Came:
        world = await make_world(self._database, self._people)
        works = [WRITES[write], CHANGES[change]]
        if order == "at once":
            of_write, of_change = await asyncio.gather(*(self._run(work, world) for work in works))
            return Came(of_write, of_change, await rows_of(self._database, world))
        first, second = reversed(works) if order == "change first" else works
        begun, held = asyncio.Event(), asyncio.Event()
        one = asyncio.create_task(self._run(first, world, begun, held))
        await begun.wait()
        other = asyncio.create_task(self._run(second, world))
        await asyncio.wait([other], timeout=HOLD_SECONDS)
        held.set()
        outcomes = [await one, await other]
        of_write, of_change = reversed(outcomes) if order == "change first" else outcomes
        return Came(of_write, of_change, await rows_of(self._database, world))

    async def _run(
        self, work: Work, world: World, begun: asyncio.Event | None = None, held: asyncio.Event | None = None
    ) -> Any:
        """What came of a call: the refusal's code and sentence, the results of a bulk call, or "done"."""
        try:
            async with self._database.writing() as session:
                try:
                    result = await work(session, world)
                finally:
                    if begun is not None and held is not None:
                        begun.set()
                        await held.wait()
        except TandemError as error:
            return error.code, error.message
        except Exception as error:
            known = from_database(error)
            return (known.code, known.message) if known else repr(error)
        return result if isinstance(result, list) else "done"


async def rows_of(database: Database, world: World) -> Any:
    """What a world holds, by names instead of ids, without what only tells when."""
    both = (world.project, world.away)
    names = {person.id: name for name, person in world.people.items()}
    async with database.reading() as session:
        projects_ = await session.all(
            select(Project.id, Project.name, Project.archived_at.is_not(None), Project.version).where(
                Project.id.in_(both)
            )
        )
        tasks = await session.all(
            select(Task.id, Task.title, Task.priority, Task.version, Task.parent_id, Task.deleted_at.is_not(None))
            .where(Task.project_id.in_(both))
            .order_by(Task.id)
        )
        title = {row.id: f"{row.title} {index}" for index, row in enumerate(tasks)}
        linked = await session.all(
            select(TaskTag.task_id, Tag.name, Tag.project_id)
            .join(Tag, Tag.id == TaskTag.tag_id)
            .where(Tag.project_id.in_(both))
        )
        assigned = await session.all(
            select(TaskAssignee.task_id, TaskAssignee.user_id).where(TaskAssignee.task_id.in_(title))
        )
        roles = await session.all(
            select(Membership.project_id, Membership.user_id, Membership.role).where(Membership.project_id.in_(both))
        )
        labels = await session.all(select(Tag.project_id, Tag.name).where(Tag.project_id.in_(both)))
        remarks = await session.all(select(Comment.task_id, Comment.body).where(Comment.task_id.in_(title)))
        related = await session.all(
            select(Relation.source_id, Relation.target_id, Relation.kind).where(Relation.source_id.in_(title))
        )
        happened = await session.all(select(Event.kind).where(Event.project_id.in_(both)))
    here = {world.project: "here", world.away: "away"}
    return {
        "projects": sorted((here[row[0]], *row[1:]) for row in projects_),
        "tasks": [(row.title, row.priority, row.version, title.get(row.parent_id), row[5]) for row in tasks],
        "tags of tasks": sorted((title.get(row[0]), row[1], here[row[2]]) for row in linked),
        "assignees": sorted((title[row[0]], names[row[1]]) for row in assigned),
        "members": sorted((here[row[0]], names[row[1]], row[2]) for row in roles),
        "tags": sorted((here[row[0]], row[1]) for row in labels),
        "comments": sorted((title[row[0]], row[1]) for row in remarks),
        "relations": sorted((title[row[0]], title.get(row[1]), row[2]) for row in related),
        "events": sorted(Counter(row[0] for row in happened).items()),
    }
