"""The second pass: subtasks whose parent came later in the archive, or in a later import.

They are noted in ``external_ids`` (kind ``awaited_parent``, as ``parent/child``), so nothing is held in memory and
a run that was cut off leaves nothing behind that the next one does not find.
"""

from collections.abc import Mapping
from contextlib import aclosing

from sqlalchemy import literal, select, update

from db.driver.database import Database
from db.driver.sessions import Session
from db.models import Task
from services.events import catalogue, log
from services.transfers import projects, sources, task_rows


async def link(database: Database, source: str) -> int:
    """Link subtasks to parents that are there by now. Returns how many."""
    linked = 0
    async with aclosing(sources.awaited(database, source, "awaited_parent")) as pages:
        async for session, awaited in pages:
            linked += await _link_page(session, source, awaited)
    return linked


async def _link_page(session: Session, source: str, awaited: Mapping[str, int]) -> int:
    parents = await task_rows.find(session, source, (pair.partition("/")[0] for pair in awaited))
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
                log.NewEvent(
                    catalogue.TASK_UPDATED,
                    child_id,
                    {"parent_id": (None, parent.id)},
                    version=child.version + 1,
                    project_id=child.project_id,
                    task_id=child_id,
                    notify=False,
                )
            )
    await sources.forget(session, source, "awaited_parent", done)
    await log.record(session, sources.IMPORTER, *happened)
    return len(happened)


async def _is_above(session: Session, task_id: int, other_id: int) -> bool:
    """Whether the other task is the task itself or below it, so that it cannot become its parent."""
    above = select(Task.id, Task.parent_id).where(Task.id == other_id).cte("above", recursive=True)
    above = above.union(select(Task.id, Task.parent_id).join(above, Task.id == above.c.parent_id))
    return await session.scalar(select(literal(1)).where(above.c.id == task_id)) is not None
