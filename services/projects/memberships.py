"""Rows of memberships, for whoever has checked that people may join."""

from collections.abc import Iterable

from sqlalchemy import insert

from core.clock import now
from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.models import Membership
from services.projects.models import Role
from services.shared.bulk_writing import write_all


async def insert_members(session: Session, joining: Iterable[tuple[int, int, Role]]) -> None:
    """Write memberships, none of which is there yet: of a project's id, a user's id and the role."""
    moment = now()
    rows = [
        {"project_id": project_id, "user_id": user_id, "role": role.value, "created_at": moment}
        for project_id, user_id, role in joining
    ]
    await write_all(session, _INSERT, rows)


_INSERT = Prepared(insert(Membership), keys=("project_id", "user_id", "role", "created_at"))
