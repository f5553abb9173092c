"""What a write rests on, held until it commits: that the project is there and open, and the caller's role in it.

Under READ COMMITTED, which is PostgreSQL's, what a transaction has read may be changed by another one before it writes.
So whoever writes in a project locks its row and the caller's membership as it reads them, and whoever changes those
waits. Locks are taken in one order by everybody, so that nobody waits in a circle: projects by id, each with the
caller's membership; other memberships; tasks by id; what hangs on tasks. SQLite has one writer, and needs none.

Before their rows, projects are queued for (``db.advisory_locks``): who changes what others' writes rest on is let by in
turn, however many of them there are.
"""

from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any

from sqlalchemy import ColumnElement, Integer, cast, exists, func, literal, select

from db.advisory_locks import alone, shared
from db.driver.sessions import AnySelect, Session
from db.driver.statements import Prepared
from db.lists import id_list, in_list
from db.models import Membership, Project, Task
from services.projects.models import ProjectRecord, Role
from services.projects.queries import among_visible, project_ids, require_role, require_writable, visible
from services.shared.actors import Actor, Scope
from services.shared.errors import NotFound
from services.shared.statements import ACTOR_PARAMETER


class Hold(Enum):
    """How a project is held (PostgreSQL's manual, 13.3.2)."""

    BESIDE = "FOR KEY SHARE"
    """Beside other writers. Not while the project, the names of its tags or the caller's role change."""
    IN_TURN = "FOR NO KEY UPDATE"
    """One at a time, beside those that are BESIDE: for numbers, for what hangs below what, and for new members."""
    MEMBERS = "FOR NO KEY UPDATE, alone in the queue"
    """As IN_TURN, for roles that change and members who go: not while they write."""
    ALONE = "FOR UPDATE"
    """With no other writer in the project."""


def _locking(statement: AnySelect, places: AnySelect, hold: Hold) -> AnySelect:
    """Locks what a statement finds; ``places`` are the ids of the projects that it asks for."""
    queue = alone if hold in _ALONE else shared
    # both rows, or the one that is not locked would be as it was before the waiting
    return (
        statement.where(queue(places))
        .order_by(Project.id)
        .with_for_update(of=(Project, Membership), read=hold is Hold.BESIDE, key_share=hold is not Hold.ALONE)
    )


def _prepared(
    condition: ColumnElement[bool], places: AnySelect, mine: AnySelect
) -> Mapping[Hold, Prepared[ProjectRecord]]:
    """``mine`` are those of the ``places`` that the caller may read: nobody else has to make way for him."""
    return {
        how: Prepared(
            _locking(visible(ACTOR_PARAMETER).where(condition), mine if how in _ALONE else places, how), ProjectRecord
        )
        for how in Hold
    }


_ALONE = (Hold.MEMBERS, Hold.ALONE)
_IDS = select(cast(func.unnest(id_list("ids")), Integer))
_MINE = project_ids(ACTOR_PARAMETER).where(in_list(Membership.project_id, "ids"))
_HELD = _prepared(in_list(Project.id, "ids"), _IDS, _MINE)
_OF_TASKS = select(Task.project_id).where(in_list(Task.id, "ids"))
_MINE_OF_TASKS = _OF_TASKS.where(among_visible(Task.project_id, ACTOR_PARAMETER))
_HELD_OF_TASKS = _prepared(Project.id.in_(_OF_TASKS), _OF_TASKS, _MINE_OF_TASKS)


_ANY_RECUR = select(literal(1)).where(Task.recurs.is_not(None))
_HELD_OF_RECURRING = Prepared(
    _locking(
        visible(ACTOR_PARAMETER)
        .where(Project.id.in_(_OF_TASKS))
        .add_columns(exists(_ANY_RECUR.where(in_list(Task.id, "ids"))).label("any_recur")),
        _OF_TASKS,
        Hold.BESIDE,
    )
)


IN_TURN: Any = _HELD[Hold.IN_TURN].statement
"""What ``hold`` reads, and locks, of the projects ``ids`` that are held ``IN_TURN``: for a statement that goes on to
write there."""


async def hold(session: Session, actor: Actor, ids: Collection[int], how: Hold) -> Mapping[int, ProjectRecord]:
    """Those of the projects that the actor may read, held, by id."""
    rows = await session.all(_HELD[how](caller_id=actor.user_id, ids=ids))
    return {row.id: row for row in rows}


async def hold_of(
    session: Session, actor: Actor, tasks: Collection[int] | ColumnElement[bool], how: Hold
) -> Mapping[int, ProjectRecord]:
    """As ``hold``, of the projects of some tasks: those with the ids, or that meet a condition, in the trash or not.

    Held ``IN_TURN``, what hangs below what in them stays as it is: else two moves could close a circle between them,
    and a subtask be created below a task that is being deleted.
    """
    if not isinstance(tasks, ColumnElement):
        held = await session.all(_HELD_OF_TASKS[how](caller_id=actor.user_id, ids=tasks))
        return {row.id: row for row in held}
    of_tasks = select(Task.project_id).where(tasks, among_visible(Task.project_id, actor))
    rows = await session.all(_locking(visible(actor).where(Project.id.in_(of_tasks)), of_tasks, how))
    return {row.id: ProjectRecord._make(row) for row in rows}


async def hold_of_recurring(
    session: Session, actor: Actor, tasks: Collection[int] | ColumnElement[bool]
) -> tuple[Mapping[int, ProjectRecord], bool]:
    """As ``hold_of``, ``BESIDE``, and whether any of the tasks recurs: then what is done may make others, for which the
    projects are to be held ``IN_TURN`` before the tasks are locked."""
    if isinstance(tasks, ColumnElement):
        of_tasks = select(Task.project_id).where(tasks, among_visible(Task.project_id, actor))
        any_recur = exists(_ANY_RECUR.where(tasks, among_visible(Task.project_id, actor))).label("any_recur")
        found = visible(actor).where(Project.id.in_(of_tasks)).add_columns(any_recur)
        rows = await session.all(_locking(found, of_tasks, Hold.BESIDE))
    else:
        rows = await session.all(_HELD_OF_RECURRING(caller_id=actor.user_id, ids=tasks))
    held = [ProjectRecord._make(row[: len(ProjectRecord._fields)]) for row in rows]
    return {project.id: project for project in held}, any(row.any_recur for row in rows)


async def require(
    session: Session,
    actor: Actor,
    project_id: int,
    role: Role,
    *,
    scope: Scope = Scope.TASKS_WRITE,
    archived: bool = False,
    how: Hold = Hold.BESIDE,
) -> ProjectRecord:
    """The project, held, if the actor has at least the role in it.

    Raises ``NotFound`` where it may not be read, ``Forbidden`` where the role or the key's scope does not suffice, and
    ``Conflict`` where the project is archived (unless ``archived`` allows that).
    """
    actor.require(scope)
    project = (await hold(session, actor, [project_id], how)).get(project_id)
    if project is None:
        raise NotFound("Project")
    if archived:
        require_role(project, role)
    else:
        require_writable(project, role)
    return project
