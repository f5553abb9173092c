"""Tags: a project's own labels, unique by their folded names."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import Field
from sqlalchemy import delete as sql_delete
from sqlalchemy import select
from sqlalchemy import update as sql_update

from core import deadlines, turns
from core.clock import now
from db.engine import insert_or_ignore
from db.lists import among
from db.models import Tag, TaskTag
from db.sessions import AnyRow, AnySelect, Session
from db.statements import Prepared
from services import events, node_ids
from services.actors import Actor, Scope
from services.errors import Conflict, NotFound, Problem
from services.grouping import attached
from services.idempotency import repeatable, while_readable
from services.inputs import Input, TagName, absent
from services.outputs import DatabaseId, NodeId, Output
from services.pagination import Ordering, SortKey, first_of_each
from services.prepared import CALLER
from services.projects import queries as projects
from services.projects.locks import Hold, require
from services.projects.models import ProjectRecord, Role
from services.tasks import effects
from services.text import fold_name

Color = Annotated[
    str, Field(pattern=r"^#[0-9a-fA-F]{6}$", description="A colour, as CSS writes it.", examples=["#d73a4a"])
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


class TagRecord(NamedTuple):
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


async def get(session: Session, actor: Actor, tag_id: int) -> TagRecord:
    """A tag of a project that the actor may read. Raises ``NotFound``."""
    actor.require(Scope.TASKS_READ)
    row = await session.first(visible(actor).where(Tag.id == tag_id))
    if row is None:
        raise NotFound("Tag")
    return TagRecord._make(row)


async def by_ids(session: Session, actor: Actor, ids: Collection[int]) -> Mapping[int, TagRecord]:
    """Those of the tags that the actor may read."""
    actor.require(Scope.TASKS_READ)
    rows = await session.all(visible(actor).where(Tag.id.in_(ids)))
    return {row.id: TagRecord._make(row) for row in rows}


async def list_(session: Session, actor: Actor, project_id: int) -> Sequence[TagRecord]:
    """The tags of a project by name, the first ``MAX_TAGS``. Raises ``NotFound``."""
    await projects.get(session, actor, project_id)
    return (await of_projects(session, actor, [project_id]))[project_id]


async def of_projects(
    session: Session, actor: Actor, project_ids: Collection[int]
) -> Mapping[int, Sequence[TagRecord]]:
    """The first ``MAX_TAGS`` tags of each project by name, in one statement; none where the actor may not read it."""
    actor.require(Scope.TASKS_READ)
    tags = visible(actor).where(Tag.project_id.in_(project_ids))
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
        insert_or_ignore(session, Tag)
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
    await _record(session, actor, "tag.created", tag, events.created({"name": tag.name, "color": tag.color}), project)
    return tag


async def update(session: Session, actor: Actor, tag_id: int, data: TagUpdate) -> TagRecord:
    """Change a tag; its name is also that on its tasks, which change with it. Raises ``NotFound``, ``Forbidden``,
    ``Conflict``."""
    deadlines.takes_long()
    session.takes_long()
    actor.require(Scope.TASKS_WRITE)
    tag, project = await _hold(session, actor, tag_id)
    changes = events.differences(tag._asdict(), data.sent())
    if not changes:
        return tag
    values = {name: after for name, (_, after) in changes.items()}
    if "name" in values:
        values["name_folded"] = fold(values["name"])
        others = select(Tag.id).where(Tag.project_id == project.id, Tag.name_folded == values["name_folded"])
        if await session.scalar(others.where(Tag.id != tag_id)) is not None:
            raise _taken()
        await effects.retag(session, actor, project.id, tag_id, values["name"])
    row = await session.one(sql_update(Tag).where(Tag.id == tag_id).values(values).returning(*COLUMNS))
    tag = TagRecord._make(row)
    await _record(session, actor, "tag.updated", tag, changes, project)
    return tag


async def delete(session: Session, actor: Actor, tag_id: int) -> None:
    """Delete a tag and take it off its tasks. Raises ``NotFound``, ``Forbidden``."""
    deadlines.takes_long()
    session.takes_long()
    actor.require(Scope.TASKS_WRITE)
    tag, project = await _hold(session, actor, tag_id)
    await effects.untag(session, actor, project.id, tag_id)
    await session.execute(sql_delete(Tag).where(Tag.id == tag_id))
    await _record(session, actor, "tag.deleted", tag, {"name": (tag.name, None)}, project)


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
    known: dict[str, int] = {}
    for some in turns.parts([*wanted], PART):
        await turns.pause()
        known |= await _known(session, project, some)
    if missing := len(wanted) - len(known):
        there = await session.count(select(Tag.id).where(Tag.project_id == project.id))
        if there + missing > MAX_TAGS:
            raise Conflict.at(pointer, f"The project {project.key} would have more than {MAX_TAGS:,} tags", "too_many")
    return known


async def ensure(
    session: Session,
    actor: Actor,
    project: ProjectRecord,
    names: Collection[str],
    known: Mapping[str, int] | None = None,
) -> Mapping[str, int]:
    """The ids of a project's tags by folded name; those that are not ``known``, as ``find`` answers, are created.

    The project is held, so that none of the tags goes meanwhile. Raises ``Conflict`` as ``find`` does.
    """
    ids = dict(await find(session, project, names) if known is None else known)
    wanted: dict[str, str] = {}
    for some in turns.parts([*dict.fromkeys(names)], PART):
        await turns.pause()
        for spelling in some:
            wanted.setdefault(fold(spelling), spelling)
    # in one order everywhere, so that two transactions that create the same tags wait for each other and never both
    for some in turns.parts(sorted(wanted.keys() - ids.keys()), PART):
        await turns.pause()
        moment = now()
        rows = [
            {"project_id": project.id, "name": wanted[folded], "name_folded": folded, "created_at": moment}
            for folded in some
        ]
        made = {row.name_folded: row.id for row in await session.all(_missing(session), rows)}
        await events.record(
            session,
            actor,
            *(
                events.NewEvent(
                    "tag.created", "tag", tag_id, events.created({"name": wanted[folded]}), project_id=project.id
                )
                for folded, tag_id in sorted(made.items())
            ),
        )
        ids |= made
        if others := [folded for folded in some if folded not in made]:  # somebody else created them just now
            ids |= await _known(session, project, others)
    return ids


async def _known(session: Session, project: ProjectRecord, folded: Collection[str]) -> Mapping[str, int]:
    """The ids of those of the tags that the project has."""
    rows = await session.all(
        select(Tag.name_folded, Tag.id).where(Tag.project_id == project.id, Tag.name_folded.in_(folded))
    )
    return {row[0]: row[1] for row in rows}


def _missing(session: Session) -> Prepared[AnyRow]:
    """The statement that makes a tag, unless the project has one of that name."""
    statement = _MISSING.get(session.dialect)
    if statement is None:
        insert = insert_or_ignore(session, Tag).returning(Tag.name_folded, Tag.id)
        keys = ("project_id", "name", "name_folded", "created_at")
        statement = _MISSING[session.dialect] = Prepared(insert, keys=keys)
    return statement


_MISSING: dict[str, Prepared[AnyRow]] = {}
PART = 1_000
"""How many tags are looked up, or made, by a statement."""


async def of_tasks(session: Session, actor: Actor, task_ids: Collection[int]) -> Mapping[int, Sequence[TagRecord]]:
    """The tags of each task by name, in one statement; none for tasks of projects that the actor may not read."""
    actor.require(Scope.TASKS_READ)
    rows = await session.all(_OF_TASKS(caller_id=actor.user_id, task_ids=task_ids))
    return attached(rows, task_ids, TagRecord, lambda tag: (fold(tag.name), tag.id))


_OF_TASKS: Prepared[Any] = Prepared(
    select(TaskTag.task_id, *COLUMNS)
    .join(TaskTag, TaskTag.tag_id == Tag.id)
    .where(among(TaskTag.task_id, "task_ids"), projects.among_visible(Tag.project_id, CALLER)),
    tuple,
)


def _taken() -> Conflict:
    return Conflict("The project has a tag of that name", errors=[Problem("/name", "is taken", "taken")])


async def _record(
    session: Session, actor: Actor, kind: str, tag: TagRecord, changes: events.Changes, project: ProjectRecord
) -> None:
    await events.record(session, actor, events.NewEvent(kind, "tag", tag.id, changes, project_id=project.id))
