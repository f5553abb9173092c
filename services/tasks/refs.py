"""Refs such as ``WEB-12``: a project's key and a number within it. What was moved is found by its former ones, too."""

import re
from functools import cache

from sqlalchemy import ColumnElement, literal_column, or_
from sqlalchemy.orm import aliased

from db.driver.sessions import AnyRow, AnySelect, Session
from db.driver.statements import Prepared
from db.models import FormerRef, Project, Task
from services.shared.actors import Actor, Scope
from services.shared.errors import NotFound
from services.shared.node_ids import MAX_DATABASE_ID
from services.shared.statements import ACTOR_PARAMETER, parameter
from services.tasks.models import TaskRecord
from services.tasks.visibility import trash_begins, visible

_REF = re.compile(r"([a-z][a-z0-9]{1,9})-([1-9][0-9]{0,9})", re.ASCII | re.IGNORECASE)
_FORMER = aliased(Project)


def parse(text: str) -> tuple[str, int] | None:
    """The key and the number of a ref, in any case; None for what is none."""
    match = _REF.fullmatch(text)
    if match is None or int(match[2]) > MAX_DATABASE_ID:
        return None
    return match[1].upper(), int(match[2])


def _by_ref(tasks: AnySelect) -> AnySelect:
    return tasks.where(Project.key == parameter("project"), Task.number == parameter("number"))


def _by_former_ref(tasks: AnySelect) -> AnySelect:
    # every Inbox is called INBOX: a ref there means the caller's own
    own: ColumnElement[bool] = or_(_FORMER.inbox_of_id.is_(None), _FORMER.inbox_of_id == ACTOR_PARAMETER.user_id)
    tasks = tasks.join(FormerRef, FormerRef.task_id == Task.id).join(_FORMER, _FORMER.id == FormerRef.project_id)
    return tasks.where(FormerRef.number == parameter("number"), _FORMER.key == parameter("project"), own)


_BY_REF = Prepared(_by_ref(visible(ACTOR_PARAMETER)), TaskRecord)
_BY_FORMER_REF = Prepared(_by_former_ref(visible(ACTOR_PARAMETER)), TaskRecord)


async def by_ref(session: Session, actor: Actor, ref: str) -> TaskRecord:
    """The task with a ref such as ``WEB-12``, in any case, or that had it before it was moved to another project.

    Raises ``NotFound``, for what is no ref too.
    """
    actor.require(Scope.TASKS_READ)
    parsed = parse(ref)
    if parsed is not None:
        project, number = parsed
        for statement in (_BY_REF, _BY_FORMER_REF):
            row = await session.first(statement(caller_id=actor.user_id, project=project, number=number))
            if row is not None:
                return row
    raise NotFound("Task")


async def id_of(session: Session, actor: Actor, project: str, number: int, *, trashed: bool) -> int | None:
    """The id of the task with a ref, else of one that had it, in one statement: of those that may be read, or of those
    in the trash. None where there is none."""
    given = {"trash_begins": trash_begins()} if trashed else {}
    statement = _id_statement(trashed)
    row = await session.first(statement(caller_id=actor.user_id, project=project, number=number, **given))
    return None if row is None else int(row[0])


@cache
def _id_statement(trashed: bool) -> Prepared[AnyRow]:
    tasks = visible(ACTOR_PARAMETER, trashed=trashed, since=parameter("trash_begins", Task.deleted_at.type))
    own: AnySelect = _by_ref(tasks).with_only_columns(Task.id, literal_column("0").label("rank"))
    former: AnySelect = _by_former_ref(tasks).with_only_columns(Task.id, literal_column("1").label("rank"))
    both = own.union_all(former)
    return Prepared(both.order_by("rank").limit(literal_column("1")))
