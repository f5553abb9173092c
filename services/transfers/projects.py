"""The projects of a source, with their members."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import select, update

from core.clock import now
from db.driver.sessions import Session
from db.models import Comment, Membership, Project, Task
from services.events import catalogue, log
from services.projects.commands import by_external_id, insert_project
from services.projects.memberships import insert_members
from services.projects.models import ProjectKey, Role
from services.transfers import sources
from services.transfers.records import ImportedProject
from services.users.commands import INBOX_KEY

MAX_NAME = 100
KEY_RULE = "a key has 2 to 10 capital letters and digits, a letter first, and INBOX is everybody's own"
_KEY: TypeAdapter[str] = TypeAdapter(ProjectKey)


class KnownProject(NamedTuple):
    """A project that is here, under the key that it has here."""

    id: int
    key: str
    archived: bool


async def find(session: Session, source: str, keys: Iterable[str]) -> dict[str, KnownProject]:
    """Those that were brought in before, by their keys in the source; locked until the transaction ends."""
    found = await sources.find(session, source, "project", keys)
    if not found:
        return {}
    rows = await session.all(
        select(Project.id, Project.key, Project.archived_at.is_not(None))
        .where(Project.id.in_(found.values()))
        .order_by(Project.id)
        .with_for_update(key_share=True)
    )
    alive = {row[0]: KnownProject._make(row) for row in rows}
    gone = [key for key, project_id in found.items() if project_id not in alive]
    if gone:
        await _forget_contents(session, source, gone)
    return {key: alive[project_id] for key, project_id in found.items() if project_id in alive}


async def adopt(session: Session, source: str, owner_id: int, keys: Iterable[str]) -> dict[str, KnownProject]:
    """Those that their owner has made for the source's, by their keys there: known as brought in from now on."""
    ids = {key: id_ for key in keys if (id_ := await by_external_id(session, owner_id, source, key)) is not None}
    await sources.note(session, source, "project", ids)
    return await find(session, source, ids) if ids else {}


async def archived(session: Session, project_ids: Collection[int]) -> set[int]:
    """Those that are archived; all of them are locked until the transaction ends."""
    rows = await session.all(
        select(Project.id, Project.archived_at)
        .where(Project.id.in_(project_ids))
        .order_by(Project.id)
        .with_for_update(key_share=True)
    )
    return {row[0] for row in rows if row[1] is not None}


async def _forget_contents(session: Session, source: str, keys: Collection[str]) -> None:
    """A project that was deleted as a whole comes back as a whole."""
    await sources.forget(session, source, "project", keys)
    await sources.forget(session, source, "described", keys)
    await sources.forget_missing(session, source, "task", Task)
    await sources.forget_missing(session, source, "comment", Comment)


async def keys_here(session: Session, source: str, keys: Iterable[str]) -> dict[str, str]:
    """Under which keys projects are here, by their keys in the source."""
    found = await sources.find(session, source, "project", keys)
    rows = await session.all(select(Project.id, Project.key).where(Project.id.in_(found.values()))) if found else []
    here = {row[0]: row[1] for row in rows}
    return {key: here[project_id] for key, project_id in found.items() if project_id in here}


def is_key(key: str) -> bool:
    """Whether an imported project can have this key, as far as ``KEY_RULE`` goes."""
    try:
        return _KEY.validate_python(key) != INBOX_KEY
    except ValidationError:
        return False


async def obstacle(session: Session, source: str, key: str) -> str | None:
    """Why a new project cannot have this key; None where it can."""
    if not is_key(key):
        return f"{KEY_RULE}; --map-key gives it another"
    there = await session.scalar(select(Project.id).where(Project.key == key, Project.inbox_of_id.is_(None)))
    return None if there is None else taken(source, key)


def taken(source: str, key: str) -> str:
    """Why a project cannot have a key that another one has."""
    return f"a project with the key {key} is here already, and not from {source}; --map-key gives it another"


async def create(
    session: Session, source: str, owner_id: int, record: ImportedProject, key: str
) -> KnownProject | None:
    """A new project under a key that was looked at by ``obstacle``; None where somebody took it just now."""
    name, called = record.name or record.key[:MAX_NAME], (source, record.key)
    project_id = await insert_project(session, owner_id, key, name, record.description, *called)
    if project_id is None:
        return None
    await sources.remember(session, source, "project", {record.key: project_id})
    return KnownProject(project_id, key, archived=False)


async def describe(session: Session, source: str, record: ImportedProject) -> bool | None:
    """Give an imported project the name and description that the source tells later than its tasks.

    Once: what the source says of it afterwards, or what somebody changed here, stays. Returns whether that was now,
    or None where the project is not here (any more).
    """
    project = (await find(session, source, [record.key])).get(record.key)
    if project is None:
        return None
    if await sources.find(session, source, "described", [record.key]):
        return False
    await sources.remember(session, source, "described", {record.key: project.id})
    there = await session.one(
        select(Project.name, Project.description, Project.version).where(Project.id == project.id)
    )
    told = {"name": record.name or there.name, "description": there.description or record.description}
    change = {name: (getattr(there, name), value) for name, value in told.items() if value != getattr(there, name)}
    if not change or there.version != 1:  # archiving it is a change, too
        return False
    await session.execute(update(Project).where(Project.id == project.id).values(**told, version=2, updated_at=now()))
    event = log.NewEvent(catalogue.PROJECT_UPDATED, project.id, change, version=2, project_id=project.id, notify=False)
    await log.record(session, sources.IMPORTER, event)
    return True


async def raise_last_number(session: Session, project_id: int, number: int) -> None:
    """New tasks of the project count on from here."""
    await session.execute(
        update(Project).where(Project.id == project_id, Project.last_number < number).values(last_number=number)
    )


async def taken_numbers(session: Session, project_id: int, numbers: Collection[int]) -> set[int]:
    """Those of the numbers that tasks of the project have already."""
    statement = select(Task.number).where(Task.project_id == project_id)
    rows = await sources.rows_with(session, statement, Task.number.expression, numbers)
    return {row[0] for row in rows}


async def next_numbers(session: Session, project_id: int, count: int) -> range:
    """Numbers that no task of the project has."""
    last = int(
        await session.scalar(
            update(Project)
            .where(Project.id == project_id)
            .values(last_number=Project.last_number + count)
            .returning(Project.last_number)
        )
    )
    return range(last - count + 1, last + 1)


async def find_members(session: Session, project_id: int, user_ids: Collection[int]) -> set[int]:
    """Those of the people who have a role in the project."""
    return set(
        await session.scalars(
            select(Membership.user_id).where(Membership.project_id == project_id, Membership.user_id.in_(user_ids))
        )
    )


async def add_members(session: Session, project_id: int, user_ids: Collection[int]) -> list[log.NewEvent]:
    """Make people members who have no role in the project yet. Returns the events, one for each."""
    there = await find_members(session, project_id, user_ids)
    joining = sorted(set(user_ids) - there)
    await insert_members(session, [(project_id, user_id, Role.MEMBER) for user_id in joining])
    return [
        log.NewEvent(
            catalogue.MEMBER_ADDED,
            user_id,
            log.created({"user_id": user_id, "role": Role.MEMBER}),
            project_id=project_id,
            notify=False,
        )
        for user_id in joining
    ]
