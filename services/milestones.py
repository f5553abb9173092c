"""Milestones: goals of a project with a date, which its tasks may name. Unique in the project by their folded names."""

from datetime import datetime
from typing import Annotated, NamedTuple

from pydantic import Field
from sqlalchemy import delete as sql_delete
from sqlalchemy import select
from sqlalchemy import update as sql_update

from core import deadlines
from core.clock import now
from db.driver.sessions import AnySelect, Session
from db.models import Task
from db.models.milestones import Milestone
from db.upserts import insert_or_ignore
from services.events import catalogue, log
from services.events.catalogue import EventKind
from services.projects import queries as projects
from services.projects.locks import Hold, require
from services.projects.models import ProjectRecord, Role
from services.shared import node_ids
from services.shared.actors import Actor, Scope
from services.shared.errors import Conflict, Expected, NotFound, Problem, require_next, require_version
from services.shared.features import Feature, NodeType, Operation, Who
from services.shared.filters import Column, Filter, Filtering, FoldedText
from services.shared.idempotency import repeatable, while_readable
from services.shared.inputs import DescribedEnum, Input, Line, LongText, Timestamp, absent
from services.shared.operators import NameFilter, TimestampFilter, none_of, one_of
from services.shared.outputs import CreatedAt, DatabaseId, NodeId, Output, UpdatedAt, Version
from services.shared.pagination import Ordering, SortKey
from services.shared.reading import ChildReader
from services.shared.text import fold_name
from services.tasks import effects

MAX_MILESTONES = 500
"""Of a project."""


class MilestoneState(DescribedEnum):
    """Whether a milestone is still worked towards."""

    OPEN = "open", "Still worked towards."
    CLOSED = "closed", "Reached, or given up."


MilestoneName = Annotated[
    Line, Field(max_length=100, description="The name, unique in the project whatever the case.", examples=["Beta"])
]
Description = Annotated[LongText, Field(description="Details, at most 65,536 characters.")]
DueAt = Annotated[Timestamp, Field(description="When it is due.", examples=["2026-06-30T17:00:00Z"])]
State = Annotated[MilestoneState, Field(description="Whether it is still worked towards.")]


class MilestoneCreate(Input):
    """Creates a milestone in a project."""

    name: MilestoneName
    description: Description | None = Field(default_factory=absent)
    due_at: DueAt | None = Field(default_factory=absent)
    state: State = MilestoneState.OPEN


class MilestoneUpdate(Input):
    """Changes a milestone. Fields that are left out stay as they are."""

    name: MilestoneName = Field(default_factory=absent)
    description: Description | None = Field(default_factory=absent)
    due_at: DueAt | None = Field(default_factory=absent)
    state: State = Field(default_factory=absent)


class MilestoneOut(Output):
    """A goal of a project, which its tasks may name."""

    id: DatabaseId
    node_id: NodeId
    project_id: int = Field(description="The project that it belongs to.")
    name: str = Field(description="The name.")
    description: str | None = Field(description="Details.")
    due_at: datetime | None = Field(description="When it is due, in UTC.")
    state: MilestoneState = Field(description="Whether it is still worked towards.")
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class MilestoneStateFilter(Input):
    """Conditions on the state of a milestone."""

    eq: MilestoneState = Field(default_factory=absent, description="Is this one.")
    ne: MilestoneState = Field(default_factory=absent, description="Is another one.")
    in_: list[MilestoneState] = one_of("Is one of these.")
    not_in: list[MilestoneState] = none_of("Is none of these.")


class MilestoneFilter(Filter):
    """Which milestones. Every condition given must hold."""

    name: NameFilter = Field(default_factory=absent, description="The name.")
    state: MilestoneStateFilter = Field(default_factory=absent, description="Whether it is still worked towards.")
    due_at: TimestampFilter = Field(default_factory=absent, description="When it is due.")
    created_at: TimestampFilter = Field(default_factory=absent, description="When it was created.")
    updated_at: TimestampFilter = Field(default_factory=absent, description="When it was last changed.")


class MilestoneRecord(NamedTuple):
    """A milestone as the database has it."""

    id: int
    project_id: int
    name: str
    description: str | None
    due_at: datetime | None
    state: str
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def node_id(self) -> str:
        return node_ids.encode("Milestone", self.id)


COLUMNS = tuple(getattr(Milestone, name) for name in MilestoneRecord._fields)
OLDEST_FIRST = Ordering(SortKey("id", Milestone.id, Milestone.id, kind="integer"), descending=False)


def visible(actor: Actor) -> AnySelect:
    """The milestones of the actor's projects."""
    return select(*COLUMNS).where(projects.among_visible(Milestone.project_id, actor))


_READER = ChildReader(
    "Milestone",
    visible,
    MilestoneRecord._make,
    OLDEST_FIRST,
    below=Milestone.project_id,
    parent=projects.get,
    filtering=Filtering(
        MilestoneFilter,
        {
            "name": FoldedText(Milestone.name, Milestone.name_folded, fold_name),
            "state": Column(Milestone.state),
            "due_at": Column(Milestone.due_at),
            "created_at": Column(Milestone.created_at),
            "updated_at": Column(Milestone.updated_at),
        },
    ),
)
get, by_ids, list_, pages = _READER.get, _READER.by_ids, _READER.list_, _READER.pages
count, counts = _READER.count, _READER.counts


@repeatable("milestone.create", scope=Scope.TASKS_WRITE, read=while_readable(get))
async def create(session: Session, actor: Actor, project_id: int, data: MilestoneCreate) -> MilestoneRecord:
    """Create a milestone. Raises ``NotFound``, ``Forbidden``; ``Conflict`` where the project has one of that name, or
    ``MAX_MILESTONES``."""
    project = await require(session, actor, project_id, Role.MEMBER, how=Hold.IN_TURN)
    if await session.count(select(Milestone.id).where(Milestone.project_id == project_id)) >= MAX_MILESTONES:
        raise Conflict(f"The project {project.key} has {MAX_MILESTONES} milestones, which is as many as there can be")
    moment = now()
    values = {
        "name": data.name,
        "description": data.description,
        "due_at": data.due_at,
        "state": data.state.value,
    }
    stored = {"project_id": project_id, "name_folded": fold_name(data.name), "created_at": moment, "updated_at": moment}
    row = await session.first(insert_or_ignore(Milestone).values(values | stored).returning(*COLUMNS))
    if row is None:
        raise _taken()
    milestone = MilestoneRecord._make(row)
    await _record(session, actor, catalogue.MILESTONE_CREATED, milestone, log.created(values))
    return milestone


async def update(
    session: Session, actor: Actor, milestone_id: int, data: MilestoneUpdate, *, expected_version: Expected = None
) -> MilestoneRecord:
    """Change a milestone. Raises ``NotFound``, ``Forbidden``, ``Conflict``, ``VersionConflict``."""
    milestone, project = await _hold(session, actor, milestone_id, Hold.IN_TURN, expected_version)
    sent = {name: getattr(value, "value", value) for name, value in data.sent().items()}
    changes = log.differences(milestone._asdict(), sent)
    if not changes:
        return milestone
    require_next(milestone.version)
    values = {name: after for name, (_, after) in changes.items()}
    if "name" in values:
        values["name_folded"] = fold_name(values["name"])
        same = (Milestone.project_id == project.id, Milestone.name_folded == values["name_folded"])
        if await session.scalar(select(Milestone.id).where(*same, Milestone.id != milestone_id)) is not None:
            raise _taken()
    row = await session.one(
        sql_update(Milestone)
        .where(Milestone.id == milestone_id)
        .values(**values, version=Milestone.version + 1, updated_at=now())
        .returning(*COLUMNS)
    )
    await _record(session, actor, catalogue.MILESTONE_UPDATED, MilestoneRecord._make(row), changes)
    return MilestoneRecord._make(row)


async def delete(session: Session, actor: Actor, milestone_id: int, *, expected_version: Expected = None) -> None:
    """Delete a milestone and take it off its tasks, each of which gets one more version. Raises ``NotFound``,
    ``Forbidden``, ``Conflict``, ``VersionConflict``."""
    deadlines.takes_long()
    session.takes_long()
    milestone, project = await _hold(session, actor, milestone_id, Hold.ALONE, expected_version)
    tasks = select(Task.id, Task.version).where(Task.milestone_id == milestone_id).order_by(Task.id)
    rows = await session.all(tasks.with_for_update(of=Task, key_share=True))
    versions = {row.id: row.version for row in rows}
    before, after = dict.fromkeys(versions, milestone_id), dict.fromkeys(versions)
    await effects.changed(session, actor, project.id, versions, "milestone_id", before, after)
    await session.execute(sql_delete(Milestone).where(Milestone.id == milestone_id))
    await _record(session, actor, catalogue.MILESTONE_DELETED, milestone, {"name": (milestone.name, None)})


async def _hold(
    session: Session, actor: Actor, milestone_id: int, how: Hold, expected: Expected
) -> tuple[MilestoneRecord, ProjectRecord]:
    """A milestone that nobody else changes meanwhile, and its project: who changes one holds that at least in turn."""
    actor.require(Scope.TASKS_WRITE)
    milestone = await get(session, actor, milestone_id)
    try:
        project = await require(session, actor, milestone.project_id, Role.MEMBER, how=how)
    except NotFound:
        raise NotFound("Milestone") from None
    milestone = await get(session, actor, milestone_id)  # as it is now
    require_version(milestone.version, expected)
    return milestone, project


def _taken() -> Conflict:
    return Conflict("The project has a milestone of that name", errors=[Problem("/name", "is taken", "taken")])


async def _record(
    session: Session, actor: Actor, kind: EventKind, milestone: MilestoneRecord, changes: log.Changes
) -> None:
    event = log.NewEvent(kind, milestone.id, changes, version=milestone.version, project_id=milestone.project_id)
    await log.record(session, actor, event)


FEATURE = Feature(
    "milestones",
    operations=(
        Operation("list_milestones", "Project.milestones", Who.VIEWER, Scope.TASKS_READ),
        Operation("query_milestones", "Project.milestones", Who.VIEWER, Scope.TASKS_READ),
        Operation("create_milestone", "Mutation.createMilestone", Who.MEMBER, Scope.TASKS_WRITE, repeatable=True),
        Operation("get_milestone", "Query.milestone", Who.VIEWER, Scope.TASKS_READ),
        Operation("update_milestone", "Mutation.updateMilestone", Who.MEMBER, Scope.TASKS_WRITE),
        Operation("delete_milestone", "Mutation.deleteMilestone", Who.MEMBER, Scope.TASKS_WRITE),
    ),
    about="Goals of a project, which its tasks may name.",
    nodes=(NodeType("Milestone", by_ids, MilestoneOut, label=Milestone.name_folded),),
    limits={"milestones of a project": MAX_MILESTONES},
)
