"""The commands and where they are."""

from typing import Annotated

import typer

from cli import demo, doctor, imports, passwords, schema, trash, users, worker
from core.version import VERSION

app = typer.Typer(
    help="Operate a Tandem server. DATABASE_URL (or .env) says which database.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"Tandem {VERSION}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is, and end.")
    ] = False,
) -> None:
    """Operate a Tandem server. DATABASE_URL (or .env) says which database."""


app.command("create-admin")(users.create_admin)
app.command("claim-user")(users.claim_user)
app.command("disable-user")(users.disable_user)
app.command("enable-user")(users.enable_user)
app.command("list-users")(passwords.list_users)
app.command("set-password")(passwords.set_password)
app.command("reset-token")(passwords.reset_token)
app.command("verify-email")(passwords.verify_email)
app.command("invite")(passwords.invite)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)
app.command("purge-trash")(trash.purge_trash)
app.command("worker")(worker.worker)
app.add_typer(imports.app, name="import")
app.add_typer(schema.app, name="schema")
