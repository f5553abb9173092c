"""Which task of a project another system's id stands for: one at most, in the trash or not.

Whoever writes such ids holds the project IN_TURN, so that what is free stays so until it is written.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, NamedTuple

from sqlalchemy import select

from core import turns
from db.bulk import rows_by_key
from db.driver.sessions import Session
from db.models import Task
from services.shared.database_errors import taken
from services.shared.errors import Conflict
from services.shared.external_ids import NAMES

PART = 1_000


class Key(NamedTuple):
    """What a task is called elsewhere, in its project."""

    project_id: int
    source: str
    external_id: str


class Holder(NamedTuple):
    """The task that an id stands for."""

    task_id: int
    is_trashed: bool


def key_of(project_id: int, values: Mapping[str, Any]) -> Key | None:
    """The key that fields of a task make; None where they make none."""
    source, external_id = values["external_source"], values["external_id"]
    return None if source is None or external_id is None else Key(project_id, source, external_id)


def are_among(sent: Iterable[str]) -> bool:
    """Whether what is sent says what the task is called elsewhere."""
    return not NAMES.isdisjoint(sent)


async def holders(session: Session, keys: Iterable[Key]) -> dict[Key, Holder]:
    """The tasks that the keys stand for: a statement for each project and source."""
    wanted: dict[tuple[int, str], dict[str, None]] = defaultdict(dict)
    for project_id, source, external_id in keys:
        wanted[project_id, source][external_id] = None
    found: dict[Key, Holder] = {}
    for (project_id, source), ids in sorted(wanted.items()):
        statement = select(Task.external_id, Task.id, Task.deleted_at.is_not(None)).where(
            Task.project_id == project_id, Task.external_source == source
        )
        for some in turns.parts(list(ids), PART):
            rows = await rows_by_key(session, statement, Task.external_id.expression, some)
            found |= {Key(project_id, source, row[0]): Holder(row[1], row[2]) for row in rows}
    return found


def require_free(held: Mapping[Key, Holder], key: Key | None, *, task_id: int | None = None) -> None:
    """Raises ``Conflict`` where a key stands for another task than the one given."""
    holder = None if key is None else held.get(key)
    if holder is not None and holder.task_id != task_id:
        where = "in the trash " if holder.is_trashed else ""
        raise taken("/external_id", message=f"Another task of the project {where}has this external id")


def claim(held: MutableMapping[Key, Holder], key: Key | None, task_id: int = 0) -> None:
    """From now on, the key stands for this task: 0 for one that is yet to be written."""
    if key is not None:
        held[key] = Holder(task_id, is_trashed=False)


def in_the_trash() -> Conflict:
    """The error for a task that is to follow another system's, and was deleted here: it does not come back so."""
    return taken("/external_id", message="The task with this external id is in the trash: restore it first")
