"""An account that its owner deletes: what is its own goes with it, what others share stays without its name.

The row stays, under a name that says nothing, for tasks, comments and histories of projects name it as their author.
"""

import secrets
from typing import Annotated

from pydantic import Field
from sqlalchemy import delete as sql_delete
from sqlalchemy import func, select
from sqlalchemy import update as sql_update
from sqlalchemy.orm import aliased

from core import deadlines
from core.clock import now
from core.passwords import MAX_PASSWORD_LENGTH
from db.driver.database import Database
from db.driver.sessions import Session
from db.models import (
    AccountToken,
    ApiKey,
    Mail,
    MailNotice,
    Notification,
    NotificationPreferences,
    Project,
    ProjectFollow,
    Reminder,
    SavedView,
    Task,
    TaskFollow,
    User,
    Webhook,
)
from db.models.projects import Membership
from services import members, sessions
from services.authentication import announce_change
from services.events import catalogue, log
from services.projects import commands as projects
from services.projects.models import Role
from services.shared.actors import Actor
from services.shared.errors import BadUserInput, Conflict
from services.shared.inputs import Input, Text
from services.shared.security import Security
from services.tasks import effects

NAMED = 10
"""How many projects a refusal names."""


class AccountDeletion(Input):
    """Deletes the caller's account."""

    password: Annotated[Text, Field(max_length=MAX_PASSWORD_LENGTH, description="The password in use, once more.")]


async def delete_me(database: Database, actor: Actor, data: AccountDeletion, *, security: Security) -> None:
    """Delete the caller's account for good, with its Inbox, the projects that nobody else is in, its views and keys;
    it leaves all others.

    Raises ``BadUserInput`` for a wrong password (guesses count like those of a change), ``RateLimited``; ``Conflict``
    for the last owner of a project that others are in, which is named, and for the server's last administrator.
    Takes the database and not a session, as passwords are verified outside of transactions.
    """
    user_id = actor.require_login()
    await security.limits.check_password_change(user_id)
    attempt = await security.failures.begin_password_change(database, account_id=user_id, session_id=actor.session_id)
    async with database.reading() as session:
        stored = await session.scalar(select(User.password_hash).where(User.id == user_id))
    fits, _ = await security.hasher.verify(data.password, stored)
    if not fits:
        raise BadUserInput.at("/password", "is not the current password")
    deadlines.takes_long()
    async with database.writing() as session:
        session.takes_long()
        await attempt.forget(session)
        await _leave(session, actor, user_id)
        # before the account is held: the worker holds these while it writes what is the account's
        for model in (Reminder, MailNotice, NotificationPreferences):
            await session.execute(sql_delete(model).where(model.user_id == user_id))
        account = select(User.password_hash, User.is_admin).where(User.id == user_id).with_for_update()
        row = await session.first(account)
        if row is None or row.password_hash != stored:
            raise Conflict("The password was changed by someone else in the meantime")
        if row.is_admin:
            await _refuse_last_administrator(session, user_id)
        await _forget(session, actor, user_id)


async def _leave(session: Session, actor: Actor, user_id: int) -> None:
    """Leave the projects that others are in, and delete the others, but for the Inbox."""
    other = aliased(Membership)
    others = select(func.count()).where(other.project_id == Membership.project_id, other.user_id != user_id)
    owners = others.where(other.role == Role.OWNER.value)
    found = await session.all(
        select(
            Project.id,
            Project.key,
            Membership.role,
            others.scalar_subquery().label("others"),
            owners.scalar_subquery().label("owners"),
        )
        .join(Membership, Membership.project_id == Project.id)
        .where(Membership.user_id == user_id, Project.inbox_of_id.is_(None))
        .order_by(Project.id)
    )
    last = [row.key for row in found if row.role == Role.OWNER and row.others and not row.owners]
    if last:
        more = f" and {len(last) - NAMED} more" if len(last) > NAMED else ""
        named = f"{', '.join(sorted(last)[:NAMED])}{more}"
        raise Conflict(f"You are the last owner of {named}: give them another owner, or delete them, first")
    for row in found:
        if row.others:
            await members.remove(session, actor, row.id, user_id)  # looks again, for owners may leave meanwhile
        else:
            await projects.delete(session, actor, row.id)


async def _refuse_last_administrator(session: Session, user_id: int) -> None:
    # held, so that two of them cannot go past each other
    others = select(User.id).where(User.is_admin, User.disabled.is_(False), User.id != user_id)
    if not await session.all(others.order_by(User.id).with_for_update()):
        raise Conflict("You are the last administrator of this server: make another one first")


async def _forget(session: Session, actor: Actor, user_id: int) -> None:
    inbox = await session.scalar(select(Project.id).where(Project.inbox_of_id == user_id))
    if inbox is not None:
        await effects.purge(session, actor, Task.project_id == inbox)
        await session.execute(sql_delete(Project).where(Project.id == inbox))
    await sessions.end_of_account(session, actor, user_id)
    for model, owner in (
        (ApiKey, ApiKey.user_id),
        (SavedView, SavedView.owner_id),
        (AccountToken, AccountToken.user_id),
        (Notification, Notification.user_id),
        (NotificationPreferences, NotificationPreferences.user_id),
        (Reminder, Reminder.user_id),
        (Mail, Mail.user_id),
        (MailNotice, MailNotice.user_id),
        (TaskFollow, TaskFollow.user_id),
        (ProjectFollow, ProjectFollow.user_id),
        (Webhook, Webhook.owner_id),
    ):
        await session.execute(sql_delete(model).where(owner == user_id))
    name = f"deleted_{user_id}_{secrets.token_hex(4)}"
    values = {
        "username": name,
        "username_folded": name,
        "full_name": "Deleted account",
        "timezone": "UTC",
        "email": None,
        "email_verified_at": None,
        "password_hash": None,
        "is_admin": False,
        "disabled": True,
        "updated_at": now(),
    }
    await session.execute(sql_update(User).where(User.id == user_id).values(values))
    announce_change(session)
    event = log.NewEvent(catalogue.USER_DELETED, user_id, {})
    await log.record_for_account(session, actor, user_id, event)
