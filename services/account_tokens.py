"""Secrets that work once and not for long: for a new password, and for an account by invitation.

Only their fingerprints are stored, and they are random, so that there is nothing to guess.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import ColumnElement, insert, select
from sqlalchemy import delete as sql_delete
from sqlalchemy import update as sql_update

from core.clock import now
from core.tokens import fingerprint, new_secret
from db.driver.sessions import Session
from db.models import AccountToken


class TokenRow(NamedTuple):
    """What a token that works says."""

    user_id: int | None
    email: str | None


class Accepted(NamedTuple):
    """What whoever asks for a token is answered, whether there is such an account or not."""

    accepted: bool = True


AN_HOUR = 3
"""How many messages of a kind an account is sent in an hour."""
KEPT = timedelta(hours=1)
"""How long one is kept after it has ended: those of the last hour are counted."""


class Purpose(StrEnum):
    """What a token is for."""

    PASSWORD = "password"  # noqa: S105 - a purpose
    INVITATION = "invitation"
    EMAIL = "email"


_COLUMNS = AccountToken.user_id, AccountToken.email
PREFIXES = {Purpose.PASSWORD: "tdp", Purpose.INVITATION: "tdi", Purpose.EMAIL: "tde"}


async def make(
    session: Session, purpose: Purpose, lifetime: timedelta, *, user_id: int | None = None, email: str | None = None
) -> str:
    """A new token; what has ended is cleared away."""
    secret, moment = new_secret(PREFIXES[purpose]), now()
    await session.execute(sql_delete(AccountToken).where(AccountToken.expires_at < moment - KEPT))
    values = {"purpose": purpose.value, "user_id": user_id, "email": email, "token_hash": fingerprint(secret)}
    times = {"created_at": moment, "expires_at": moment + lifetime}
    await session.execute(insert(AccountToken).values(values | times))
    return secret


async def find(session: Session, purpose: Purpose, secret: str) -> TokenRow | None:
    """A token that works; None for any other."""
    row = await session.first(select(*_COLUMNS).where(*_works(purpose, secret, now())))
    return None if row is None else TokenRow._make(row)


async def spend(session: Session, purpose: Purpose, secret: str) -> TokenRow | None:
    """As ``find``, and it works no more. Of several calls at once, one gets it."""
    moment = now()
    spent = sql_update(AccountToken).where(*_works(purpose, secret, moment)).values(used_at=moment)
    row = await session.first(spent.returning(*_COLUMNS))
    return None if row is None else TokenRow._make(row)


async def are_enough(session: Session, user_id: int, purpose: Purpose) -> bool:
    """Whether an account was given ``AN_HOUR`` within the last one."""
    theirs = AccountToken.user_id == user_id, AccountToken.purpose == purpose.value
    since = AccountToken.created_at >= now() - timedelta(hours=1)
    return await session.count(select(AccountToken.id).where(*theirs, since)) >= AN_HOUR


async def spend_all(session: Session, user_id: int) -> None:
    """No token of an account works any more."""
    mine = sql_update(AccountToken).where(AccountToken.user_id == user_id, AccountToken.used_at.is_(None))
    await session.execute(mine.values(used_at=now()))


def _works(purpose: Purpose, secret: str, moment: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        AccountToken.token_hash == fingerprint(secret),
        AccountToken.purpose == purpose.value,
        AccountToken.used_at.is_(None),
        AccountToken.expires_at > moment,
    )
