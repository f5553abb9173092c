"""Creating tasks: any number of them in the same statements."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from sqlalchemy import update as sql_update

from core import turns
from core.clock import now
from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.models import Project
from services import tags
from services.events import catalogue, log
from services.projects import queries as projects
from services.projects.locks import Hold, hold
from services.projects.models import ProjectRecord, Role
from services.recurrences import beginning
from services.recurrences.models import RecurrenceRecord
from services.shared.actors import Actor, Scope
from services.shared.errors import BadUserInput, Conflict, NotFound, TandemError
from services.shared.external_ids import NAMES, require_pair
from services.shared.node_ids import MAX_DATABASE_ID
from services.shared.statements import parameter
from services.tasks import external_ids, insertion, reminders
from services.tasks.insertion import TaskRow
from services.tasks.models import MAX_DRAFTS, MAX_SUBTASK_DEPTH, TaskCreate, TaskDraft, TaskRecord
from services.tasks.references import NOTHING, check, check_assignees, members_among, named_by, projects_of
from services.tasks.trees import check_new_parents


class NewTask(NamedTuple):
    """A task to be inserted, below another or none; ``pointer`` says where in the body it is."""

    data: TaskCreate | TaskDraft
    parent_id: int | None
    pointer: str = ""
    named: Mapping[str, int | None] = NOTHING
    """What of the project it names, by column."""
    series: RecurrenceRecord | None = None
    """The series that begins with it."""
    recurrence: Mapping[str, object] | None = None
    """What its event tells of the series that comes to it."""
    created_by_id: int | Literal["caller"] | None = "caller"


async def create_each(session: Session, actor: Actor, items: Sequence[TaskCreate]) -> list[TaskRecord | TandemError]:
    """Create tasks; each answers itself, or why it could not be created, whatever becomes of the others."""
    actor.require(Scope.TASKS_WRITE)
    inbox = None
    if any(item.project_id is None for item in items):
        inbox = await projects.inbox_id(session, actor)
    places: list[int] = [item.project_id or inbox or 0 for item in items]
    found = await hold(session, actor, set(places), Hold.IN_TURN)
    members = await members_among(session, found.keys(), {user_id for item in items for user_id in item.assignee_ids})
    named = [named_by(item) for item in items]
    keys = [external_ids.key_of(place, vars(item)) for item, place in zip(items, places, strict=True)]
    held = await external_ids.holders(session, (key for key in keys if key is not None and key.project_id in found))
    things = await projects_of(session, named)
    outcomes: dict[int, TaskRecord | TandemError] = {}
    accepted: dict[int, list[int]] = defaultdict(list)
    below = {(place, item.parent_id) for item, place in zip(items, places, strict=True) if item.parent_id is not None}
    refused = await check_new_parents(session, actor, below) if below else {}
    begin = await beginning.read(session, actor, items)
    begun: dict[int, RecurrenceRecord | None] = {}
    pace = turns.Pace()
    for index, (item, place) in enumerate(zip(items, places, strict=True)):
        if pace.due() or (item.recurrence is not None and turns.due()):
            await turns.give()
        try:
            if place not in found:
                raise NotFound("Project")
            projects.require_writable(found[place], Role.MEMBER)
            if item.parent_id is not None and (refusal := refused.get((place, item.parent_id))) is not None:
                raise refusal
            check(things, place, named[index])
            check_assignees(members[place], item.assignee_ids)
            require_pair(item.external_source, item.external_id)
            external_ids.require_free(held, keys[index])
            reminders.check(item.reminders)
            begun[index] = begin(item)
        except TandemError as error:
            outcomes[index] = error.kept()
        else:
            external_ids.claim(held, keys[index])
            accepted[place].append(index)
    for place, indexes in sorted(accepted.items()):
        new = [
            NewTask(items[index], items[index].parent_id, named=named[index], series=begun[index]) for index in indexes
        ]
        try:
            outcomes |= zip(indexes, await insert_tasks(session, actor, found[place], new), strict=True)
        except Conflict as error:  # before anything is written
            outcomes |= dict.fromkeys(indexes, error.kept())
    return [outcomes[index] for index in range(len(items))]


async def create_plain(session: Session, actor: Actor, data: TaskCreate) -> TaskRecord | None:
    """Create a task that names nothing but its project, in as few round trips as there can be.

    None where that is not for this task or this database, or where it is refused: nothing is written then.
    """
    actor.require(Scope.TASKS_WRITE)
    told = (data.parent_id, data.recurrence, *named_by(data).values(), *_called(data).values())
    lists = data.assignee_ids or data.tags or data.reminders
    if not session.planner.writes_in_with or lists or any(each is not None for each in told):
        return None
    moment = now()
    row = TaskRow(
        data,
        project_id=data.project_id or await projects.inbox_id(session, actor),
        number=0,
        parent_id=None,
        created_by_id=actor.user_id,
        created_at=moment,
        updated_at=moment,
        completed_at=moment,
        assignee_ids=(),
        tag_ids=(),
    )
    task = await insertion.insert_plain_task(session, actor, row)
    if task is not None:
        await log.record(session, actor, _created(task, NewTask(data, None)))
    return task


def _created(task: TaskRecord, item: NewTask) -> log.NewEvent:
    """The event of a task's making."""
    values = {name: getattr(item.data, name) for name in _RECORDED} | {**item.named}
    values |= {"number": task.number, "parent_id": item.parent_id, "recurrence": item.recurrence, **_called(item.data)}
    changes = log.created(values)
    return log.NewEvent(
        catalogue.TASK_CREATED, task.id, changes, version=1, project_id=task.project_id, task_id=task.id
    )


async def create_drafts(
    session: Session, actor: Actor, project: ProjectRecord, drafts: Sequence[TaskDraft], *, pointer: str
) -> int:
    """Create tasks with their subtasks, a level at a time. Returns how many. Raises ``BadUserInput``, ``NotFound``."""
    level = [NewTask(draft, None, f"{pointer}/{index}") for index, draft in enumerate(drafts)]
    if drafts:
        actor.require(Scope.TASKS_WRITE)
    begin, total = await beginning.read(session, actor, _with_subtasks(drafts)), 0
    for _ in range(MAX_SUBTASK_DEPTH + 1):
        if not level:
            return total
        total += len(level)
        if total > MAX_DRAFTS:
            raise BadUserInput.at(pointer, f"more than {MAX_DRAFTS} tasks in one request")
        wanted = {user_id for item in level for user_id in item.data.assignee_ids}
        members = (await members_among(session, [project.id], wanted))[project.id] if wanted else set()
        for item in level:
            check_assignees(members, item.data.assignee_ids, pointer=f"{item.pointer}/assignee_ids")
        level = [item._replace(series=begin(item.data, item.pointer)) async for item in turns.each(level)]
        tasks = await insert_tasks(session, actor, project, level)
        level = [
            NewTask(subtask, task.id, f"{item.pointer}/subtasks/{index}")
            for item, task in zip(level, tasks, strict=True)
            if isinstance(item.data, TaskDraft)
            for index, subtask in enumerate(item.data.subtasks)
        ]
    if level:
        raise BadUserInput.at(pointer, f"subtasks nest at most {MAX_SUBTASK_DEPTH} deep")
    return total


async def insert_tasks(
    session: Session,
    actor: Actor,
    project: ProjectRecord,
    items: Sequence[NewTask],
    *,
    number: int | None = None,
) -> Sequence[TaskRecord]:
    """Insert checked tasks and what hangs on them, from a ``number`` on that was taken for them, if any was. Returns
    them in order.

    Raises ``Conflict``, before anything is written, where the project has no numbers or no tags left for them.
    """
    names = [name for item in items for name in item.data.tags]
    known = await tags.find(session, project, names)
    first = await take_numbers(session, project, len(items)) if number is None else number
    tag_ids = await tags.ensure(session, actor, project, names, known)
    moment = now()
    rows = []
    pace = turns.Pace()
    for place, item in enumerate(items, first):
        if pace.due():
            await turns.give()
        data = item.data
        rows.append(
            TaskRow(
                data,
                named=item.named,
                project_id=project.id,
                number=place,
                parent_id=item.parent_id,
                created_by_id=actor.user_id if item.created_by_id == "caller" else item.created_by_id,
                created_at=moment,
                updated_at=moment,
                completed_at=moment,
                assignee_ids=sorted(set(data.assignee_ids)),
                tag_ids=[tag_ids[name] for name in dict.fromkeys(map(tags.fold, data.tags))],
                **_called(data),
            )
        )
    tasks = await insertion.insert_tasks(session, project.key, rows)
    begun = await beginning.write(session, {task.id: item.series for task, item in zip(tasks, items, strict=True)})
    new = []
    pace = turns.Pace()
    for task, item in zip(tasks, items, strict=True):
        if pace.due():
            await turns.give()
        told = item._replace(recurrence=begun[task.id].told()) if task.id in begun else item
        new.append(_created(task, told))
    await log.record(session, actor, *new)
    await reminders.insert_for(
        session,
        actor,
        (
            (task, item.data.reminders)
            for task, item in zip(tasks, items, strict=True)
            if isinstance(item.data, TaskCreate)
        ),
    )
    return tasks


async def take_numbers(session: Session, project: ProjectRecord, new: int) -> int:
    """The first of so many numbers, one after the other, of a project that is held for it. Raises ``Conflict``."""
    last = await session.scalar(_NUMBERS(place=project.id, new=new, most=MAX_DATABASE_ID - new))
    if last is None:
        raise Conflict(f"The project {project.key} has no number left for another task")
    return int(last) - new + 1


def _with_subtasks(drafts: Sequence[TaskDraft]) -> Iterator[TaskDraft]:
    for draft in drafts:
        yield draft
        yield from _with_subtasks(draft.subtasks)


def _called(data: TaskCreate | TaskDraft) -> dict[str, str | None]:
    """What a new task is called elsewhere; drafts are called nothing."""
    return {name: getattr(data, name, None) for name in sorted(NAMES)}


_NUMBERS = Prepared(
    sql_update(Project)
    .where(Project.id == parameter("place"), Project.last_number <= parameter("most"))
    .values(last_number=Project.last_number + parameter("new"))
    .returning(Project.last_number)
)
_RECORDED = tuple(name for name in TaskDraft.model_fields if name not in {"subtasks", "recurrence"})
"""What the event of a task's making tells of it, beside its number and its parent."""
