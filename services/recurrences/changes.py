"""What a change of tasks does to the series that they are of, and which of them go on to a next task.

For a change of tasks that do not recur and are not to, nothing is read: that they do not, the statement says that locks
them.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from core.clock import now
from db.driver.sessions import Session
from services.projects.models import ProjectRecord
from services.recurrences import rows, series, succession
from services.recurrences.models import CreateNext, Recurrence, RecurrenceRecord
from services.recurrences.rules import Looked
from services.recurrences.series import Dates, Place
from services.recurrences.succession import Step
from services.shared.actors import Actor
from services.shared.errors import BadUserInput, TandemError
from services.shared.time_zones import zone_name_of
from services.tasks.models import TaskRecord, TaskStatus

FIELDS = frozenset({"recurrence", "status", *Dates._fields})
"""What may be of importance to a series."""
Sent = Mapping[str, Any]
Planned = Mapping[int, tuple[dict[str, Any], dict[str, Any]]]


class Needs(NamedTuple):
    """What changes have to know of tasks: whether they recur; and whether they may make next ones."""

    marks: bool = False
    makes: bool = False


def needs_of(changes: Iterable[Sent]) -> Needs:
    """What changes that send these fields need."""
    sent = [*changes]
    return Needs(
        any(not FIELDS.isdisjoint(each) for each in sent),
        any(each.get("status") == TaskStatus.COMPLETED for each in sent),
    )


class Changes:
    """The series of tasks that are changed together."""

    def __init__(self, there: Mapping[int, RecurrenceRecord], concerned: Collection[int], zone: str) -> None:
        self._there, self._concerned, self._zone = there, concerned, zone
        self._new: dict[int, RecurrenceRecord] = {}
        self._ended: set[int] = set()
        self._following: dict[int, tuple[RecurrenceRecord, Place]] = {}
        self._steps: dict[int, Step] = {}
        self._looked = Looked()
        self._moment: datetime = now()

    @classmethod
    async def read(
        cls, session: Session, actor: Actor, recurring: Collection[int], changes: Sequence[tuple[int, Sent]]
    ) -> "Changes":
        """Those of the tasks that changes are of importance to, of which some are ``recurring``."""
        ids = {task_id for task_id, sent in changes if task_id in recurring and not FIELDS.isdisjoint(sent)}
        wanted = {task_id: sent["recurrence"] for task_id, sent in changes if "recurrence" in sent}
        if not ids and not wanted:
            return NONE
        zoneless = any(each is not None and each.timezone is None for each in wanted.values())
        zone = await zone_name_of(session, actor) if zoneless else "UTC"
        return cls(await rows.of(session, ids), ids | wanted.keys(), zone)

    def __contains__(self, task_id: int) -> bool:
        return task_id in self._concerned

    def settled(self, task_id: int, sent: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
        """What is sent, with what the task recurs by after it, as events tell of it; ``old`` gets what it did before.

        Raises ``BadUserInput``, ``TooExpensive``.
        """
        if task_id not in self._concerned:
            return sent
        current, values = self._there.get(task_id), old | sent
        dates = Dates.of(values)
        new = current
        if "recurrence" in sent:
            wanted: Recurrence | None = sent["recurrence"]
            new = None
            if wanted is not None:
                new = series.begun(wanted, dates, self._zone, self._looked, current=current)
        elif current is not None and dates is None:
            raise BadUserInput.at(
                "/due_at", "a task that recurs needs one: end its recurrence with it (recurrence: null)", "recurrence"
            )
        moves = not set(Dates._fields).isdisjoint(sent)
        if new is not None and dates is not None and moves and new.create_next == CreateNext.ON_SCHEDULE:
            new = series.scheduled(new, dates, self._looked)
        if new is not None and new != current:
            self._new[task_id] = new._replace(task_id=task_id)
        completes = sent.get("status") == TaskStatus.COMPLETED != old["status"]
        if new is not None and completes and new.create_next == CreateNext.ON_COMPLETION:
            place = series.on_completion(new, self._moment, self._looked)
            if place is None:
                self._ended.add(task_id)
            else:
                self._following[task_id] = (new._replace(task_id=task_id), place)
            new = None
        elif new is None and current is not None:
            self._ended.add(task_id)
        old["recurrence"] = current and current.told()
        return {**sent, "recurrence": new and new.told()}

    async def reserve(
        self, session: Session, projects: Mapping[int, ProjectRecord], tasks: Mapping[int, TaskRecord], planned: Planned
    ) -> Mapping[int, TandemError]:
        """Before anything is written: which of the changes cannot be made, because no next task can, and why."""
        places = [
            (tasks[task_id], record, place)
            for task_id, (record, place) in self._following.items()
            if task_id in planned
        ]
        self._steps, refused = await succession.reserve(session, projects, places)
        return refused

    async def write(self, session: Session, planned: Planned) -> None:
        """Write what the tasks recur by now; events then tell of it as it is."""
        new = await rows.write(session, [record for task_id, record in self._new.items() if task_id in planned])
        await rows.end(session, [task_id for task_id in sorted(self._ended) if task_id in planned])
        for task_id, record in new.items():
            changed = planned[task_id][1]
            if task_id in self._steps:
                self._steps[task_id] = self._steps[task_id]._replace(record=record)
            elif "recurrence" in changed and changed["recurrence"][1] is not None:
                changed["recurrence"] = (changed["recurrence"][0], record.told())

    async def make(
        self,
        session: Session,
        actor: Actor,
        projects: Mapping[int, ProjectRecord],
        after: Mapping[int, TaskRecord],
    ) -> None:
        """Make the next tasks of those that were completed."""
        await succession.make(session, actor, projects, after, self._steps.values())


NO_NEEDS = Needs()
NONE = Changes({}, (), "UTC")
"""Where no task recurs, or is to."""
