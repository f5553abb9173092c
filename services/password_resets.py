"""Forgotten passwords: a token that works once and not for long sets a new one.

An operator hands it out, or it is sent to the account's address. Who asks for one is answered the same, and as fast,
whether there is such an account or not: what is done for it is done after the answer.
"""

from datetime import timedelta
from functools import partial
from typing import Annotated

from pydantic import Field
from sqlalchemy import select, update

from core.clock import now
from core.mail import Message
from db.driver.database import Database
from db.driver.sessions import Session
from db.models import User
from services import account_tokens, sessions
from services.account_tokens import Accepted, Purpose
from services.authentication import announce_change
from services.events import catalogue, log
from services.shared.actors import ANONYMOUS, Actor
from services.shared.errors import BadUserInput, Forbidden
from services.shared.features import Feature, Operation, Who
from services.shared.inputs import Input, Text
from services.shared.outputs import Output
from services.shared.security import Security
from services.users.models import LoginName, Password, fold_login

BAD_TOKEN = "is not valid: it was used, has expired, or never was"  # noqa: S105 - a message


class PasswordResetRequest(Input):
    """Asks for a token to set a new password with."""

    login: LoginName


class PasswordReset(Input):
    """Sets a new password by a token, and ends every session of the account."""

    token: Annotated[Text, Field(max_length=200, description="The token that was sent, or handed out.")]
    new_password: Password


class PasswordResetRequestOut(Output):
    """That the request was taken, which says nothing of whether there is such an account."""

    accepted: bool = Field(description="Always true.")


async def request(
    database: Database, actor: Actor, data: PasswordResetRequest, *, security: Security, client: str = ""
) -> Accepted:
    """Send a token to the address of an account, if there is one that can log in, and not ``AN_HOUR`` were sent
    (``account_tokens``).

    Raises ``RateLimited`` for the ``client``, an address; ``Forbidden`` where the server sends nothing. Takes the
    database, for it is looked up after the answer.
    """
    await security.limits.check_password_reset(client)
    if not security.outbox.sends:
        raise Forbidden("This server sends no messages (MAILER): ask its operator for a token")
    security.outbox.later(partial(_message, database, security, fold_login(data.login)))
    return Accepted()


async def _message(database: Database, security: Security, name: str) -> Message | None:
    named = (User.username_folded == name) | (User.email == name)
    columns = User.id, User.username, User.email
    async with database.writing() as session:
        found = select(*columns).where(named, User.disabled.is_(False), User.password_hash.is_not(None))
        row = await session.first(found.with_for_update())
        if row is None or row.email is None:
            return None
        if await account_tokens.are_enough(session, row.id, Purpose.PASSWORD):
            return None
        token = await make(session, ANONYMOUS, row.id, security.accounts.reset_lifetime)
    minutes = round(security.accounts.reset_lifetime.total_seconds() / 60)
    return Message(
        row.email,
        "A new password for Tandem",
        f"Hello {row.username},\n\nsomebody asked for a new password for your account. If it was you, set it within "
        f"{minutes} minutes{_where(security.accounts.reset_url, token)}\n\nIf it was not, there is nothing to do: "
        "your password stays as it is.\n",
    )


def _where(url: str | None, token: str) -> str:
    if url is not None:
        return f" at:\n\n{url.replace('{token}', token)}"
    return f" with this token, which works once:\n\n{token}"


async def make(session: Session, actor: Actor, user_id: int, lifetime: timedelta) -> str:
    """A token for an account; the owner reads that there is one."""
    token = await account_tokens.make(session, Purpose.PASSWORD, lifetime, user_id=user_id)
    event = log.NewEvent(catalogue.USER_PASSWORD_RESET_REQUESTED, user_id, {})
    await log.record_for_account(session, actor, user_id, event)
    return token


async def reset(database: Database, actor: Actor, data: PasswordReset, *, security: Security, client: str = "") -> None:
    """Set a new password and end every session of the account. API keys stay.

    Raises ``BadUserInput`` for a token that does not work (any more), ``RateLimited`` for the ``client``. Takes the
    database and not a session, as hashing happens outside of transactions.
    """
    await security.limits.check_password_reset(client)
    async with database.reading() as session:
        if await account_tokens.find(session, Purpose.PASSWORD, data.token) is None:
            raise BadUserInput.at("/token", BAD_TOKEN)
    password_hash = await security.hasher.hash(data.new_password)
    async with database.writing() as session:
        row = await account_tokens.spend(session, Purpose.PASSWORD, data.token)
        if row is None or row.user_id is None:
            raise BadUserInput.at("/token", BAD_TOKEN)
        if not await set_password(session, ANONYMOUS, row.user_id, password_hash):
            raise BadUserInput.at("/token", BAD_TOKEN)


async def set_password(session: Session, actor: Actor, user_id: int, password_hash: str) -> bool:
    """Give an account another password: its sessions end, and no token works any more. False for one that is disabled
    or is not there, where nothing is written."""
    changed = await session.execute(
        update(User)
        .where(User.id == user_id, User.disabled.is_(False))
        .values(password_hash=password_hash, updated_at=now())
    )
    if not changed:
        return False
    await account_tokens.spend_all(session, user_id)
    await sessions.end_of_account(session, None if actor is ANONYMOUS else actor, user_id)
    announce_change(session)
    event = log.NewEvent(catalogue.USER_PASSWORD_RESET, user_id, {})
    await log.record_for_account(session, actor, user_id, event)
    return True


FEATURE = Feature(
    "password_resets",
    operations=(
        Operation("request_password_reset", "Mutation.requestPasswordReset", Who.ANYBODY),
        Operation("reset_password", "Mutation.resetPassword", Who.ANYBODY),
    ),
    about="Forgotten passwords.",
)
