"""Changing tasks. Each change is one UPDATE of the fields that differ, one more version and one event."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ScalarSelect, func, insert, literal, select, true
from sqlalchemy import delete as sql_delete
from sqlalchemy import update as sql_update

from core.clock import now
from db.engine import Session
from db.models import Comment, ExternalId, Membership, Project, Tag, Task, TaskAssignee, TaskTag, TaskText
from services import events, tags
from services.actors import Actor, Scope
from services.errors import BadUserInput, Conflict, Expected, NotFound, require_version
from services.projects.models import ProjectRecord, Role
from services.projects.queries import inbox_id, require, visible_ids
from services.tasks.filters import fold_text
from services.tasks.models import (
    MAX_DRAFTS,
    MAX_SUBTASK_DEPTH,
    TaskCreate,
    TaskDraft,
    TaskRecord,
    TaskStatus,
    TaskUpdate,
)
from services.tasks.queries import get, visible


async def create(session: Session, actor: Actor, data: TaskCreate) -> TaskRecord:
    """Create a task, in the caller's Inbox unless a project is named.

    Raises ``NotFound`` for a project that may not be read, and for a parent or assignees that are not of the project;
    ``Forbidden``; ``Conflict`` below a task that is nested too deeply.
    """
    actor.require(Scope.TASKS_WRITE)
    project_id = data.project_id if data.project_id is not None else await inbox_id(session, actor)
    project = await require(session, actor, project_id, Role.MEMBER)
    if data.parent_id is not None:
        await _check_parent(session, actor, project.id, data.parent_id)
    [task_id] = await _insert(session, actor, project, [(data, data.parent_id, "")])
    return await get(session, actor, task_id)


async def create_drafts(
    session: Session, actor: Actor, project: ProjectRecord, drafts: Sequence[TaskDraft], *, pointer: str
) -> int:
    """Create tasks with their subtasks, a level at a time. Returns how many. Raises ``BadUserInput``."""
    level: list[tuple[TaskDraft, int | None, str]] = [
        (draft, None, f"{pointer}/{index}") for index, draft in enumerate(drafts)
    ]
    if drafts:
        actor.require(Scope.TASKS_WRITE)
    total = 0
    for _ in range(MAX_SUBTASK_DEPTH + 1):
        if not level:
            return total
        total += len(level)
        if total > MAX_DRAFTS:
            raise BadUserInput.at(pointer, f"more than {MAX_DRAFTS} tasks in one request")
        ids = await _insert(session, actor, project, level)
        level = [
            (subtask, task_id, f"{path}/subtasks/{index}")
            for (draft, _, path), task_id in zip(level, ids, strict=True)
            for index, subtask in enumerate(draft.subtasks)
        ]
    if level:
        raise BadUserInput.at(pointer, f"subtasks nest at most {MAX_SUBTASK_DEPTH} deep")
    return total


async def update(
    session: Session,
    actor: Actor,
    task_id: int,
    data: TaskUpdate,
    *,
    expected_version: Expected = None,
    notify: bool = True,
    project_id: int | None = None,
) -> TaskRecord:
    """Change the fields that were sent; nothing is written where none differs.

    ``notify`` says whether the people concerned are to be told. Raises ``NotFound`` (also where the task is not in
    ``project_id``), ``Forbidden``, ``VersionConflict``, ``BadUserInput``.
    """
    sent = data.sent()
    if "parent_id" in sent:
        await _lock_tree(session, actor, task_id)
    task, project = await _lock(session, actor, task_id, expected_version, project_id=project_id)
    before: dict[str, Any] = task._asdict()
    if "assignee_ids" in sent:
        before["assignee_ids"] = await session.scalars(
            select(TaskAssignee.user_id).where(TaskAssignee.task_id == task_id).order_by(TaskAssignee.user_id)
        )
        sent["assignee_ids"] = sorted(set(sent["assignee_ids"]))
    if "tags" in sent:
        before["tags"] = await session.scalars(
            select(Tag.name)
            .join(TaskTag, TaskTag.tag_id == Tag.id)
            .where(TaskTag.task_id == task_id)
            .order_by(Tag.name_folded)
        )
        sent["tags"] = _distinct_tags(sent["tags"], before["tags"])
    changes = events.differences(before, sent)
    if not changes:
        return task
    moment = now()
    _check_dates(before | sent)
    if changes.get("parent_id", (None, None))[1] is not None:
        await _check_parent(session, actor, task.project_id, sent["parent_id"], moving=task_id)
    if "assignee_ids" in changes:
        await _check_assignees(session, task.project_id, sent["assignee_ids"], pointer="/assignee_ids")
    values = {name: sent[name] for name in changes if name not in {"assignee_ids", "tags"}}
    if "status" in changes:
        values["completed_at"] = moment if sent["status"] == TaskStatus.COMPLETED else None
    await session.execute(
        sql_update(Task).where(Task.id == task_id).values(**values, version=Task.version + 1, updated_at=moment)
    )
    if "assignee_ids" in changes:
        await _set_assignees(session, task_id, *changes["assignee_ids"])
    if "tags" in changes:
        ids = await tags.ensure(session, actor, project, sent["tags"])
        await session.execute(sql_delete(TaskTag).where(TaskTag.task_id == task_id))
        if ids:
            await session.execute(insert(TaskTag), [{"task_id": task_id, "tag_id": tag_id} for tag_id in ids.values()])
    if "title" in changes or "description" in changes:
        folded = fold_text(f"{(before | sent)['title']}\n{(before | sent)['description'] or ''}")
        await session.execute(sql_update(TaskText).where(TaskText.task_id == task_id).values(folded=folded))
    task = await get(session, actor, task_id)
    await events.record(session, actor, _event("task.updated", task, changes, notify=notify))
    return task


async def delete(session: Session, actor: Actor, task_id: int, *, expected_version: Expected = None) -> None:
    """Move a task and its subtasks to the trash. Raises ``NotFound``, ``Forbidden``, ``VersionConflict``."""
    await _lock_tree(session, actor, task_id)
    task, _ = await _lock(session, actor, task_id, expected_version)
    moment = now()
    below = await _descendants(session, task_id)
    rows = await session.all(
        sql_update(Task)
        .where(Task.id.in_(below), Task.deleted_at.is_(None))
        .values(deleted_at=moment, updated_at=moment, version=Task.version + 1)
        .returning(Task.id, Task.version)
    )
    await _record_stamps(session, actor, "task.deleted", task, rows, (None, moment))


async def restore(session: Session, actor: Actor, task_id: int) -> TaskRecord:
    """Bring a task back from the trash, with the subtasks that went with it. Raises ``NotFound``, ``Forbidden``."""
    actor.require(Scope.TASKS_WRITE)
    await _lock_tree(session, actor, task_id)
    row = await session.first(
        visible(actor, trashed=True).where(Task.id == task_id).with_for_update(of=Task, key_share=True)
    )
    if row is None:
        raise NotFound("Task in the trash")
    task = TaskRecord._make(row)
    await require(session, actor, task.project_id, Role.MEMBER)
    below = await _descendants(session, task_id)
    rows = await session.all(
        sql_update(Task)
        .where(Task.id.in_(below), Task.deleted_at == task.deleted_at)
        .values(deleted_at=None, updated_at=now(), version=Task.version + 1)
        .returning(Task.id, Task.version)
    )
    moved: events.Changes = {}
    if task.parent_id is not None:
        parent_lives = await session.scalar(select(Task.id).where(Task.id == task.parent_id, Task.deleted_at.is_(None)))
        if parent_lives is None:
            moved = {"parent_id": (task.parent_id, None)}
            await session.execute(sql_update(Task).where(Task.id == task_id).values(parent_id=None))
    await _record_stamps(session, actor, "task.restored", task, rows, (task.deleted_at, None), moved)
    return await get(session, actor, task_id)


async def unassign(session: Session, actor: Actor, project: ProjectRecord, user_id: int) -> None:
    """Take a person off every task of a project: for a member who leaves. Each task that changes has its event."""
    await _lock_project(session, project.id)
    rows = await session.all(
        select(Task.id, Task.version)
        .join(TaskAssignee, TaskAssignee.task_id == Task.id)
        .where(Task.project_id == project.id, TaskAssignee.user_id == user_id)
        .order_by(Task.id)
        .with_for_update(of=Task, key_share=True)
    )
    ids = [row.id for row in rows]
    if not ids:
        return
    before: dict[int, list[int]] = {task_id: [] for task_id in ids}
    for link in await session.all(
        select(TaskAssignee.task_id, TaskAssignee.user_id)
        .where(TaskAssignee.task_id.in_(ids))
        .order_by(TaskAssignee.user_id)
    ):
        before[link.task_id].append(link.user_id)
    await session.execute(
        sql_delete(TaskAssignee).where(TaskAssignee.task_id.in_(ids), TaskAssignee.user_id == user_id)
    )
    await session.execute(sql_update(Task).where(Task.id.in_(ids)).values(version=Task.version + 1, updated_at=now()))
    await events.record(
        session,
        actor,
        *(
            events.NewEvent(
                "task.updated",
                "task",
                row.id,
                {"assignee_ids": (before[row.id], [other for other in before[row.id] if other != user_id])},
                version=row.version + 1,
                project_id=project.id,
                task_id=row.id,
            )
            for row in rows
        ),
    )


async def clear(session: Session, actor: Actor, *, project_id: int | None = None) -> int:
    """Delete every task of every user, or of one project, for good. Returns how many.

    For an API key with the scope ``admin``: raises ``Forbidden`` for anybody else.
    """
    actor.require_admin_key()
    condition = true() if project_id is None else Task.project_id == project_id
    doomed = select(Task.id).where(condition)
    written = select(Comment.id).where(Comment.task_id.in_(doomed))
    count = await session.count(doomed)
    # an import may bring them back
    for kind, ids in (("task", doomed), ("comment", written)):
        await session.execute(sql_delete(ExternalId).where(ExternalId.kind == kind, ExternalId.entity_id.in_(ids)))
    await session.execute(sql_update(Task).where(condition, Task.parent_id.is_not(None)).values(parent_id=None))
    await session.execute(sql_delete(Task).where(condition))
    changes = {"tasks": (count, 0)}
    await events.record(session, actor, events.NewEvent("tasks.cleared", "server", 0, changes, project_id=project_id))
    return count


async def _lock(
    session: Session,
    actor: Actor,
    task_id: int,
    expected_version: Expected,
    *,
    project_id: int | None = None,
) -> tuple[TaskRecord, ProjectRecord]:
    """The task, locked until the transaction ends, and its project; the caller may change them."""
    actor.require(Scope.TASKS_WRITE)
    # as an UPDATE locks it, so that rows that refer to the task (FOR KEY SHARE) need not wait
    row = await session.first(visible(actor).where(Task.id == task_id).with_for_update(of=Task, key_share=True))
    if row is None or (project_id is not None and row.project_id != project_id):
        raise NotFound("Task")
    task = TaskRecord._make(row)
    project = await require(session, actor, task.project_id, Role.MEMBER)
    require_version(task.version, expected_version)
    return task, project


async def _lock_tree(session: Session, actor: Actor, task_id: int) -> None:
    """One change at a time of what hangs below what in the task's project.

    Else two moves could close a circle between them, and a subtask be created below a task that is being deleted. The
    project is locked before any of its tasks, by everybody, so that nobody waits in a circle.
    """
    actor.require(Scope.TASKS_WRITE)
    project_id = select(Task.project_id).where(Task.id == task_id, Task.project_id.in_(visible_ids(actor)))
    await _lock_project(session, project_id.scalar_subquery())


async def _lock_project(session: Session, project_id: int | ScalarSelect[int]) -> None:
    await session.execute(select(Project.id).where(Project.id == project_id).with_for_update(key_share=True))


async def _insert(
    session: Session,
    actor: Actor,
    project: ProjectRecord,
    items: Sequence[tuple[TaskCreate | TaskDraft, int | None, str]],
) -> list[int]:
    """Insert tasks (input, parent's id, where in the body) and what hangs on them. Returns their ids in order."""
    for data, _, pointer in items:
        await _check_assignees(session, project.id, data.assignee_ids, pointer=f"{pointer}/assignee_ids")
    last = await session.scalar(
        sql_update(Project)
        .where(Project.id == project.id)
        .values(last_number=Project.last_number + len(items))
        .returning(Project.last_number)
    )
    moment = now()
    first = last - len(items) + 1
    ids: list[int] = []
    for offset, (data, parent_id, _) in enumerate(items):
        task_id = await session.scalar(
            insert(Task).values(_row(data, actor, moment, project.id, first + offset, parent_id)).returning(Task.id)
        )
        ids.append(task_id)
    pairs = list(zip(ids, (data for data, _, _ in items), strict=True))
    await session.execute(
        insert(TaskText),
        [{"task_id": id_, "folded": fold_text(f"{data.title}\n{data.description or ''}")} for id_, data in pairs],
    )
    assignments = [{"task_id": id_, "user_id": user} for id_, data in pairs for user in sorted(set(data.assignee_ids))]
    if assignments:
        await session.execute(insert(TaskAssignee), assignments)
    tag_ids = await tags.ensure(session, actor, project, [name for _, data in pairs for name in data.tags])
    links = [
        {"task_id": id_, "tag_id": tag_ids[folded]}
        for id_, data in pairs
        for folded in dict.fromkeys(tags.fold(name) for name in data.tags)
    ]
    if links:
        await session.execute(insert(TaskTag), links)
    new = []
    for offset, (id_, data) in enumerate(pairs):
        values = data.model_dump(exclude={"project_id", "parent_id", "subtasks"}, mode="python")
        values |= {"number": first + offset, "parent_id": items[offset][1]}
        new.append(
            events.NewEvent(
                "task.created",
                "task",
                id_,
                events.created(values),
                version=1,
                project_id=project.id,
                task_id=id_,
            )
        )
    await events.record(session, actor, *new)
    return ids


def _row(
    data: TaskCreate | TaskDraft,
    actor: Actor,
    moment: datetime,
    project_id: int,
    number: int,
    parent_id: int | None,
) -> dict[str, Any]:
    return {
        "project_id": project_id,
        "number": number,
        "title": data.title,
        "description": data.description,
        "status": data.status.value,
        "priority": data.priority,
        "start_at": data.start_at,
        "due_at": data.due_at,
        "completed_at": moment if data.status is TaskStatus.COMPLETED else None,
        "parent_id": parent_id,
        "created_by_id": actor.user_id,
        "created_at": moment,
        "updated_at": moment,
    }


def _check_dates(values: dict[str, Any]) -> None:
    if values["start_at"] is not None and values["due_at"] is not None and values["due_at"] < values["start_at"]:
        raise BadUserInput.at("/due_at", "due_at must not be before start_at", "range")


async def _check_assignees(session: Session, project_id: int, user_ids: Collection[int], *, pointer: str) -> None:
    if not user_ids:
        return
    members = set(
        await session.scalars(
            select(Membership.user_id).where(Membership.project_id == project_id, Membership.user_id.in_(set(user_ids)))
        )
    )
    if members != set(user_ids):
        raise NotFound("Member of the project", pointer=pointer)


async def _check_parent(
    session: Session, actor: Actor, project_id: int, parent_id: int, *, moving: int | None = None
) -> None:
    """The parent must be a task of the project that may be read, not the task itself or below it, and not too deep."""
    await _lock_project(session, project_id)
    parent = await session.first(visible(actor).where(Task.id == parent_id, Task.project_id == project_id))
    if parent is None:
        raise NotFound("Task in the project", pointer="/parent_id")
    above = (
        select(Task.id, Task.parent_id, literal(1).label("depth"))
        .where(Task.id == parent_id)
        .cte("above", recursive=True)
    )
    above = above.union_all(
        select(Task.id, Task.parent_id, above.c.depth + 1)
        .join(above, Task.id == above.c.parent_id)
        .where(above.c.depth <= MAX_SUBTASK_DEPTH)
    )
    ancestors = await session.scalars(select(above.c.id))
    if moving is not None and moving in ancestors:
        raise Conflict.at("/parent_id", "a task cannot be below itself", "cycle")
    height = 0 if moving is None else await _height(session, moving)
    if len(ancestors) + height > MAX_SUBTASK_DEPTH:
        raise Conflict.at("/parent_id", f"subtasks nest at most {MAX_SUBTASK_DEPTH} deep", "too_deep")


async def _height(session: Session, task_id: int) -> int:
    below = select(Task.id, literal(0).label("depth")).where(Task.id == task_id).cte("below", recursive=True)
    below = below.union_all(
        select(Task.id, below.c.depth + 1)
        .join(below, Task.parent_id == below.c.id)
        .where(below.c.depth <= MAX_SUBTASK_DEPTH)
    )
    return int(await session.scalar(select(func.max(below.c.depth))))


async def _descendants(session: Session, task_id: int) -> Sequence[int]:
    below = select(Task.id).where(Task.id == task_id).cte("below", recursive=True)
    below = below.union(select(Task.id).join(below, Task.parent_id == below.c.id))
    return await session.scalars(select(below.c.id))


async def _set_assignees(session: Session, task_id: int, before: Collection[int], after: Collection[int]) -> None:
    gone, new = set(before) - set(after), sorted(set(after) - set(before))
    if gone:
        await session.execute(
            sql_delete(TaskAssignee).where(TaskAssignee.task_id == task_id, TaskAssignee.user_id.in_(gone))
        )
    if new:
        await session.execute(insert(TaskAssignee), [{"task_id": task_id, "user_id": user_id} for user_id in new])


def _distinct_tags(names: Sequence[str], stored: Sequence[str]) -> list[str]:
    """The names once each in the order of their folds; a tag that is there keeps the spelling it has."""
    spelling = {tags.fold(name): name for name in [*reversed(names), *stored]}
    return [spelling[folded] for folded in sorted({tags.fold(name) for name in names})]


async def _record_stamps(
    session: Session,
    actor: Actor,
    kind: str,
    task: TaskRecord,
    rows: Sequence[Any],
    stamps: tuple[Any, Any],
    own_changes: events.Changes | None = None,
) -> None:
    """One event for the task and for each subtask that went or came with it; ``own_changes`` are the task's alone."""
    ordered = sorted(rows, key=lambda row: (row.id != task.id, row.id))
    await events.record(
        session,
        actor,
        *(
            events.NewEvent(
                kind,
                "task",
                row.id,
                {"deleted_at": stamps, **((own_changes or {}) if row.id == task.id else {})},
                version=row.version,
                project_id=task.project_id,
                task_id=row.id,
            )
            for row in ordered
        ),
    )


def _event(kind: str, task: TaskRecord, changes: events.Changes, *, notify: bool = True) -> events.NewEvent:
    return events.NewEvent(
        kind,
        "task",
        task.id,
        changes,
        version=task.version,
        project_id=task.project_id,
        task_id=task.id,
        notify=notify,
    )
