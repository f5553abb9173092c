"""Who follows a task: one rule, for one person and all tasks (a condition), and for some tasks and all people.

Somebody follows what he created, is to do, commented on, or what is in a project that he follows; and whatever he said
of the task himself comes before that, either way.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, false, func, literal, literal_column, or_, select, true, union_all

from db.driver.sessions import AnySelect, Session
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import Comment, ProjectFollow, Task, TaskAssignee, TaskFollow
from services.shared.actors import Actor


def said(actor: Actor) -> ColumnElement[bool | None]:
    """What the actor said of following a task; null where nothing was said."""
    rows = select(TaskFollow.following).where(TaskFollow.task_id == Task.id, TaskFollow.user_id == actor.user_id)
    return rows.scalar_subquery()


def reasons(actor: Actor) -> Mapping[str, ColumnElement[bool]]:
    """Why the actor follows a task without having said so, each looked up for the task by itself."""
    me = actor.user_id
    return {
        "created": func.coalesce(Task.created_by_id == me, false()),
        "assigned": _any(select(true()).where(TaskAssignee.task_id == Task.id, TaskAssignee.user_id == me)),
        # a task has few comments, and somebody may have written very many: not by the index of these
        "commented": _any(
            select(true()).where(Comment.task_id == Task.id, Comment.author_id + literal_column("0") == me)
        ),
        "project": _any(select(true()).where(ProjectFollow.project_id == Task.project_id, ProjectFollow.user_id == me)),
    }


def followed(actor: Actor) -> ColumnElement[bool]:
    """Whether the actor follows a task."""
    found: ColumnElement[bool] = func.coalesce(said(actor), or_(*reasons(actor).values()))
    return found


def _any(rows: AnySelect) -> ColumnElement[bool]:
    found: ColumnElement[bool] = func.coalesce(rows.limit(1).scalar_subquery(), false())
    return found


_FOLLOWERS = Prepared(
    union_all(
        select(Task.id, Task.created_by_id.label("user_id"), literal(1)).where(
            in_list(Task.id, "ids"), Task.created_by_id.is_not(None)
        ),
        select(TaskAssignee.task_id, TaskAssignee.user_id, literal(1)).where(in_list(TaskAssignee.task_id, "ids")),
        select(Comment.task_id, Comment.author_id, literal(1))
        .where(in_list(Comment.task_id, "ids"), Comment.author_id.is_not(None))
        .distinct(),
        select(Task.id, ProjectFollow.user_id, literal(1))
        .join(ProjectFollow, ProjectFollow.project_id == Task.project_id)
        .where(in_list(Task.id, "ids")),
        select(TaskFollow.task_id, TaskFollow.user_id, literal(1)).where(
            in_list(TaskFollow.task_id, "ids"), TaskFollow.following
        ),
        select(TaskFollow.task_id, TaskFollow.user_id, literal(0)).where(
            in_list(TaskFollow.task_id, "ids"), TaskFollow.following.is_(False)
        ),
    )
)


async def followers(session: Session, ids: Collection[int]) -> Mapping[int, Collection[int]]:
    """Who follows each of the tasks, in one statement."""
    found: dict[int, set[int]] = defaultdict(set)
    not_any_more: set[tuple[int, int]] = set()
    for task_id, user_id, follows in await session.all(_FOLLOWERS(ids=ids)):
        if follows:
            found[task_id].add(user_id)
        else:
            not_any_more.add((task_id, user_id))
    for task_id, user_id in not_any_more:
        found[task_id].discard(user_id)
    return found
