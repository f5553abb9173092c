"""Very many tasks in a moment: most of them are made by the database itself, from those that are there."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import product

from sqlalchemy import String, cast, func, insert, literal, select, text

from core.clock import now
from db.driver.sessions import Session
from db.models import (
    Comment,
    CommentText,
    Event,
    LoginSession,
    Membership,
    Project,
    Tag,
    Task,
    TaskAssignee,
    TaskTag,
    TaskText,
    User,
)

FOREIGN, USERS = 100, 300
FIRST_NUMBER = 1_000


async def add_people_and_projects(session: Session, place_ids: Sequence[int]) -> None:
    """People with logins, in projects of their own and in those that are given."""
    moment = now()
    names = [f"other{n}" for n in range(USERS)]
    people = [{"username": name, "username_folded": name, "updated_at": moment} for name in names]
    await session.execute(insert(User), people)
    user_ids = await session.scalars(select(User.id).where(User.username.in_(names)).order_by(User.id))
    logins = [{"user_id": id_, "created_at": moment, "last_used_at": moment, "expires_at": moment} for id_ in user_ids]
    await session.execute(insert(LoginSession), logins)
    projects = [{"key": f"FAR{n}", "name": "Far", "updated_at": moment} for n in range(FOREIGN)]
    await session.execute(insert(Project), projects)
    far = await session.scalars(select(Project.id).where(Project.name == "Far"))
    members = [
        {"project_id": place, "user_id": user_id, "role": "member"}
        for place in (*place_ids, *far)
        for user_id in user_ids[place % 50 :: 50]
    ]
    await session.execute(insert(Membership), members)
    tags = [{"project_id": place, "name": name, "name_folded": name} for place in (*place_ids, *far) for name in "abcd"]
    await session.execute(insert(Tag), tags)


async def add_tasks(session: Session, place_ids: Sequence[int], count: int) -> None:
    """So many tasks, one half in the projects given and one half in others, with what hangs on them."""
    moment = now() - timedelta(days=400)
    far = await session.scalars(select(Project.id).where(Project.name == "Far"))
    places = [place for pair in product(far, place_ids) for place in pair]
    rows = []
    for number in range(1, count + 1):
        created = moment + timedelta(minutes=90 * number)
        status = ("pending", "pending", "in_progress", "completed", "cancelled")[number * 7 % 11 % 5]
        updated = created + timedelta(minutes=number * 10_473 % 100_000)
        row = {
            "project_id": places[number % len(places)],
            "number": FIRST_NUMBER + number,
            "title": f"Task {number}",
            "status": status,
            "priority": number * 5 % 13 % 5 + 1,
            "due_at": None if number * 3 % 17 < 5 else created + timedelta(hours=number * 7_919 % 1_000),
            "completed_at": updated if status == "completed" else None,
            "created_at": created,
            "updated_at": updated,
            "deleted_at": created if number % 50 == 0 else None,
        }
        rows.append(row)
    last = await session.scalar(select(func.max(Task.id)))
    await session.execute(insert(Task), rows)
    await _attach(session, last)


async def multiply_tasks(session: Session, times: int) -> None:
    """Make the tasks of ``add_tasks`` so many times as many, with other priorities."""
    if session.dialect == "postgresql":
        # checking foreign keys takes half of the time
        await session.execute(text("SET LOCAL session_replication_role = replica"))
    last = await session.scalar(select(func.max(Task.id)))
    made = (Task.id <= last) & (Task.number > FIRST_NUMBER)
    columns = [column for column in Task.__table__.c if column.name not in ("id", "number", "priority")]
    names = ["number", "priority", *(column.name for column in columns)]
    for number in range(1, times):
        other = (Task.number + 100_000 * number, (Task.priority + number) % 5 + 1)
        await session.execute(insert(Task).from_select(names, select(*other, *columns).where(made)))
    await _attach(session, last)


async def _attach(session: Session, last: int) -> None:
    """A text, an assignee, a tag, a comment and an event for each task after the last one that has them."""
    new = Task.id > last
    users = select(func.min(User.id)).where(User.username.like("other%")).scalar_subquery()
    texts = select(Task.id, func.lower(Task.title), Task.project_id).where(new)
    await session.execute(insert(TaskText).from_select(["task_id", "folded", "project_id"], texts))
    people = select(Task.id, users + Task.id % USERS).where(new)
    await session.execute(insert(TaskAssignee).from_select(["task_id", "user_id"], people))
    labels = select(Task.id, Tag.id).join(Tag, Tag.project_id == Task.project_id)
    labels = labels.where(new, Tag.id % 4 == Task.id % 4)
    await session.execute(insert(TaskTag).from_select(["task_id", "tag_id"], labels))
    remark = {Comment.task_id: Task.id, Comment.body: literal("Done."), Comment.created_at: Task.created_at}
    remark |= {Comment.version: literal(1), Comment.author_id: users}
    await session.execute(insert(Comment).from_select(list(remark), select(*remark.values()).where(new)))
    said = select(Comment.id, func.lower(Comment.body), Task.project_id).join(Task, Task.id == Comment.task_id)
    columns = ["comment_id", "folded", "project_id"]
    await session.execute(insert(CommentText).from_select(columns, said.where(Comment.task_id > last)))
    event = {
        Event.event_id: literal("event of ") + cast(Task.id, String),
        Event.occurred_at: Task.created_at,
        Event.kind: literal("task.created"),
        Event.entity_type: literal("task"),
        Event.entity_id: Task.id,
        Event.task_id: Task.id,
        Event.project_id: Task.project_id,
        Event.actor_method: literal("token"),
        Event.notify: literal(True),
        Event.changes: literal({}, Event.changes.type),
    }
    await session.execute(insert(Event).from_select(list(event), select(*event.values()).where(new)))
