"""The people of the tests hold what those hold who registered and logged in at a door, if by a shorter way."""

from typing import Any

from sqlalchemy import or_, select

from db.driver.database import Database
from db.models import Event, LoginSession, Membership, Project, RefreshToken, User
from tests.actors import PASSWORD, Anonymous, Person
from tests.doors import log_in

OWN = {"id", "username", "username_folded", "email", "event_id", "token_hash", "password_hash", "changes"}
"""Columns that differ from one account to the next; what else does is an id or a moment."""
OF_THE_CALL = {"request_id", "user_agent", "place", "position"}
"""What a call through a door is known by, and the place of its event, which is given some time after."""


async def held(database: Database, user_id: int) -> dict[str, Any]:
    """The rows of an account, of each column what does not differ by itself."""
    sessions = select(LoginSession.id).where(LoginSession.user_id == user_id)
    of_account = or_(Event.account_id == user_id, Event.actor_id == user_id)
    statements = {
        "users": select(*User.__table__.columns).where(User.id == user_id),
        "projects": select(*Project.__table__.columns).where(Project.inbox_of_id == user_id),
        "memberships": select(*Membership.__table__.columns).where(Membership.user_id == user_id),
        "sessions": select(*LoginSession.__table__.columns).where(LoginSession.user_id == user_id),
        "tokens": select(*RefreshToken.__table__.columns).where(RefreshToken.session_id.in_(sessions)),
        "events": select(*Event.__table__.columns).where(of_account).order_by(Event.id),
    }
    async with database.reading() as session:
        found = {name: [row._asdict() for row in await session.all(each)] for name, each in statements.items()}
    return {name: [_comparable(row) for row in rows] for name, rows in found.items()}


def _comparable(row: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in row.items() if name not in OF_THE_CALL}
    return {
        name: (value is None if name in OWN or name.endswith(("_id", "_at")) else value) for name, value in kept.items()
    } | {"changes": sorted((row.get("changes") or {}).keys() - OF_THE_CALL)}


async def test_they_are_as_those_who_came_through_a_door(database: Database, anonymous: Anonymous, ada: Person) -> None:
    name = f"{ada.username}_too"
    account = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    registered = (await anonymous.post("/users", account)).json()
    assert (await log_in("rest", anonymous, name, PASSWORD)).code is None

    assert await held(database, ada.id) == await held(database, registered["id"])


async def test_their_password_and_tokens_are_theirs(anonymous: Anonymous, ada: Person) -> None:
    assert (await log_in("rest", anonymous, ada.username, PASSWORD)).code is None
    assert (await ada.get("/users/me")).json()["id"] == ada.id
    refreshed = await anonymous.post("/token/refresh", {"refresh_token": ada.refresh_token})
    assert refreshed.status_code == 200
