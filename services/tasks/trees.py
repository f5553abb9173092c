"""What hangs below what: subtasks, locked and checked."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import func, literal, select

from db.driver.sessions import Session
from db.lists import one_of
from db.models import Task
from services.shared.actors import Actor
from services.shared.errors import Conflict, NotFound, TandemError, require_next
from services.tasks.models import MAX_SUBTASK_DEPTH
from services.tasks.visibility import visible


async def lock_with_subtasks(session: Session, task_ids: Collection[int]) -> Sequence[int]:
    """The tasks and all that hangs below them, those in the trash included, locked in the order of their ids.

    Their projects are held ``IN_TURN``. Raises ``Conflict`` where one has no version left for a change.
    """
    below = select(Task.id).where(one_of(Task.id, task_ids)).cte("below", recursive=True)
    below = below.union(select(Task.id).join(below, Task.parent_id == below.c.id))
    ids = await session.scalars(select(below.c.id))
    tree = select(Task.version).where(one_of(Task.id, ids)).order_by(Task.id).with_for_update(key_share=True)
    require_next(max(await session.scalars(tree), default=0))
    return ids


async def check_parent(
    session: Session, actor: Actor, project_id: int, parent_id: int, *, moving: int | None = None
) -> None:
    """The parent must be a task of the project that may be read, not the task itself or below it, and not too deep.

    The project is held ``IN_TURN``. Raises ``NotFound``, ``Conflict``.
    """
    parent = await session.first(visible(actor).where(Task.id == parent_id, Task.project_id == project_id))
    if parent is None:
        raise _no_parent()
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
        raise _too_deep()


async def check_new_parents(
    session: Session, actor: Actor, places: Collection[tuple[int, int]]
) -> Mapping[tuple[int, int], TandemError]:
    """As ``check_parent`` for new tasks, of any number of projects with parents in them, in two statements.

    Returns why some of them may have no subtask.
    """
    parents = {parent_id for _, parent_id in places}
    rows = await session.all(visible(actor).where(one_of(Task.id, parents)).with_only_columns(Task.id, Task.project_id))
    found = {(row.project_id, row.id) for row in rows}
    above = (
        select(Task.id.label("root"), Task.parent_id, literal(1).label("depth"))
        .where(one_of(Task.id, [parent_id for _, parent_id in found.intersection(places)]))
        .cte("above", recursive=True)
    )
    above = above.union_all(
        select(above.c.root, Task.parent_id, above.c.depth + 1)
        .join(above, Task.id == above.c.parent_id)
        .where(above.c.depth <= MAX_SUBTASK_DEPTH)
    )
    counted = select(above.c.root, func.max(above.c.depth)).group_by(above.c.root)
    depths = {row[0]: row[1] for row in await session.all(counted)}
    refused: dict[tuple[int, int], TandemError] = {}
    for place in places:
        if place not in found:
            refused[place] = _no_parent()
        elif depths[place[1]] > MAX_SUBTASK_DEPTH:
            refused[place] = _too_deep()
    return refused


def _no_parent() -> NotFound:
    return NotFound("Task in the project", pointer="/parent_id")


def _too_deep() -> Conflict:
    return Conflict.at("/parent_id", f"subtasks nest at most {MAX_SUBTASK_DEPTH} deep", "too_deep")


async def _height(session: Session, task_id: int) -> int:
    below = select(Task.id, literal(0).label("depth")).where(Task.id == task_id).cte("below", recursive=True)
    below = below.union_all(
        select(Task.id, below.c.depth + 1)
        .join(below, Task.parent_id == below.c.id)
        .where(below.c.depth <= MAX_SUBTASK_DEPTH)
    )
    return int(await session.scalar(select(func.max(below.c.depth))))
