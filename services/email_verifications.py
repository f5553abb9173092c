"""Whether an e-mail address is its account's: a token that is sent there comes back.

``EMAIL_VERIFICATION`` says what for: for nothing (``off``), to be known (``optional``), or to log in (``required``).
"""

from datetime import timedelta
from functools import partial
from typing import Annotated

from pydantic import Field
from sqlalchemy import ColumnElement, select, update

from core.clock import now
from core.mail import Message
from db.driver.database import Database
from db.driver.sessions import Session
from db.models import User
from services import account_tokens
from services.account_tokens import Accepted, Purpose
from services.events import catalogue, log
from services.shared.actors import ANONYMOUS, Actor
from services.shared.errors import BadUserInput, Forbidden
from services.shared.features import Feature, Operation, Who
from services.shared.inputs import Input, Text
from services.shared.outputs import Output
from services.shared.security import Security
from services.users.models import LoginName, fold_login

LIFETIME = timedelta(days=1)
BAD_TOKEN = "is not valid: it was used, has expired, or is for another address"  # noqa: S105 - a message
OFF = "This server verifies no addresses (EMAIL_VERIFICATION)"


class EmailVerificationRequest(Input):
    """Asks for a token to verify an address with."""

    login: LoginName


class EmailVerification(Input):
    """Verifies the address that a token was sent to."""

    token: Annotated[Text, Field(max_length=200, description="The token that was sent.")]


class EmailVerificationRequestOut(Output):
    """That the request was taken, which says nothing of whether there is such an account."""

    accepted: bool = Field(description="Always true.")


async def request(
    database: Database, actor: Actor, data: EmailVerificationRequest, *, security: Security, client: str = ""
) -> Accepted:
    """Send a token to the address of an account, if there is one whose address is not verified, and not ``AN_HOUR``
    were sent (``account_tokens``).

    Raises ``RateLimited`` for the ``client``, an address; ``Forbidden`` where the server verifies none. Takes the
    database, for it is looked up after the answer.
    """
    await security.limits.check_password_reset(client)
    if security.accounts.verification == "off":
        raise Forbidden(OFF)
    name = fold_login(data.login)
    security.outbox.later(partial(_message, database, (User.username_folded == name) | (User.email == name)))
    return Accepted()


def send(database: Database, security: Security, user_id: int) -> None:
    """Send a token to the new address of an account, where the server verifies any: after the answer."""
    if security.accounts.verification != "off":
        security.outbox.later(partial(_message, database, User.id == user_id))


async def verify(session: Session, actor: Actor, data: EmailVerification, *, security: Security, client: str) -> None:
    """Verify the address that a token was sent to. Raises ``BadUserInput`` where it is not the account's any more, or
    the token does not work; ``RateLimited`` for the ``client``, ``Forbidden`` where the server verifies none."""
    await security.limits.check_password_reset(client)
    if security.accounts.verification == "off":
        raise Forbidden(OFF)
    row = await account_tokens.spend(session, Purpose.EMAIL, data.token)
    if row is None or row.user_id is None or not await mark(session, ANONYMOUS, row.user_id, row.email):
        raise BadUserInput.at("/token", BAD_TOKEN)


async def mark(session: Session, actor: Actor, user_id: int, email: str | None) -> bool:
    """Note that an address is its account's. False where the account has another one, or is disabled."""
    mine = User.id == user_id, User.email == email, User.disabled.is_(False)
    if not await session.execute(update(User).where(*mine).values(email_verified_at=now())):
        return False
    event = log.NewEvent(catalogue.USER_EMAIL_VERIFIED, user_id, {})
    await log.record_for_account(session, actor, user_id, event)
    return True


async def _message(database: Database, whose: ColumnElement[bool]) -> Message | None:
    columns = User.id, User.username, User.email
    async with database.writing() as session:
        unverified = User.disabled.is_(False), User.email.is_not(None), User.email_verified_at.is_(None)
        row = await session.first(select(*columns).where(whose, *unverified).with_for_update())
        if row is None:
            return None
        if await account_tokens.are_enough(session, row.id, Purpose.EMAIL):
            return None
        token = await account_tokens.make(session, Purpose.EMAIL, LIFETIME, user_id=row.id, email=row.email)
    return Message(
        row.email,
        "Your e-mail address at Tandem",
        f"Hello {row.username},\n\nsomebody, most likely you, gave this address for an account. If it was "
        f"you, verify it within a day with this token, which works once:\n\n{token}\n\nIf it was not, there is "
        "nothing to do.\n",
    )


FEATURE = Feature(
    "email_verifications",
    operations=(
        Operation("request_email_verification", "Mutation.requestEmailVerification", Who.ANYBODY),
        Operation("verify_email", "Mutation.verifyEmail", Who.ANYBODY),
    ),
    about="Whether addresses are their accounts'.",
)
