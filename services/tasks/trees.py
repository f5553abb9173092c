"""What hangs below what: subtasks, locked and checked."""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, ScalarSelect, func, literal, select

from db.models import Project, Task
from db.sessions import Session
from services.actors import Actor
from services.errors import Conflict, NotFound
from services.projects.queries import among_visible
from services.tasks.models import MAX_SUBTASK_DEPTH
from services.tasks.queries import visible


async def lock_trees(session: Session, actor: Actor, condition: ColumnElement[bool]) -> None:
    """One change at a time of what hangs below what in the projects of the tasks that meet the condition.

    Else two moves could close a circle between them, and a subtask be created below a task that is being deleted.
    Projects are locked before any of their tasks and in one order, by everybody, so that nobody waits in a circle.
    """
    projects = select(Task.project_id).where(condition, among_visible(Task.project_id, actor))
    await session.execute(
        select(Project.id).where(Project.id.in_(projects)).order_by(Project.id).with_for_update(key_share=True)
    )


async def lock_projects(session: Session, project_ids: Collection[int]) -> None:
    """Several projects, in the order in which everybody locks them."""
    await session.execute(
        select(Project.id).where(Project.id.in_(project_ids)).order_by(Project.id).with_for_update(key_share=True)
    )


async def lock_project(session: Session, project_id: int | ScalarSelect[int]) -> None:
    await session.execute(select(Project.id).where(Project.id == project_id).with_for_update(key_share=True))


async def check_parent(
    session: Session, actor: Actor, project_id: int, parent_id: int, *, moving: int | None = None
) -> None:
    """The parent must be a task of the project that may be read, not the task itself or below it, and not too deep.

    Raises ``NotFound``, ``Conflict``.
    """
    await lock_project(session, project_id)
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


async def descendants(session: Session, task_ids: Collection[int]) -> Sequence[int]:
    """The tasks and all that hangs below them, those in the trash included."""
    below = select(Task.id).where(Task.id.in_(task_ids)).cte("below", recursive=True)
    below = below.union(select(Task.id).join(below, Task.parent_id == below.c.id))
    return await session.scalars(select(below.c.id))


async def _height(session: Session, task_id: int) -> int:
    below = select(Task.id, literal(0).label("depth")).where(Task.id == task_id).cte("below", recursive=True)
    below = below.union_all(
        select(Task.id, below.c.depth + 1)
        .join(below, Task.parent_id == below.c.id)
        .where(below.c.depth <= MAX_SUBTASK_DEPTH)
    )
    return int(await session.scalar(select(func.max(below.c.depth))))
