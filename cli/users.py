"""Commands for accounts."""

import sys
from typing import Annotated

import typer

from cli.database import fail, hasher, with_database
from db.driver.database import Database
from services import accounts
from services.accounts import OPERATOR, AccountClaim
from services.users.models import UserCreate, UserRecord

Username = Annotated[str, typer.Argument(help="The name of the account, in any case.", show_default=False)]
Email = Annotated[str | None, typer.Option(help="The e-mail address; asked for when left out.", show_default=False)]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of standard input.")
]


def create_admin(
    username: Username,
    email: Email = None,
    full_name: Annotated[str | None, typer.Option(help="The name to show.", show_default=False)] = None,
    password_stdin: PasswordStdin = False,
    promote: Annotated[
        bool, typer.Option("--promote", help="Make an account that exists an administrator; nothing else changes.")
    ] = False,
) -> None:
    """Create an administrator, or make one of an account that exists."""

    async def work(database: Database) -> UserRecord:
        if promote:
            async with database.writing() as session:
                return await accounts.promote(session, OPERATOR, username)
        data = UserCreate(
            username=username,
            email=_email(email),
            full_name=full_name,
            password=password_given(from_stdin=password_stdin),
        )
        return await accounts.create_admin(database, OPERATOR, data, hasher=hasher())

    user = with_database(work)
    typer.echo(f"{user.username} is an administrator.")


def claim_user(username: Username, email: Email = None, password_stdin: PasswordStdin = False) -> None:
    """Hand an imported account to its person: give it an e-mail address and a password."""

    async def work(database: Database) -> UserRecord:
        data = AccountClaim(email=_email(email), password=password_given(from_stdin=password_stdin))
        return await accounts.claim(database, OPERATOR, username, data, hasher=hasher())

    user = with_database(work)
    typer.echo(f"{user.username} can log in now.")


def disable_user(username: Username) -> None:
    """Shut an account out: it cannot log in, and its sessions and API keys stop working."""
    user = _set_disabled(username, disabled=True)
    typer.echo(f"{user.username} is disabled.")


def enable_user(username: Username) -> None:
    """Let a disabled account in again."""
    user = _set_disabled(username, disabled=False)
    typer.echo(f"{user.username} is enabled.")


def _set_disabled(username: str, *, disabled: bool) -> UserRecord:
    async def work(database: Database) -> UserRecord:
        async with database.writing() as session:
            return await accounts.set_disabled(session, OPERATOR, username, disabled=disabled)

    return with_database(work)


def _email(given: str | None) -> str:
    return given if given is not None else str(typer.prompt("E-mail", err=True))


def password_given(*, from_stdin: bool) -> str:
    """A password that is asked for twice, or the first line of standard input."""
    if not from_stdin:
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    line = sys.stdin.readline()
    if not line:
        fail("There is no password on standard input")
    return line.rstrip("\r\n")
