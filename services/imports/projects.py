"""The projects of a source, with what hangs on them: members and tags."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import insert, select, update

from core.clock import now
from db.models import Comment, Membership, Project, Tag, Task
from db.sessions import Session
from services import events
from services.imports import sources
from services.imports.records import Issue, Place
from services.projects.models import ProjectKey, Role
from services.users.commands import INBOX_KEY

MAX_NAME = 100
KEY_RULE = "a key has 2 to 10 capital letters and digits, a letter first, and INBOX is everybody's own"
_KEY: TypeAdapter[str] = TypeAdapter(ProjectKey)


class KnownProject(NamedTuple):
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
    taken = await session.scalar(select(Project.id).where(Project.key == key, Project.inbox_of_id.is_(None)))
    if taken is not None:
        return f"a project with the key {key} is here already, and not from {source}; --map-key gives it another"
    return None


async def create(
    session: Session, source: str, owner_id: int, place: Place, key: str
) -> tuple[KnownProject, events.NewEvent]:
    """A project under a key that was looked at by ``obstacle``."""
    moment = now()
    values = {"key": key, "name": place.name or place.key[:MAX_NAME], "description": place.description}
    project_id = int(
        await session.scalar(
            insert(Project).values(**values, created_at=moment, updated_at=moment).returning(Project.id)
        )
    )
    await session.execute(
        insert(Membership).values(project_id=project_id, user_id=owner_id, role=Role.OWNER.value, created_at=moment)
    )
    await sources.remember(session, source, "project", {place.key: project_id})
    event = sources.imported(source, "project", project_id, place.key, version=1, project_id=project_id)
    return KnownProject(project_id, key, archived=False), event


async def describe(session: Session, source: str, place: Place) -> bool | None:
    """Give an imported project the name and description that the source tells later than its issues.

    Once: what the source says of it afterwards, or what somebody changed here, stays. Returns whether that was now,
    or None where the project is not here (any more).
    """
    project = (await find(session, source, [place.key])).get(place.key)
    if project is None:
        return None
    if await sources.find(session, source, "described", [place.key]):
        return False
    await sources.remember(session, source, "described", {place.key: project.id})
    there = await session.one(
        select(Project.name, Project.description, Project.version).where(Project.id == project.id)
    )
    told = {"name": place.name or there.name, "description": there.description or place.description}
    change = {name: (getattr(there, name), value) for name, value in told.items() if value != getattr(there, name)}
    if not change or there.version != 1:  # archiving it is a change, too
        return False
    await session.execute(update(Project).where(Project.id == project.id).values(**told, version=2, updated_at=now()))
    event = events.NewEvent(
        "project.updated", "project", project.id, change, version=2, project_id=project.id, notify=False
    )
    await events.record(session, sources.IMPORTER, event)
    return True


async def raise_last_number(session: Session, project_id: int, number: int) -> None:
    """New tasks of the project count on from here."""
    await session.execute(
        update(Project).where(Project.id == project_id, Project.last_number < number).values(last_number=number)
    )


async def taken_numbers(session: Session, project_id: int, issues: Collection[Issue]) -> set[int]:
    """Those of the issues' numbers that tasks of the project have already."""
    statement = select(Task.number).where(Task.project_id == project_id)
    rows = await sources.rows_with(session, statement, Task.number.expression, {issue.number for issue in issues})
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


async def add_members(session: Session, project_id: int, user_ids: Collection[int]) -> list[events.NewEvent]:
    """Make people members who have no role in the project yet. Returns the events, one for each."""
    there = await find_members(session, project_id, user_ids)
    moment, role = now(), Role.MEMBER.value
    joining = sorted(set(user_ids) - there)
    if joining:
        await session.execute(
            insert(Membership),
            [{"project_id": project_id, "user_id": user_id, "role": role, "created_at": moment} for user_id in joining],
        )
    return [
        events.NewEvent(
            "member.added",
            "member",
            user_id,
            events.created({"user_id": user_id, "role": role}),
            project_id=project_id,
            notify=False,
        )
        for user_id in joining
    ]


async def find_tags(session: Session, project_id: int, folded: Collection[str]) -> dict[str, int]:
    """The project's tags of these names, by folded name."""
    rows = await session.all(
        select(Tag.name_folded, Tag.id).where(Tag.project_id == project_id, Tag.name_folded.in_(folded))
    )
    return {row[0]: row[1] for row in rows}


async def create_tags(
    session: Session, project_id: int, names: Mapping[str, str]
) -> tuple[dict[str, int], list[events.NewEvent]]:
    """Tags for names by folded name. Returns their ids by folded name, and the events."""
    ids = dict(zip(names, await sources.reserve(session, Tag, len(names)), strict=True))
    moment = now()
    if ids:
        await session.execute(
            insert(Tag),
            [
                {
                    "id": tag_id,
                    "project_id": project_id,
                    "name": names[folded],
                    "name_folded": folded,
                    "created_at": moment,
                }
                for folded, tag_id in ids.items()
            ],
        )
    return ids, [
        events.NewEvent(
            "tag.created",
            "tag",
            tag_id,
            events.created({"name": names[folded]}),
            project_id=project_id,
            notify=False,
        )
        for folded, tag_id in ids.items()
    ]
