"""The second pass: subtasks whose parent came later in the archive, or in a later import.

They are noted in ``external_ids`` (kind ``awaited_parent``, as ``parent/child``), so nothing is held in memory and
a run that was cut off leaves nothing behind that the next one does not find.
"""

from sqlalchemy import func, literal, select, update

from db.engine import Database
from db.models import ExternalId, Task
from db.sessions import Session
from services import events
from services.imports import projects, sources, tasks

PAGE = 500


async def link(database: Database, source: str) -> int:
    """Link subtasks to parents that are there by now. Returns how many."""
    linked, after = 0, ""
    while True:
        async with database.writing() as session:
            session.takes_long()
            rows = await session.all(
                select(ExternalId.external_id, ExternalId.entity_id)
                .where(
                    ExternalId.system == source,
                    ExternalId.kind == "awaited_parent",
                    ExternalId.external_id > after,
                )
                .order_by(ExternalId.external_id)
                .limit(PAGE)
            )
            if not rows:
                return linked
            after = rows[-1].external_id
            linked += await _link_page(session, source, {row.external_id: row.entity_id for row in rows})


async def missing(session: Session, source: str) -> int:
    """How many subtasks still have no parent here."""
    return int(
        await session.scalar(
            select(func.count())
            .select_from(ExternalId)
            .join(Task, Task.id == ExternalId.entity_id)
            .where(ExternalId.system == source, ExternalId.kind == "awaited_parent")
        )
    )


async def _link_page(session: Session, source: str, awaited: dict[str, int]) -> int:
    parents = await tasks.find(session, source, (pair.partition("/")[0] for pair in awaited))
    children = {
        row.id: row
        for row in await session.all(
            select(Task.id, Task.project_id, Task.parent_id, Task.version).where(Task.id.in_(awaited.values()))
        )
    }
    # what is archived is read-only, also if it was so only a moment ago: its subtasks wait
    archived = await projects.archived(session, {child.project_id for child in children.values()})
    done, happened = [], []
    for pair, child_id in awaited.items():
        child, parent = children.get(child_id), parents.get(pair.partition("/")[0])
        if child is None or child.parent_id is not None:
            done.append(pair)  # deleted here, or given another parent
        elif parent is not None and parent.project_id == child.project_id and child.project_id not in archived:
            if await _is_above(session, child_id, parent.id):
                continue
            done.append(pair)
            await session.execute(
                update(Task).where(Task.id == child_id).values(parent_id=parent.id, version=Task.version + 1)
            )
            happened.append(
                events.NewEvent(
                    "task.updated",
                    "task",
                    child_id,
                    {"parent_id": (None, parent.id)},
                    version=child.version + 1,
                    project_id=child.project_id,
                    task_id=child_id,
                    notify=False,
                )
            )
    await sources.forget(session, source, "awaited_parent", done)
    await events.record(session, sources.IMPORTER, *happened)
    return len(happened)


async def _is_above(session: Session, task_id: int, other_id: int) -> bool:
    """Whether the other task is the task itself or below it, so that it cannot become its parent."""
    above = select(Task.id, Task.parent_id).where(Task.id == other_id).cte("above", recursive=True)
    above = above.union(select(Task.id, Task.parent_id).join(above, Task.id == above.c.parent_id))
    return await session.scalar(select(literal(1)).where(above.c.id == task_id)) is not None
