"""Making a project again: its tags, milestones and tasks, with what these have among them, to be done once more."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field
from sqlalchemy import insert, select

from core import deadlines, turns
from core.clock import now
from db.driver.sessions import Session
from db.models import Membership, Relation, Tag, Task, User
from db.models.milestones import Milestone
from services.events import catalogue, log
from services.projects import commands
from services.projects.locks import Hold, require
from services.projects.memberships import insert_members
from services.projects.models import ProjectCreate, ProjectKey, ProjectName, ProjectRecord, Role
from services.projects.queries import get
from services.shared.actors import Actor, Scope
from services.shared.errors import Conflict
from services.shared.idempotency import repeatable, while_readable
from services.shared.inputs import Bool, Input, absent
from services.tasks import attachments
from services.tasks.creation import NewTask, insert_tasks
from services.tasks.models import TaskCreate, TaskRecord, TaskStatus
from services.tasks.visibility import visible

MAX_TASKS, MAX_MEMBERS, MAX_RELATIONS = 1_000, 1_000, 10_000
"""Of a project that can be made again."""


class ProjectDuplicate(Input):
    """Makes a project again."""

    name: ProjectName = Field(
        default_factory=absent, description="What the new one is called; as the old one if left out."
    )
    key: ProjectKey | None = Field(default_factory=absent)
    members: Bool = Field(default=False, description="Whether its people belong to the new one, too, with their roles.")
    tasks: Bool = Field(default=True, description="Whether its tasks are made again, too.")


@repeatable("project.duplicate", scope=Scope.PROJECTS_ADMIN, read=while_readable(get), tells=True)
async def duplicate(session: Session, actor: Actor, project_id: int, data: ProjectDuplicate) -> ProjectRecord:
    """Make a project again, which the caller owns: with its description, tags, milestones and, unless told otherwise,
    the tasks that are not in the trash; if wanted, with its people.

    Tasks keep what ``tasks.duplication`` lets them keep, their places below one another and the relations among them;
    all are pending, and those of people who are not in the new project are nobody's. What was said of them, what
    happened to them and external ids stay behind. Raises ``NotFound``, ``Forbidden``, and ``Conflict`` where the key is
    taken or the project holds more than the bounds of this module.
    """
    user_id = actor.require(Scope.PROJECTS_ADMIN)
    actor.require_unlimited("create projects")
    if data.tasks:
        actor.require(Scope.TASKS_WRITE)
    deadlines.takes_long()
    session.takes_long()
    how = {"scope": Scope.PROJECTS_ADMIN, "archived": True}
    source = await require(session, actor, project_id, Role.VIEWER, how=Hold.IN_TURN, **how)  # type: ignore[arg-type]  # by name
    rows = await _tasks(session, actor, source) if data.tasks else []
    name = data.sent().get("name", source.name)
    made = await commands.create_empty(
        session,
        actor,
        ProjectCreate.model_construct(
            name=name, key=data.key, description=source.description, external_source=None, external_id=None
        ),
    )
    people = {user_id} | (await _copy_members(session, actor, source, made) if data.members else set())
    await _copy_tags(session, actor, source, made)
    milestones = await _copy_milestones(session, actor, source, made)
    copies = await _copy_tasks(session, actor, made, rows, milestones, people)
    await _copy_relations(session, actor, made, copies)
    return made


async def _tasks(session: Session, actor: Actor, source: ProjectRecord) -> Sequence[TaskRecord]:
    rows = await session.all(
        visible(actor).where(Task.project_id == source.id).order_by(Task.number).limit(MAX_TASKS + 1)
    )
    _refuse(len(rows), MAX_TASKS, "tasks")
    return [TaskRecord._make(row) for row in rows]


def _refuse(found: int, most: int, what: str) -> None:
    if found > most:
        raise Conflict(f"The project has more than {most:,} {what}, which is as many as are made again at once")


async def _copy_members(session: Session, actor: Actor, source: ProjectRecord, made: ProjectRecord) -> set[int]:
    rows = await session.all(
        select(Membership.user_id, Membership.role)
        .join(User, User.id == Membership.user_id)
        .where(Membership.project_id == source.id, Membership.user_id != actor.user_id, User.disabled.is_(False))
        .order_by(Membership.id)
        .limit(MAX_MEMBERS + 1)
        .with_for_update(of=User, read=True)
    )
    _refuse(len(rows), MAX_MEMBERS, "other members")
    if rows:
        await insert_members(session, [(made.id, user_id, Role(role)) for user_id, role in rows])
        await log.record(
            session,
            actor,
            *(
                log.NewEvent(
                    catalogue.MEMBER_ADDED,
                    user_id,
                    {"user_id": (None, user_id), "role": (None, role)},
                    project_id=made.id,
                )
                for user_id, role in rows
            ),
        )
    return {row[0] for row in rows}


async def _copy_tags(session: Session, actor: Actor, source: ProjectRecord, made: ProjectRecord) -> None:
    columns = (Tag.name, Tag.name_folded, Tag.color)
    rows = await session.all(select(*columns).where(Tag.project_id == source.id).order_by(Tag.name_folded))
    if not rows:
        return
    moment = now()
    new = [{**row._asdict(), "project_id": made.id, "created_at": moment} for row in rows]
    ids = {row[0]: row[1] for row in await session.all(insert(Tag).returning(Tag.name, Tag.id), new)}
    await log.record(
        session,
        actor,
        *(
            log.NewEvent(
                catalogue.TAG_CREATED,
                ids[row.name],
                log.created({"name": row.name, "color": row.color}),
                project_id=made.id,
            )
            for row in rows
        ),
    )


async def _copy_milestones(
    session: Session, actor: Actor, source: ProjectRecord, made: ProjectRecord
) -> Mapping[int | None, int]:
    """The ids of the new milestones, by those of the old ones."""
    told = (Milestone.name, Milestone.description, Milestone.due_at, Milestone.state)
    rows = await session.all(
        select(Milestone.id, Milestone.name_folded, *told)
        .where(Milestone.project_id == source.id)
        .order_by(Milestone.id)
    )
    if not rows:
        return {}
    moment = now()
    stored = {"project_id": made.id, "created_at": moment, "updated_at": moment}
    values = [{column.key: getattr(row, column.key) for column in told} for row in rows]
    new = [{**each, **stored, "name_folded": row.name_folded} for each, row in zip(values, rows, strict=True)]
    returned = await session.all(insert(Milestone).returning(Milestone.name_folded, Milestone.id), new)
    ids = {row[0]: row[1] for row in returned}
    await log.record(
        session,
        actor,
        *(
            log.NewEvent(
                catalogue.MILESTONE_CREATED, ids[row.name_folded], log.created(each), version=1, project_id=made.id
            )
            for each, row in zip(values, rows, strict=True)
        ),
    )
    return {row.id: ids[row.name_folded] for row in rows}


async def _copy_tasks(
    session: Session,
    actor: Actor,
    made: ProjectRecord,
    rows: Sequence[TaskRecord],
    milestones: Mapping[int | None, int],
    people: set[int],
) -> Mapping[int, TaskRecord]:
    """The new tasks, by the ids of the old ones."""
    values: dict[int, dict[str, Any]] = {row.id: row.fields() for row in rows}
    await attachments.read_into(session, values, assigned=values, tagged=values)
    below: dict[int | None, list[dict[str, Any]]] = defaultdict(list)
    for each in values.values():
        each["assignee_ids"] = [user_id for user_id in each["assignee_ids"] if user_id in people]
        each["milestone_id"] = milestones.get(each["milestone_id"])
        # what is below a task that is not there stands by itself
        below[each["parent_id"] if each["parent_id"] in values else None].append(each)
    copies: dict[int, TaskRecord] = {}
    level: list[tuple[int | None, dict[str, Any]]] = [(None, each) for each in below[None]]
    while level:
        await turns.pause()
        tasks = await insert_tasks(session, actor, made, [_again(each, made, parent_id) for parent_id, each in level])
        copies |= {each["id"]: copy for copy, (_, each) in zip(tasks, level, strict=True)}
        level = [(copies[each["id"]].id, child) for _, each in level for child in below[each["id"]]]
    return copies


def _again(values: Mapping[str, Any], made: ProjectRecord, parent_id: int | None) -> NewTask:
    data = TaskCreate.model_construct(
        **{name: values[name] for name in _COPIED},
        project_id=made.id,
        parent_id=parent_id,
        status=TaskStatus.PENDING,
        external_source=None,
        external_id=None,
    )
    return NewTask(data, parent_id, named={"milestone_id": values["milestone_id"]})


_COPIED = (
    *("title", "description", "priority", "start_at", "start_on", "due_at", "due_on", "milestone_id"),
    *("assignee_ids", "tags"),
)


async def _copy_relations(
    session: Session, actor: Actor, made: ProjectRecord, copies: Mapping[int, TaskRecord]
) -> None:
    if not copies:
        return
    rows = await session.all(
        select(Relation.kind, Relation.source_id, Relation.target_id)
        .where(Relation.source_id.in_(copies), Relation.target_id.in_(copies))
        .order_by(Relation.id)
        .limit(MAX_RELATIONS + 1)
    )
    _refuse(len(rows), MAX_RELATIONS, "relations among its tasks")
    if not rows:
        return
    moment = now()
    new = []
    for kind, source_id, target_id in rows:
        ends = copies[source_id].id, copies[target_id].id
        if kind == "relates_to":
            ends = min(ends), max(ends)
        new.append(
            {
                "kind": kind,
                "source_id": ends[0],
                "target_id": ends[1],
                "created_by_id": actor.user_id,
                "created_at": moment,
            }
        )
    returned = await session.all(
        insert(Relation).returning(Relation.id, Relation.kind, Relation.source_id, Relation.target_id), new
    )
    events = [
        log.NewEvent(
            catalogue.RELATION_CREATED,
            id_,
            log.created({"kind": kind, "source_id": source_id, "target_id": target_id}),
            project_id=made.id,
            task_id=task_id,
        )
        for id_, kind, source_id, target_id in sorted(map(tuple, returned))
        for task_id in (source_id, target_id)
    ]
    await log.record(session, actor, *events)
