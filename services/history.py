"""What happened to a task: the events of the task, of its comments and of its relations.

A relation has an event in the history of each of its tasks: whoever may not read one of the two is shown neither, so
that no history tells of a task what reading it would not.
"""

from collections.abc import Collection, Mapping

from pydantic import Field
from sqlalchemy import ColumnElement, exists, literal, literal_column, or_, select
from sqlalchemy.orm import aliased

from db.driver.sessions import AnySelect, Session
from db.lists import in_list
from db.models import Event, Task, User
from services import security_events
from services.events.catalogue import TASK_LEFT
from services.events.log import COLUMNS, FILTERING, NEWEST_FIRST, EventOut, EventRecord
from services.shared.actors import Actor, Scope
from services.shared.features import Feature, NodeType, Operation, Who
from services.shared.reading import ChildReader
from services.shared.statements import ACTOR_PARAMETER
from services.tasks import queries as tasks
from services.tasks.visibility import readable
from services.users import queries as users
from services.users.models import UserRecord, UserSummary


class EventWithActor(EventOut):
    """One change, with who did it."""

    actor: UserSummary | None = Field(
        default=None, description="With expand=actor: the user who did it; null for the system."
    )


_FAR_EVENT, _FAR_TASK = aliased(Event), aliased(Task)
_LEFT: ColumnElement[str] = literal_column(f"'{TASK_LEFT.name}'")
"""For those who followed a task where it was; its history has that it moved."""


def visible(actor: Actor) -> AnySelect:
    """The events of the tasks that the actor may read; those of a relation, where it may read the other task too."""
    statement = select(*COLUMNS).join(Task, Task.id == Event.task_id)
    return statement.where(readable(actor), Event.kind != _LEFT, _both_ends(actor))


def _both_ends(actor: Actor) -> ColumnElement[bool]:
    """Whether an event is of no relation, or of one whose other task the actor may read.

    Which one that is, an event need not say and mostly does not: the relation's event in the other history tells, also
    when the relation is long gone. A relation whose other task is not known is not shown.
    """
    far = (
        select(literal(1))
        .select_from(_FAR_EVENT)
        .join(_FAR_TASK, _FAR_TASK.id == _FAR_EVENT.task_id)
        .where(
            # a constant, by which a database sees that the index of relations' events has them all
            _FAR_EVENT.entity_type == literal_column("'relation'"),
            _FAR_EVENT.entity_id == Event.entity_id,
            _FAR_EVENT.task_id != Event.task_id,
            readable(actor, _FAR_TASK),
        )
    )
    return or_(Event.entity_type != "relation", exists(far))


_READER = ChildReader(
    "Event",
    visible,
    EventRecord._make,
    NEWEST_FIRST,
    below=Event.task_id,
    parent=tasks.get,
    filtering=FILTERING,
)
of_task, pages, count, counts = _READER.list_, _READER.pages, _READER.count, _READER.counts


async def by_ids(session: Session, actor: Actor, ids: Collection[int]) -> Mapping[int, EventRecord]:
    """Those of the events that the actor may read, or that concern the security of its account."""
    found = await _READER.by_ids(session, actor, ids)
    if actor.method == "token":  # a key is not told
        own = await session.all(security_events.visible(actor).where(Event.id.in_(ids)))
        return {**found, **{row.id: EventRecord._make(row) for row in own}}
    return found


async def actors(
    session: Session, actor: Actor, event_ids: Collection[int], *, wanted: Collection[str] | None = None
) -> Mapping[int, UserRecord]:
    """Who did each of the events that the actor may read, as ``by_ids`` has it; ``wanted`` as for ``assignees``."""
    found = await _ACTORS.of_each(session, actor, event_ids, wanted)
    if actor.method == "token" and (others := [id_ for id_ in event_ids if id_ not in found]):
        return {**found, **await _ACTORS_OF_OWN.of_each(session, actor, others, wanted)}
    return found


_ACTORS_OF_OWN = users.People(
    lambda columns: (
        select(Event.id, *columns)
        .join(User, User.id == Event.actor_id)
        .where(in_list(Event.id, "ids"), Event.account_id == ACTOR_PARAMETER.user_id)
    )
)
_ACTORS = users.People(
    lambda columns: (
        visible(ACTOR_PARAMETER)
        .join(User, User.id == Event.actor_id)
        .where(in_list(Event.id, "ids"))
        .with_only_columns(Event.id, *columns)
    )
)


FEATURE = Feature(
    "history",
    operations=(
        Operation("list_task_history", "Task.history", Who.VIEWER, Scope.TASKS_READ),
        Operation("query_task_history", "Task.history", Who.VIEWER, Scope.TASKS_READ),
    ),
    about="What happened to a task.",
    nodes=(NodeType("Event", by_ids, EventOut),),
)
