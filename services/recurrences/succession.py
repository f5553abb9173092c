"""The next task of a series: what it has of the former one, and that it is made once.

It has the title, description, priority, tags, milestone and parent, the assignees who are members still, and who
created the former one; its dates are moved as far as the rule moves it. The subtasks that are not in the trash are made
again, too. All are pending. What is said of a task stays with it: comments, history, relations, external ids; and so do
the series of subtasks, which go on by themselves.

The former task is locked and its project held ``IN_TURN``, so that one goes on at a time; and a series has one row,
which goes from the one task to the other.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import func, select

from core import turns
from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import Project, Task
from services.projects.models import ProjectRecord
from services.recurrences import rows, series
from services.recurrences.models import CreateNext, RecurrenceRecord
from services.recurrences.rules import Looked
from services.recurrences.series import Dates, Place
from services.shared.actors import Actor
from services.shared.errors import Conflict, TandemError
from services.tasks import attachments, reminders
from services.tasks.creation import NewTask, insert_tasks, take_numbers
from services.tasks.models import MAX_DRAFTS, TaskCreate, TaskRecord, TaskStatus
from services.tasks.references import members_among, named_by
from services.tasks.visibility import COLUMNS, live

MAX_MADE = 1_000
"""Tasks, with subtasks, that one call makes anew."""
_HINT = "end its recurrence (recurrence: null) to complete it"


class Step(NamedTuple):
    """A series, the place that it goes on to, and the first number that was taken for the new tasks of its project."""

    record: RecurrenceRecord
    place: Place
    number: int
    has_subtasks: bool


_tree = select(Task.id.label("id"), Task.id.label("root")).where(in_list(Task.id, "ids")).cte("tree", recursive=True)
_tree = _tree.union_all(select(Task.id, _tree.c.root).join(_tree, Task.parent_id == _tree.c.id).where(live()))
_SIZES = Prepared(select(_tree.c.root, func.count()).group_by(_tree.c.root), tuple)
_BELOW = Prepared(
    select(_tree.c.root, *COLUMNS)
    .join(Project, Project.id == Task.project_id)
    .join(_tree, _tree.c.id == Task.id)
    .where(_tree.c.root != Task.id)
    .order_by(Task.number)
)


async def reserve(
    session: Session,
    projects: Mapping[int, ProjectRecord],
    places: Sequence[tuple[TaskRecord, RecurrenceRecord, Place]],
) -> tuple[dict[int, Step], dict[int, TandemError]]:
    """Before anything is written: the steps that can be taken, and why others cannot, by the former task."""
    if not places:
        return {}, {}
    steps: dict[int, Step] = {}
    refused: dict[int, TandemError] = {}
    sizes = {row[0]: row[1] for row in await session.all(_SIZES(ids=[task.id for task, _, _ in places]))}
    made = 0
    of_project: dict[int, list[tuple[TaskRecord, RecurrenceRecord, Place]]] = defaultdict(list)
    for task, record, place in places:
        size = sizes[task.id]
        if size > MAX_DRAFTS:
            refused[task.id] = Conflict(
                f"The task has more than {MAX_DRAFTS - 1} subtasks, which is as many as are made again at once: {_HINT}"
            )
        elif made + size > MAX_MADE:
            refused[task.id] = Conflict(
                f"More than {MAX_MADE:,} tasks would be made by one call: complete fewer of those that recur at once"
            )
        else:
            made += size
            of_project[task.project_id].append((task, record, place))
    for project_id, each in sorted(of_project.items()):
        try:
            number = await take_numbers(session, projects[project_id], sum(sizes[task.id] for task, _, _ in each))
        except Conflict as error:
            refused |= {task.id: Conflict(f"{error.message}: {_HINT}") for task, _, _ in each}
            continue
        steps |= {task.id: Step(record, place, number, sizes[task.id] > 1) for task, record, place in each}
    return steps, refused


async def make(
    session: Session,
    actor: Actor,
    projects: Mapping[int, ProjectRecord],
    tasks: Mapping[int, TaskRecord],
    steps: Collection[Step],
) -> None:
    """Make the next tasks of series whose former tasks are given, as they are now. Raises ``Conflict``, with which all
    is to be given up, where somebody else has made one."""
    if not steps:
        return
    values = {step.record.task_id: tasks[step.record.task_id].fields() for step in steps}
    below = await _read_contents(session, projects, values, [step for step in steps if step.has_subtasks])
    looked = Looked()
    level: dict[int, list[_Copy]] = defaultdict(list)
    numbers: dict[int, int] = {}
    goes_on: dict[int, RecurrenceRecord | None] = {}
    for step in steps:
        await turns.pause()
        old = values[step.record.task_id]
        former = Dates.of(old)
        if former is None:
            raise ValueError(f"the task {old['id']} recurs, and is not due")
        dates = series.moved(step.record, former, step.place)
        after = step.record._replace(number=step.place.number, occurrence=step.place.text)
        after = series.scheduled(after, dates, looked)
        ends = after.create_next == CreateNext.ON_SCHEDULE and after.next_at is None
        goes_on[old["id"]] = None if ends else after
        numbers.setdefault(old["project_id"], step.number)
        by = series.distance(step.record, former, step.place)
        new_values = old | dates._asdict()
        level[old["project_id"]].append(_Copy(new_values, old["parent_id"], step, goes_on[old["id"]], by))
    taken: list[tuple[RecurrenceRecord, RecurrenceRecord]] = []
    followers: dict[int, TaskRecord] = {}
    for project_id, copies in sorted(level.items()):
        project, number, is_first = projects[project_id], numbers[project_id], True
        while copies:
            new = [_again(copy.values, copy.parent_id, copy.record) for copy in copies]
            made = await insert_tasks(session, actor, project, new, number=number)
            number += len(made)
            if is_first:
                followers |= zip((copy.values["id"] for copy in copies), made, strict=True)
                taken += (
                    (copy.step.record, copy.record._replace(task_id=task.id))
                    for copy, task in zip(copies, made, strict=True)
                    if copy.record is not None
                )
            is_first = False
            copies = [
                _Copy(_later(child, copy.step, copy.by), task.id, copy.step, None, copy.by)
                for copy, task in zip(copies, made, strict=True)
                for child in below[copy.values["id"], copy.step.record.id]
            ]
    await rows.take_on(session, taken)
    await rows.end(session, [task_id for task_id, after in goes_on.items() if after is None])
    await reminders.carry_on(session, followers)


class _Copy(NamedTuple):
    """A task to be made: what it is to have, below which, for which step, and what it recurs by."""

    values: dict[str, Any]
    parent_id: int | None
    step: Step
    record: RecurrenceRecord | None
    by: timedelta
    """How much later it is, by the clocks."""


async def _read_contents(
    session: Session,
    projects: Mapping[int, ProjectRecord],
    roots: Mapping[int, dict[str, Any]],
    with_more: Sequence[Step],
) -> Mapping[tuple[int, int], Sequence[dict[str, Any]]]:
    """Give the tasks that were completed their tags and people. Returns what is below each task, by the series that it
    is made again for: one may be below another."""
    series_of = {step.record.task_id: step.record.id for step in with_more}
    found = await session.all(_BELOW(ids=[*series_of])) if series_of else []
    values = {row.id: TaskRecord._make(row[1:]).fields() for row in found} | dict(roots)
    await attachments.read_into(session, values, assigned=values, tagged=values)
    assigned = {user_id for each in values.values() for user_id in each["assignee_ids"]}
    members = await members_among(session, sorted(projects), assigned) if assigned else {}
    for each in values.values():
        there = members.get(each["project_id"], ())
        each["assignee_ids"] = [user_id for user_id in each["assignee_ids"] if user_id in there]
    below: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for row in found:
        below[row.parent_id, series_of[row.root]].append(values[row.id])
    return below


def _later(values: Mapping[str, Any], step: Step, by: timedelta) -> dict[str, Any]:
    dates = Dates(*(values[name] for name in Dates._fields))
    return {**values, **series.shifted(step.record, dates, by)._asdict()}


def _again(values: Mapping[str, Any], parent_id: int | None, record: RecurrenceRecord | None) -> NewTask:
    data = TaskCreate.model_construct(
        **{name: values[name] for name in _COPIED},
        parent_id=parent_id,
        status=TaskStatus.PENDING,
        external_source=None,
        external_id=None,
    )
    told = None if record is None else record.told()
    return NewTask(data, parent_id, named=named_by(data), created_by_id=values["created_by_id"], recurrence=told)


_COPIED = (
    *(
        "title",
        "description",
        "priority",
        "start_at",
        "start_on",
        "due_at",
        "due_on",
        "milestone_id",
        "project_id",
        "assignee_ids",
        "tags",
    ),
)
