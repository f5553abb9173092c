"""Tags: a project's own labels, unique by their folded names."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, NamedTuple

from pydantic import Field
from sqlalchemy import delete as sql_delete
from sqlalchemy import select
from sqlalchemy import update as sql_update

from core import deadlines, turns
from core.clock import now
from core.sentences import pattern
from db.driver.sessions import AnyRow, AnySelect, Session
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import Tag, TaskTag
from db.upserts import insert_or_ignore
from services.events import catalogue, log
from services.events.catalogue import EventKind
from services.projects import queries as projects
from services.projects.locks import Hold, require
from services.projects.models import ProjectRecord, Role
from services.shared import node_ids
from services.shared.actors import Actor, Scope
from services.shared.errors import Conflict, NotFound, Problem
from services.shared.features import Feature, NodeType, Operation, Who
from services.shared.filters import Column, Filter, Filtering, FoldedText
from services.shared.grouping import group_by_parent
from services.shared.idempotency import repeatable, while_readable
from services.shared.inputs import Input, TagName, absent
from services.shared.operators import KeyFilter, NameFilter
from services.shared.outputs import DatabaseId, NodeId, Output
from services.shared.pagination import Ordering, SortKey, first_of_each
from services.shared.reading import Reader
from services.shared.statements import ACTOR_PARAMETER
from services.shared.text import fold_name
from services.tasks import effects

Color = Annotated[
    str,
    Field(
        pattern=pattern(r"^#[0-9a-fA-F]{6}$", "must be a colour as CSS writes it, such as #d73a4a"),
        description="A colour, as CSS writes it.",
        examples=["#d73a4a"],
    ),
]


class TagCreate(Input):
    """Creates a tag in a project."""

    name: TagName
    color: Color | None = Field(default_factory=absent)


class TagUpdate(Input):
    """Changes a tag. Fields that are left out stay as they are."""

    name: TagName = Field(default_factory=absent)
    color: Color | None = Field(default_factory=absent)


class TagOut(Output):
    """A label of a project."""

    id: DatabaseId
    node_id: NodeId
    project_id: int = Field(description="The project that it belongs to.")
    name: str = Field(description="The name.")
    color: str | None = Field(description="A colour, as CSS writes it.")


class TagFilter(Filter):
    """Which tags. Every condition given must hold."""

    name: NameFilter = Field(default_factory=absent, description="The name.")
    color: KeyFilter = Field(default_factory=absent, description="The colour, as it was given.")


class TagRecord(NamedTuple):
    """A tag as it is read."""

    id: int
    project_id: int
    name: str
    color: str | None

    @property
    def node_id(self) -> str:
        return node_ids.encode("Tag", self.id)


COLUMNS = tuple(getattr(Tag, name) for name in TagRecord._fields)
_BY_NAME = Ordering(SortKey("name_folded", Tag.name_folded, Tag.id, kind="text"), descending=False)


MAX_TAGS = 1_000
"""Of a project. One that has more, from before there was a bound or from an import, keeps them, and gets no others; its
list shows the first so many by name, and the rest as some of those are deleted."""

fold = fold_name
"""What makes two names the same tag."""


def visible(actor: Actor) -> AnySelect:
    """The tags of the actor's projects."""
    return select(*COLUMNS).where(projects.among_visible(Tag.project_id, actor))


_FILTERING = Filtering(
    TagFilter,
    {"name": FoldedText(Tag.name, Tag.name_folded, fold_name), "color": Column(Tag.color)},
)
_READER = Reader("Tag", visible, TagRecord._make, _BY_NAME)
get, by_ids = _READER.get, _READER.by_ids


async def list_(
    session: Session, actor: Actor, project_id: int, *, filter: TagFilter | None = None
) -> Sequence[TagRecord]:
    """The tags of a project by name, the first ``MAX_TAGS`` of those that meet a filter. Raises ``NotFound``."""
    await projects.get(session, actor, project_id)
    return (await of_projects(session, actor, [project_id], filter=filter))[project_id]


async def of_projects(
    session: Session, actor: Actor, project_ids: Collection[int], *, filter: TagFilter | None = None
) -> Mapping[int, Sequence[TagRecord]]:
    """The first ``MAX_TAGS`` tags of each project by name, in one statement; none where the actor may not read it."""
    actor.require(Scope.TASKS_READ)
    tags = await _FILTERING.narrow(session, actor, visible(actor).where(Tag.project_id.in_(project_ids)), filter)
    rows = await session.all(first_of_each(tags, Tag.project_id.expression, _BY_NAME, MAX_TAGS, backward=False))
    grouped: dict[int, list[TagRecord]] = {project_id: [] for project_id in project_ids}
    for row in rows:
        grouped[row[0]].append(TagRecord._make(row[1:]))
    return grouped


@repeatable("tag.create", scope=Scope.TASKS_WRITE, read=while_readable(get))
async def create(session: Session, actor: Actor, project_id: int, data: TagCreate) -> TagRecord:
    """Create a tag. Raises ``NotFound``, ``Forbidden``; ``Conflict`` when the project has one of that name, or as many
    as there can be."""
    project = await require(session, actor, project_id, Role.MEMBER)
    await find(session, project, [data.name], pointer="/name")
    row = await session.first(
        insert_or_ignore(Tag)
        .values(
            project_id=project_id,
            name=data.name,
            name_folded=fold(data.name),
            color=data.color,
            created_at=now(),
        )
        .returning(*COLUMNS)
    )
    if row is None:
        raise _taken()
    tag = TagRecord._make(row)
    await _record(
        session, actor, catalogue.TAG_CREATED, tag, log.created({"name": tag.name, "color": tag.color}), project
    )
    return tag


async def update(session: Session, actor: Actor, tag_id: int, data: TagUpdate) -> TagRecord:
    """Change a tag; its name is also that on its tasks, which change with it. Raises ``NotFound``, ``Forbidden``,
    ``Conflict``."""
    deadlines.takes_long()
    session.takes_long()
    actor.require(Scope.TASKS_WRITE)
    tag, project = await _hold(session, actor, tag_id)
    changes = log.differences(tag._asdict(), data.sent())
    if not changes:
        return tag
    values = {name: after for name, (_, after) in changes.items()}
    if "name" in values:
        values["name_folded"] = fold(data.name)
        others = select(Tag.id).where(Tag.project_id == project.id, Tag.name_folded == values["name_folded"])
        if await session.scalar(others.where(Tag.id != tag_id)) is not None:
            raise _taken()
        await effects.retag(session, actor, project.id, tag_id, data.name)
    row = await session.one(sql_update(Tag).where(Tag.id == tag_id).values(values).returning(*COLUMNS))
    tag = TagRecord._make(row)
    await _record(session, actor, catalogue.TAG_UPDATED, tag, changes, project)
    return tag


async def delete(session: Session, actor: Actor, tag_id: int) -> None:
    """Delete a tag and take it off its tasks. Raises ``NotFound``, ``Forbidden``."""
    deadlines.takes_long()
    session.takes_long()
    actor.require(Scope.TASKS_WRITE)
    tag, project = await _hold(session, actor, tag_id)
    await effects.untag(session, actor, project.id, tag_id)
    await session.execute(sql_delete(Tag).where(Tag.id == tag_id))
    await _record(session, actor, catalogue.TAG_DELETED, tag, {"name": (tag.name, None)}, project)


async def _hold(session: Session, actor: Actor, tag_id: int) -> tuple[TagRecord, ProjectRecord]:
    """A tag whose tasks nobody changes meanwhile, and its project."""
    tag = await get(session, actor, tag_id)
    try:
        project = await require(session, actor, tag.project_id, Role.MEMBER, how=Hold.ALONE)
    except NotFound:
        raise NotFound("Tag") from None
    return await get(session, actor, tag_id), project  # as it is now


async def find(
    session: Session, project: ProjectRecord, names: Collection[str], *, pointer: str = "/tags"
) -> dict[str, int]:
    """The ids of those of a project's tags that are there, by folded name.

    Raises ``Conflict`` where the project has no room for the others: calls that do not hold it in turn may still pass
    the bound side by side, by no more than they have names.
    """
    wanted: set[str] = set()
    for some in turns.parts([*dict.fromkeys(names)], PART):
        await turns.pause()
        wanted.update(map(fold, some))
    found: dict[str, int] = {}
    for some in turns.parts([*wanted], PART):
        await turns.pause()
        found |= await known(session, project.id, some)
    if missing := len(wanted) - len(found):
        there = await session.count(select(Tag.id).where(Tag.project_id == project.id))
        if there + missing > MAX_TAGS:
            raise Conflict.at(pointer, f"The project {project.key} would have more than {MAX_TAGS:,} tags", "too_many")
    return found


async def ensure(
    session: Session,
    actor: Actor,
    project: ProjectRecord,
    names: Collection[str],
    there: Mapping[str, int] | None = None,
) -> Mapping[str, int]:
    """The ids of a project's tags by folded name; those that are not ``there``, as ``find`` answers, are created.

    The project is held, so that none of the tags goes meanwhile. Raises ``Conflict`` as ``find`` does.
    """
    ids = dict(await find(session, project, names) if there is None else there)
    wanted: dict[str, str] = {}
    for some in turns.parts([*dict.fromkeys(names)], PART):
        await turns.pause()
        for spelling in some:
            wanted.setdefault(fold(spelling), spelling)
    for some in turns.parts(sorted(wanted.keys() - ids.keys()), PART):
        await turns.pause()
        made = await insert(session, project.id, {folded: wanted[folded] for folded in some})
        new = (created(project.id, tag_id, wanted[folded]) for folded, tag_id in made.items())
        await log.record(session, actor, *new)
        ids |= made
        if others := [folded for folded in some if folded not in made]:  # somebody else created them just now
            ids |= await known(session, project.id, others)
    return ids


async def known(session: Session, project_id: int, folded: Collection[str]) -> Mapping[str, int]:
    """The ids of those of the tags, by folded name, that the project has."""
    rows = await session.all(
        select(Tag.name_folded, Tag.id).where(Tag.project_id == project_id, Tag.name_folded.in_(folded))
    )
    return {row[0]: row[1] for row in rows}


async def insert(session: Session, project_id: int, names: Mapping[str, str]) -> Mapping[str, int]:
    """Write tags, whose names are given by folded name. Returns the ids of those that were not there, likewise."""
    if not names:
        return {}
    moment = now()
    # in one order everywhere, so that two transactions that create the same tags wait for each other and never both
    rows = [
        {"project_id": project_id, "name": name, "name_folded": folded, "created_at": moment}
        for folded, name in sorted(names.items())
    ]
    return {row.name_folded: row.id for row in sorted(await session.all(_MISSING, rows))}


def created(project_id: int, tag_id: int, name: str, *, notify: bool = True) -> log.NewEvent:
    """The event of a tag that was made for a task."""
    changes = log.created({"name": name})
    return log.NewEvent(catalogue.TAG_CREATED, tag_id, changes, project_id=project_id, notify=notify)


_MISSING: Prepared[AnyRow] = Prepared(
    insert_or_ignore(Tag).returning(Tag.name_folded, Tag.id), keys=("project_id", "name", "name_folded", "created_at")
)
"""Makes a tag, unless the project has one of that name."""
PART = 1_000
"""How many tags are looked up, or made, by a statement."""


async def of_tasks(session: Session, actor: Actor, task_ids: Collection[int]) -> Mapping[int, Sequence[TagRecord]]:
    """The tags of each task by name, in one statement; none for tasks of projects that the actor may not read."""
    actor.require(Scope.TASKS_READ)
    rows = await session.all(_OF_TASKS(caller_id=actor.user_id, task_ids=task_ids))
    return group_by_parent(rows, task_ids, TagRecord, lambda tag: (fold(tag.name), tag.id))


_OF_TASKS = Prepared(
    select(TaskTag.task_id, *COLUMNS)
    .join(TaskTag, TaskTag.tag_id == Tag.id)
    .where(in_list(TaskTag.task_id, "task_ids"), projects.among_visible(Tag.project_id, ACTOR_PARAMETER)),
    tuple,
)


def _taken() -> Conflict:
    return Conflict("The project has a tag of that name", errors=[Problem("/name", "is taken", "taken")])


async def _record(
    session: Session, actor: Actor, kind: EventKind, tag: TagRecord, changes: log.Changes, project: ProjectRecord
) -> None:
    await log.record(session, actor, log.NewEvent(kind, tag.id, changes, project_id=project.id))


FEATURE = Feature(
    "tags",
    operations=(
        Operation("list_tags", "Project.tags", Who.VIEWER, Scope.TASKS_READ),
        Operation("query_tags", "Project.tags", Who.VIEWER, Scope.TASKS_READ),
        Operation("create_tag", "Mutation.createTag", Who.MEMBER, Scope.TASKS_WRITE, repeatable=True),
        Operation("get_tag", "Query.tag", Who.VIEWER, Scope.TASKS_READ),
        Operation("update_tag", "Mutation.updateTag", Who.MEMBER, Scope.TASKS_WRITE),
        Operation("delete_tag", "Mutation.deleteTag", Who.MEMBER, Scope.TASKS_WRITE),
    ),
    about="A project's labels.",
    nodes=(NodeType("Tag", by_ids, TagOut),),
    limits={"tags of a project": MAX_TAGS},
)
