"""What a task names by an id and has to be in its project: people, and what ``db.models.tasks.OF_PROJECT`` says.

The project is held while a task is written, so that nothing of it goes meanwhile.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import cast

from sqlalchemy import select

from db.driver.sessions import Session
from db.lists import one_of
from db.models import Membership
from db.models.tasks import OF_PROJECT
from services.shared.errors import NotFound

Projects = Mapping[str, Mapping[int, int]]
"""The project of each thing, by the column that names it and its id."""
NOTHING: Mapping[str, None] = MappingProxyType(dict.fromkeys(OF_PROJECT))
"""What a task names that names nothing but people."""


def named_by(data: object) -> dict[str, int | None]:
    """What an input names, by column; None for what it does not."""
    return {column: getattr(data, column, None) for column in OF_PROJECT}


async def projects_of(session: Session, named: Iterable[Mapping[str, int | None]]) -> Projects:
    """In which projects the things are that tasks are to name: a statement for each column of which any are named."""
    values = [*named]
    found: dict[str, dict[int, int]] = {}
    for column, model in OF_PROJECT.items():
        ids = {id_ for each in values if (id_ := each.get(column)) is not None}
        rows = await session.all(select(model.id, model.project_id).where(one_of(model.id, ids))) if ids else ()
        found[column] = {row[0]: row[1] for row in rows}
    return found


def check(projects: Projects, project_id: int, named: Mapping[str, object]) -> None:
    """Raises ``NotFound`` for something that is not in the task's project."""
    for column, model in OF_PROJECT.items():
        id_ = named.get(column)
        if id_ is not None and projects[column].get(cast(int, id_)) != project_id:
            raise NotFound(model.__name__, pointer=f"/{column}")


def check_assignees(members: Collection[int], user_ids: Collection[int], *, pointer: str = "/assignee_ids") -> None:
    """Raises ``NotFound`` for somebody who is no member."""
    if not set(user_ids) <= set(members):
        raise NotFound("Member of the project", pointer=pointer)


async def members_among(
    session: Session, project_ids: Collection[int], user_ids: Collection[int]
) -> Mapping[int, set[int]]:
    """Which of the users are members of each project; that they are is held."""
    found: dict[int, set[int]] = defaultdict(set)
    if project_ids and user_ids:
        rows = await session.all(
            select(Membership.project_id, Membership.user_id)
            .where(one_of(Membership.project_id, project_ids), one_of(Membership.user_id, user_ids))
            .order_by(Membership.project_id, Membership.user_id)
            .with_for_update(read=True, key_share=True)
        )
        for project_id, user_id in rows:
            found[project_id].add(user_id)
    return found
