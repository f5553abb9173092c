"""Commands for those who cannot log in, or not yet."""

from datetime import timedelta
from typing import Annotated

import typer

from cli.database import hasher, with_database
from cli.users import PasswordStdin, Username, password_given
from db.driver.database import Database
from services import accounts
from services.accounts import OPERATOR, Invitation, NewPassword
from services.users.models import UserRecord


def set_password(username: Username, password_stdin: PasswordStdin = False) -> None:
    """Set the password of an account, and end its sessions."""

    async def work(database: Database) -> UserRecord:
        data = NewPassword(password=password_given(from_stdin=password_stdin))
        return await accounts.set_password(database, OPERATOR, username, data, hasher=hasher())

    user = with_database(work)
    typer.echo(f"{user.username} can log in with the new password; its sessions have ended.")


def reset_token(
    username: Username,
    minutes: Annotated[int, typer.Option(min=1, max=24 * 60, help="How long it works.")] = 30,
) -> None:
    """Make a token with which the owner of an account sets a new password, once."""

    async def work(database: Database) -> str:
        async with database.writing() as session:
            return await accounts.reset_token(session, OPERATOR, username, lifetime=timedelta(minutes=minutes))

    typer.echo(with_database(work))
    typer.echo(
        f"It works once, for {minutes} minutes: POST /api/v1/password-reset/confirm, or resetPassword in GraphQL.",
        err=True,
    )


def verify_email(username: Username) -> None:
    """Vouch for the e-mail address of an account, which then counts as verified."""

    async def work(database: Database) -> UserRecord:
        async with database.writing() as session:
            return await accounts.verify_email(session, OPERATOR, username)

    user = with_database(work)
    typer.echo(f"{user.email} is verified.")


def invite(
    email: Annotated[
        str | None, typer.Option(help="For this e-mail address alone; for whoever has it when left out.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=365, help="How long it works.")] = 7,
) -> None:
    """Make an invitation to register, for one account."""

    async def work(database: Database) -> str:
        data = Invitation(email=email)
        async with database.writing() as session:
            return await accounts.invite(session, OPERATOR, data, lifetime=timedelta(days=days))

    typer.echo(with_database(work))
    typer.echo(
        f"It works once, for {days} days: as `invitation` of POST /api/v1/users, or of register in GraphQL.", err=True
    )


def list_users() -> None:
    """List all accounts: names, addresses, and what is special about each."""

    async def work(database: Database) -> list[UserRecord]:
        async with database.reading() as session:
            return [*await accounts.list_(session, OPERATOR)]

    for user in with_database(work):
        marks = [word for word, said in (("administrator", user.is_admin), ("disabled", user.disabled)) if said]
        typer.echo("  ".join([f"{user.id:6}", f"{user.username:24}", user.email or "-", *marks]))
