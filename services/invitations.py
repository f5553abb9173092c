"""Invitations: who may register where not everybody may. An operator makes them; each is for one account."""

from datetime import timedelta
from typing import Literal

from db.driver.sessions import Session
from services import account_tokens
from services.account_tokens import Purpose
from services.shared.errors import BadUserInput, Forbidden
from services.shared.text import fold_email
from services.users.models import UserCreate

BAD_INVITATION = "is not valid: it was used, has expired, or never was"
FOR_ANOTHER = "is for another e-mail address"
CLOSED = "Registration is closed on this server (REGISTRATION): its operator makes accounts"
BY_INVITATION = "Registration is by invitation on this server (REGISTRATION): ask its operator for one"


async def make(session: Session, *, lifetime: timedelta, email: str | None = None) -> str:
    """A new invitation, for whoever has it, or for the owner of an address alone."""
    return await account_tokens.make(session, Purpose.INVITATION, lifetime, email=email)


def require(registration: Literal["open", "invite", "closed"], data: UserCreate) -> None:
    """Raises ``Forbidden`` where the server takes nobody, or those alone who bring an invitation."""
    if registration == "closed":
        raise Forbidden(CLOSED)
    if registration == "invite" and data.sent().get("invitation") is None:
        raise Forbidden(BY_INVITATION)


async def check(session: Session, data: UserCreate) -> None:
    """Raises ``BadUserInput`` for an invitation that does not work, before a password is hashed for it."""
    if (token := data.sent().get("invitation")) is not None:
        _check(await account_tokens.find(session, Purpose.INVITATION, token), data)


async def accept(session: Session, data: UserCreate) -> None:
    """Use the invitation, if there is one. Raises ``BadUserInput``."""
    if (token := data.sent().get("invitation")) is not None:
        _check(await account_tokens.spend(session, Purpose.INVITATION, token), data)


def _check(row: account_tokens.TokenRow | None, data: UserCreate) -> None:
    if row is None:
        raise BadUserInput.at("/invitation", BAD_INVITATION)
    if row.email is not None and fold_email(row.email) != data.email:
        raise BadUserInput.at("/invitation", FOR_ANOTHER)
