"""How tasks relate to each other: one blocks, duplicates or simply relates to another, across projects if need be.

A relation is stored once, reads "source blocks target", and is seen from both ends. Whoever may not read one of its
ends does not see it.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from pydantic import Field
from sqlalchemy import ColumnElement, or_, select
from sqlalchemy import delete as sql_delete
from sqlalchemy.orm import aliased

from core.clock import now
from db import advisory_locks
from db.driver.sessions import AnySelect, Session
from db.lists import in_list
from db.models import Relation, Task, User
from db.upserts import insert_or_ignore
from services.events import catalogue, log
from services.events.catalogue import EventKind
from services.projects.models import Role
from services.projects.queries import require_writable
from services.shared import node_ids
from services.shared.actors import Actor, Scope
from services.shared.errors import BadUserInput, Conflict, NotFound
from services.shared.features import Feature, NodeType, Operation, Who
from services.shared.filters import Column, Filter, Filtering
from services.shared.idempotency import repeatable, while_readable
from services.shared.inputs import Input, TaskId, absent
from services.shared.operators import TaskRefFilter, TimestampFilter, UserRefFilter, none_of, one_of
from services.shared.outputs import CreatedAt, DatabaseId, NodeId, Output
from services.shared.pagination import Ordering, Page, PageRequest, SortKey
from services.shared.reading import ChildReader
from services.shared.statements import ACTOR_PARAMETER
from services.tasks import queries as tasks
from services.tasks.models import TaskOut
from services.tasks.updates import hold_tasks
from services.tasks.visibility import readable
from services.users import queries as users
from services.users.models import UserRecord, UserSummary

MAX_RELATIONS = 500
_BLOCKING_LOCK = 7_263_001
"""PostgreSQL's advisory lock that new directed relations take: any two of them could close a circle."""


class RelationKind(StrEnum):
    """How the source relates to the target."""

    BLOCKS = "blocks"
    RELATES_TO = "relates_to"
    DUPLICATES = "duplicates"


class End(Protocol):
    """What a relation has to know of a task."""

    @property
    def id(self) -> int: ...
    @property
    def project_id(self) -> int: ...


class RelationCreate(Input):
    """Relates a task to another."""

    kind: RelationKind = Field(
        description="How the task relates to the other: it blocks it, duplicates it, or just relates to it."
    )
    target_id: TaskId = Field(description="The other task.")


class RelationOut(Output):
    """How one task, the source, relates to another, the target; seen from both."""

    id: DatabaseId
    node_id: NodeId
    kind: RelationKind = Field(description="How the source relates to the target.")
    source_id: int = Field(description="The task that blocks or duplicates; of relates_to the one with the lower id.")
    target_id: int = Field(description="The task that is blocked or duplicated.")
    created_by_id: int | None = Field(description="The user who related them; null where that is not known.")
    created_at: CreatedAt


class RelationWithTasks(RelationOut):
    """How one task relates to another, with the tasks."""

    source: TaskOut | None = Field(default=None, description="With expand=source: the task that blocks or duplicates.")
    target: TaskOut | None = Field(
        default=None, description="With expand=target: the task that is blocked or duplicated."
    )
    created_by: UserSummary | None = Field(
        default=None, description="With expand=created_by: the user who related them."
    )


class RelationKindFilter(Input):
    """Conditions on the kind of a relation."""

    eq: RelationKind = Field(default_factory=absent, description="Is this one.")
    ne: RelationKind = Field(default_factory=absent, description="Is another one.")
    in_: list[RelationKind] = one_of("Is one of these.")
    not_in: list[RelationKind] = none_of("Is none of these.")


class RelationFilter(Filter):
    """Which relations. Every condition given must hold."""

    kind: RelationKindFilter = Field(default_factory=absent, description="How the source relates to the target.")
    source: TaskRefFilter = Field(default_factory=absent, description="The task that blocks or duplicates.")
    target: TaskRefFilter = Field(default_factory=absent, description="The task that is blocked or duplicated.")
    created_by: UserRefFilter = Field(default_factory=absent, description="The user who related them.")
    created_at: TimestampFilter = Field(default_factory=absent, description="When they were related.")


class RelationRecord(NamedTuple):
    """A relation as it is read, with the ids of both tasks."""

    id: int
    kind: str
    source_id: int
    target_id: int
    created_by_id: int | None
    created_at: datetime

    @property
    def node_id(self) -> str:
        return node_ids.encode("Relation", self.id)


COLUMNS = tuple(getattr(Relation, name) for name in RelationRecord._fields)
OLDEST_FIRST = Ordering(SortKey("id", Relation.id, Relation.id, kind="integer"), descending=False)
_SOURCE, _TARGET, _END = aliased(Task), aliased(Task), aliased(Task)


def visible(actor: Actor) -> AnySelect:
    """The relations whose two tasks the actor may read."""
    statement: AnySelect = select(*COLUMNS)
    for end, column in ((_SOURCE, Relation.source_id), (_TARGET, Relation.target_id)):
        statement = statement.join(end, end.id == column).where(readable(actor, end))
    return statement


def _touching(task_id: object) -> ColumnElement[bool]:
    return or_(Relation.source_id == task_id, Relation.target_id == task_id)


_FILTERING = Filtering(
    RelationFilter,
    {
        "kind": Column(Relation.kind),
        "source": Column(Relation.source_id),
        "target": Column(Relation.target_id),
        "created_by": Column(Relation.created_by_id),
        "created_at": Column(Relation.created_at),
    },
)
_READER = ChildReader(
    "Relation",
    visible,
    RelationRecord._make,
    OLDEST_FIRST,
    below=_END.id,
    parent=tasks.get,
    # once for each of the tasks that is an end
    joined=lambda statement: statement.join(_END, _touching(_END.id)),
    filtering=_FILTERING,
)
by_ids, pages, count, counts = _READER.by_ids, _READER.pages, _READER.count, _READER.counts


async def get(session: Session, actor: Actor, relation_id: int, *, task_id: int | None = None) -> RelationRecord:
    """A relation that the actor may read. Raises ``NotFound``, also where ``task_id`` is none of its ends."""
    relation = await _READER.get(session, actor, relation_id)
    if task_id not in (None, relation.source_id, relation.target_id):
        raise NotFound("Relation")
    return relation


async def list_(
    session: Session, actor: Actor, task_id: int, request: PageRequest, *, filter: RelationFilter | None = None
) -> Page[RelationRecord]:
    """A task's relations, from both ends, oldest first, or those that meet a filter. Raises ``NotFound``."""
    await tasks.get(session, actor, task_id)
    statement = await _FILTERING.narrow(session, actor, visible(actor).where(_touching(task_id)), filter)
    return await _READER.page(session, actor, statement, request)


async def creators(
    session: Session, actor: Actor, relation_ids: Collection[int], *, wanted: Collection[str] | None = None
) -> Mapping[int, UserRecord]:
    """Who made each of the relations that the actor may read, in one statement; ``wanted`` as for ``assignees``."""
    return await _CREATORS.of_each(session, actor, relation_ids, wanted)


_CREATORS = users.People(
    lambda columns: (
        visible(ACTOR_PARAMETER)
        .join(User, User.id == Relation.created_by_id)
        .where(in_list(Relation.id, "ids"))
        .with_only_columns(Relation.id, *columns)
    )
)


@repeatable("relation.create", scope=Scope.TASKS_WRITE, read=while_readable(get))
async def create(session: Session, actor: Actor, task_id: int, data: RelationCreate) -> RelationRecord:
    """Relate a task to another, as a member of the projects of both.

    Raises ``NotFound``, ``Forbidden``; ``BadUserInput`` for a task and itself; ``Conflict`` where they are related so
    already, where a circle of blocking or duplicating would close, or where a task has ``MAX_RELATIONS`` of them.
    """
    actor.require(Scope.TASKS_WRITE)
    found = await hold_tasks(session, actor, {task_id, data.target_id}, alone=True)
    if task_id not in found:
        raise NotFound("Task")
    task, project = found[task_id]
    require_writable(project, Role.MEMBER)
    if data.target_id == task_id:
        raise BadUserInput.at("/target_id", "a task does not relate to itself")
    if data.target_id not in found:
        raise NotFound("Task", pointer="/target_id")
    other, project = found[data.target_id]
    require_writable(project, Role.MEMBER)
    ends: tuple[End, End] = (task, other)
    if data.kind is RelationKind.RELATES_TO and other.id < task.id:
        ends = (other, task)
    await _check_number(session, *ends)
    if (relation := await relate(session, actor, data.kind, *ends)) is None:
        raise Conflict.at("/target_id", "the tasks are related so already", "duplicate")
    return relation


async def relate(
    session: Session, actor: Actor, kind: RelationKind, source: End, target: End, *, notify: bool = True
) -> RelationRecord | None:
    """Store a relation and its events; None where it is there already.

    The caller has checked who asks, and gives ``relates_to`` the task with the lower id first. Raises ``Conflict``
    where a circle of blocking or duplicating would close.
    """
    if kind is not RelationKind.RELATES_TO:
        await _check_circle(session, kind, source.id, target.id)
    row = await session.first(
        insert_or_ignore(Relation)
        .values(
            kind=kind.value, source_id=source.id, target_id=target.id, created_by_id=actor.user_id, created_at=now()
        )
        .returning(*COLUMNS)
    )
    if row is None:
        return None
    relation = RelationRecord._make(row)
    await _record(session, actor, catalogue.RELATION_CREATED, relation, (source, target), notify=notify)
    return relation


async def delete(session: Session, actor: Actor, relation_id: int, *, task_id: int | None = None) -> None:
    """End a relation, as a member of the projects of both tasks. Raises ``NotFound``, ``Forbidden``, ``Conflict``."""
    actor.require(Scope.TASKS_WRITE)
    relation = await get(session, actor, relation_id, task_id=task_id)
    found = await hold_tasks(session, actor, {relation.source_id, relation.target_id})
    if len(found) < 2:  # one of them went to the trash a moment ago
        raise NotFound("Relation")
    (source, source_project), (target, target_project) = found[relation.source_id], found[relation.target_id]
    ends = source, target
    for project in sorted({source_project, target_project}, key=lambda project: project.id):
        require_writable(project, Role.MEMBER)
    if not await session.execute(sql_delete(Relation).where(Relation.id == relation_id)):
        raise NotFound("Relation")
    await _record(session, actor, catalogue.RELATION_DELETED, relation, ends)


async def _check_number(session: Session, *ends: End) -> None:
    for end in ends:
        if await session.count(select(Relation.id).where(_touching(end.id))) >= MAX_RELATIONS:
            raise Conflict(f"A task has at most {MAX_RELATIONS} relations")


async def _check_circle(session: Session, kind: RelationKind, source_id: int, target_id: int) -> None:
    await advisory_locks.lock(session, _BLOCKING_LOCK)
    # what may not be read counts, too, and so do tasks in the trash, which may come back
    reached = select(Relation.target_id).where(Relation.kind == kind.value, Relation.source_id == target_id)
    reach = reached.cte("reach", recursive=True)
    reach = reach.union(
        select(Relation.target_id)
        .join(reach, Relation.source_id == reach.c.target_id)
        .where(Relation.kind == kind.value)
    )
    if await session.first(select(reach.c.target_id).where(reach.c.target_id == source_id)) is not None:
        raise Conflict.at(
            "/target_id",
            f"this would close a circle: the other task already {kind.value} this one, if only through others",
            "cycle",
        )


async def _record(
    session: Session,
    actor: Actor,
    kind: EventKind,
    relation: RelationRecord,
    ends: tuple[End, End],
    *,
    notify: bool = True,
) -> None:
    """An event in the history of each task. A task of another project is not named there: not all may read it."""
    values: dict[str, object] = {"kind": relation.kind}
    if ends[0].project_id == ends[1].project_id:
        values |= {"source_id": relation.source_id, "target_id": relation.target_id}
    gone = kind is catalogue.RELATION_DELETED
    changes = {name: (value, None) if gone else (None, value) for name, value in values.items()}
    await log.record(
        session,
        actor,
        *(
            log.NewEvent(kind, relation.id, changes, project_id=end.project_id, task_id=end.id, notify=notify)
            for end in ends
        ),
    )


FEATURE = Feature(
    "relations",
    operations=(
        Operation("list_relations", "Task.relations", Who.VIEWER, Scope.TASKS_READ),
        Operation("query_relations", "Task.relations", Who.VIEWER, Scope.TASKS_READ),
        Operation("create_relation", "Mutation.createRelation", Who.MEMBER, Scope.TASKS_WRITE, repeatable=True),
        Operation("get_relation", "Query.relation", Who.VIEWER, Scope.TASKS_READ),
        Operation("delete_relation", "Mutation.deleteRelation", Who.MEMBER, Scope.TASKS_WRITE),
    ),
    about="How tasks relate to each other.",
    nodes=(NodeType("Relation", by_ids, RelationOut),),
    limits={"relations of a task": MAX_RELATIONS},
)
