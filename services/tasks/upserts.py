"""Tasks that follow another system's: created where its id stands for none yet, changed where they differ.

What is the same as it is here is not written, so the second run of a job that sends everything changes nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from db.driver.sessions import Session
from services.projects import queries as projects
from services.projects.locks import Hold, hold
from services.shared.actors import Actor, Scope
from services.shared.errors import BadUserInput, Expected, NotFound, TandemError
from services.shared.external_ids import NAMES
from services.tasks import external_ids
from services.tasks.creation import create_each
from services.tasks.models import TaskCreate, TaskRecord, TaskUpsert
from services.tasks.updates import TaskChange, apply_changes, lock_tasks


class Upserted(NamedTuple):
    """The task as it is now, whether it is new, and whether anything of it was written."""

    task: TaskRecord
    created: bool
    written: bool


async def upsert(
    session: Session,
    actor: Actor,
    source: str,
    external_id: str,
    data: TaskUpsert,
    *,
    expected_version: Expected = None,
) -> Upserted:
    """Create the task of the project that another system calls so, or change the fields that were sent.

    Without a project, that of the caller's Inbox. Raises what ``commands.create`` and ``commands.update`` raise;
    ``Conflict`` where the task is in the trash; ``NotFound`` for an expected version of a task that is not there.
    """
    values = {name: getattr(data, name) for name in TaskUpsert.model_fields}
    item = TaskCreate.model_construct(
        data.model_fields_set | NAMES, **values, external_source=source, external_id=external_id
    )
    [outcome] = await upsert_each(session, actor, [item], expected_version=expected_version)
    if isinstance(outcome, TandemError):
        raise outcome
    return outcome


async def upsert_each(
    session: Session,
    actor: Actor,
    items: Sequence[TaskCreate],
    *,
    expected_version: Expected = None,
) -> list[Upserted | TandemError]:
    """As ``upsert``, of any number; each answers itself, or why not, whatever becomes of the others."""
    actor.require(Scope.TASKS_WRITE)
    inbox = None
    if any(item.project_id is None for item in items):
        inbox = await projects.inbox_id(session, actor)
    places = [item.project_id or inbox or 0 for item in items]
    found = await hold(session, actor, set(places), Hold.IN_TURN)
    keys = [external_ids.key_of(place, vars(item)) for place, item in zip(places, items, strict=True)]
    there = await external_ids.holders(session, (key for key in keys if key is not None and key.project_id in found))
    outcomes: dict[int, Upserted | TandemError] = {}
    new: list[int] = []
    old: dict[int, int] = {}
    met: set[external_ids.Key] = set()
    for index, key in enumerate(keys):
        holder = None if key is None else there.get(key)
        if key is None:
            outcomes[index] = BadUserInput.at("/external_id", "an upsert needs external_source and external_id", "pair")
        elif key in met:
            outcomes[index] = BadUserInput.at("/external_id", "stands for one task twice in the call", "duplicate")
        elif holder is None and expected_version is not None:
            outcomes[index] = NotFound("Task")
        elif holder is None:
            new.append(index)
        elif holder.is_trashed:
            outcomes[index] = external_ids.in_the_trash()
        else:
            old[holder.task_id] = index
        if key is not None:
            met.add(key)
    assigning = {user_id for item in items for user_id in item.assignee_ids}
    locked = await lock_tasks(session, actor, old, trees=True, assigning=assigning)
    changes = []
    for task_id, index in old.items():
        sent = {name: value for name, value in items[index].sent().items() if name not in _PLACE}
        changes.append(TaskChange(task_id, sent, expected_version))
    changed = await apply_changes(session, actor, locked, changes)
    for task_id, index in old.items():
        outcome = changed[task_id]
        if isinstance(outcome, TandemError):
            outcomes[index] = outcome
        else:
            outcomes[index] = Upserted(outcome, False, outcome.version != locked.tasks[task_id].version)
    created = await create_each(session, actor, [items[index] for index in new]) if new else []
    for index, made in zip(new, created, strict=True):
        outcomes[index] = made if isinstance(made, TandemError) else Upserted(made, created=True, written=True)
    return [outcomes[index] for index in range(len(items))]


_PLACE = NAMES | {"project_id", "reminders"}
"""What finds a task, and is not changed of it; and what a new one alone is given."""
